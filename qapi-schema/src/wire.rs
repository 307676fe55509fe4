//! Values on their way to a client: JSON as QEMU writes it, in ASCII and with a space after `,` and `:`.

use std::io;

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use serde_json::{Value, to_value};

/// What can be written to a client, without its type.
pub trait Wire: Send + Sync {
    /// Appends the JSON text to `out`.
    fn write(&self, out: &mut Vec<u8>);

    /// The same as a tree.
    fn value(&self) -> Value;
}

impl<T: Serialize + Send + Sync> Wire for T {
    fn write(&self, out: &mut Vec<u8>) {
        let written = self.serialize(&mut Serializer::with_formatter(out, Ascii));
        debug_assert!(written.is_ok(), "schema values have string keys and memory takes every byte");
    }

    fn value(&self) -> Value {
        to_value(self).unwrap_or(Value::Null)
    }
}

/// The reply of a command that returns nothing, `{}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty {}

impl Serialize for Empty {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

struct Ascii;

impl Formatter for Ascii {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        separate(out, first)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        separate(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        // A byte from 0x7F on is either DEL or the first of a character.
        while let Some(at) = rest.bytes().position(|byte| byte >= 0x7f) {
            let (plain, tail) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut chars = tail.chars();
            let mut units = [0; 2];
            let next = chars.next().filter(|&c| !is_noncharacter(c)).unwrap_or(char::REPLACEMENT_CHARACTER);
            for unit in next.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04X}")?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, out: &mut W, escape: CharEscape) -> io::Result<()> {
        let short = match escape {
            CharEscape::Quote => b"\\\"",
            CharEscape::ReverseSolidus => b"\\\\",
            CharEscape::Solidus => b"\\/",
            CharEscape::Backspace => b"\\b",
            CharEscape::FormFeed => b"\\f",
            CharEscape::LineFeed => b"\\n",
            CharEscape::CarriageReturn => b"\\r",
            CharEscape::Tab => b"\\t",
            CharEscape::AsciiControl(byte) => return write!(out, "\\u{byte:04X}"),
        };
        out.write_all(short)
    }
}

/// Whether Unicode sets the character aside for ever (Unicode Standard, section 23.7). QEMU refuses it in its input.
pub const fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || c as u32 & 0xfffe == 0xfffe
}

fn separate<W: ?Sized + io::Write>(out: &mut W, first: bool) -> io::Result<()> {
    if first { Ok(()) } else { out.write_all(b", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(value: &Value) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn output_is_spaced_like_qemu_s() {
        assert_eq!(written(&json!({"a": [1, 2], "b": {}})), r#"{"a": [1, 2], "b": {}}"#);
    }

    #[test]
    fn output_is_ascii_whatever_the_text() {
        let text = written(&json!("k\u{e4}se \u{1f9c0} \u{7f}\u{1}\n\"\\"));
        assert_eq!(text, r#""k\u00E4se \uD83E\uDDC0 \u007F\u0001\n\"\\""#);
        assert_eq!(serde_json::from_str::<String>(&text).expect("valid"), "k\u{e4}se \u{1f9c0} \u{7f}\u{1}\n\"\\");
    }

    #[test]
    fn a_noncharacter_is_replaced_as_by_qemu() {
        assert_eq!(written(&json!("a\u{fffe}b\u{fdd0}\u{10ffff}\u{fffd}")), r#""a\uFFFDb\uFFFD\uFFFD\uFFFD""#);
    }
}
