//! The words of a line, and what a command's arguments make of them.

use std::collections::BTreeMap;
use std::fmt;

/// An argument of a command.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    is_optional: bool,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A switch; its name is that with the dash.
    Flag,
    Text,
    /// A text: the name of a command.
    Command,
    /// A text: the name of a block device or node.
    Device,
    /// Bytes, as `64M`; a plain number counts MiB.
    Size,
}

impl Argument {
    pub(super) const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, is_optional: false }
    }

    pub(super) const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, is_optional: true }
    }

    pub(super) const fn flag(name: &'static str) -> Self {
        Self { name, kind: Kind::Flag, is_optional: true }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_optional { write!(f, "[{}]", self.name) } else { f.write_str(self.name) }
    }
}

/// The values of a command's arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Values(BTreeMap<&'static str, Value>);

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Set,
    Text(String),
    Size(u64),
}

impl Values {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.0.contains_key(flag)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(text) => Some(text),
            Value::Set | Value::Size(_) => None,
        }
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::Size(size) => Some(*size),
            Value::Set | Value::Text(_) => None,
        }
    }
}

/// The words of a line: what lies between blanks, or between double quotes. In them `\` makes the next character an
/// ordinary one, or with `n` and `r` the end of a line.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some((word, after)) = next_word(rest)? {
        words.push(word);
        rest = after;
    }
    Ok(words)
}

/// The first word, and what is after it.
fn next_word(text: &str) -> Result<Option<(String, &str)>, String> {
    let text = text.trim_start();
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return unquote(quoted).map(Some);
    }
    let (word, after) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    Ok(Some((word.to_owned(), after)))
}

fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            None => return Err("unterminated string".into()),
            Some('"') => return Ok((word, chars.as_str())),
            Some('\\') => match chars.next() {
                Some('n') => word.push('\n'),
                Some('r') => word.push('\r'),
                Some(c @ ('\\' | '"' | '\'')) => word.push(c),
                Some(c) => return Err(format!("unsupported escape code: '\\{c}'")),
                None => return Err("unterminated string".into()),
            },
            Some(c) => word.push(c),
        }
    }
}

/// Reads `text` as the arguments of the command of this name: flags first, then the others in their order.
pub(super) fn read(command: &str, arguments: &[Argument], text: &str) -> Result<Values, String> {
    let mut values = Values::default();
    let (flags, others): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.kind == Kind::Flag);
    let mut rest = text.trim_start();
    while let Some(option) = rest.strip_prefix('-').filter(|_| !flags.is_empty()) {
        let (letter, after) = option.split_at(option.chars().next().map_or(0, char::len_utf8));
        let flag = flags.iter().find(|flag| flag.name.strip_prefix('-') == Some(letter));
        let flag = flag.ok_or_else(|| format!("{command}: unsupported option -{letter}"))?;
        values.0.insert(flag.name, Value::Set);
        rest = after.trim_start();
    }
    for Argument { name, kind, is_optional } in others {
        if *is_optional && rest.is_empty() {
            continue;
        }
        let (value, after) = match kind {
            Kind::Size => size(rest).map(|(size, after)| (Value::Size(size), after)).ok_or("invalid size")?,
            Kind::Device => text_value(command, rest, "block device name")?,
            Kind::Flag | Kind::Text | Kind::Command => text_value(command, rest, "string")?,
        };
        values.0.insert(name, value);
        rest = after.trim_start();
    }
    if rest.is_empty() { Ok(values) } else { Err(format!("{command}: extraneous characters at the end of line")) }
}

fn text_value<'a>(command: &str, text: &'a str, what: &str) -> Result<(Value, &'a str), String> {
    let word = next_word(text).map_err(|error| format!("{command}: {error}"))?;
    let (word, after) = word.ok_or_else(|| format!("{command}: {what} expected"))?;
    Ok((Value::Text(word), after))
}

/// A size, and what is after it: MiB unless a unit follows, and in decimals perhaps a fraction. At most what QMP has room
/// for.
fn size(text: &str) -> Option<(u64, &str)> {
    let digits = |text: &'_ str, radix| text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits(text, 10));
    if let Some(hex) = rest.strip_prefix(['x', 'X']).filter(|_| whole == "0") {
        let (number, after) = hex.split_at(digits(hex, 16));
        return Some((in_bytes(u64::from_str_radix(number, 16).ok()?, 0.0, 20)?, after));
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) if !whole.is_empty() => after.split_at(digits(after, 10)),
        Some(_) | None => ("", rest),
    };
    let unit = rest.chars().next().and_then(|unit| "BKMGTPE".find(unit.to_ascii_uppercase()));
    let after = if unit.is_some() { rest.get(1..)? } else { rest };
    let shift = 10 * u32::try_from(unit.unwrap_or(2)).ok()?;
    Some((in_bytes(whole.parse().ok()?, format!("0.{fraction}0").parse().ok()?, shift)?, after))
}

fn in_bytes(whole: u64, fraction: f64, shift: u32) -> Option<u64> {
    let unit = 1_u64 << shift;
    let bytes = whole.checked_mul(unit)?.checked_add((fraction * unit as f64) as u64)?;
    i64::try_from(bytes).is_ok().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ARGUMENTS: &[Argument] = &[
        Argument::flag("-n"),
        Argument::flag("-v"),
        Argument::required("device", Kind::Device),
        Argument::optional("size", Kind::Size),
    ];

    #[test]
    fn flags_come_first_and_the_others_in_order() {
        let values = read("x", ARGUMENTS, "  -v -n disk  64k ").expect("complete");
        assert_eq!((values.text("device"), values.size("size")), (Some("disk"), Some(65536)));
        assert!(values.has("-n") && values.has("-v"));
        let values = read("x", ARGUMENTS, r#""a \"b\" \\" "#).expect("complete");
        assert_eq!((values.text("device"), values.size("size"), values.has("-n")), (Some(r#"a "b" \"#), None, false));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, error) in [
            ("", "x: block device name expected"),
            ("-x", "x: unsupported option -x"),
            ("-", "x: unsupported option -"),
            ("a 1 b", "x: extraneous characters at the end of line"),
            ("a -n", "invalid size"),
            ("a x", "invalid size"),
            ("a 1kx", "x: extraneous characters at the end of line"),
            ("\"a", "x: unterminated string"),
            ("\"\\x\"", "x: unsupported escape code: '\\x'"),
        ] {
            assert_eq!(read("x", ARGUMENTS, line), Err(error.into()), "{line}");
        }
    }

    #[test]
    fn a_size_has_a_unit_or_counts_mebibytes() {
        for (text, bytes) in [
            ("1", 1 << 20),
            ("512b", 512),
            ("1k", 1024),
            ("3G", 3 << 30),
            ("7E", 7 << 60),
            ("1.5G", 3 << 29),
            ("1.k", 1024),
            ("0x10", 16 << 20),
            ("010", 10 << 20),
        ] {
            assert_eq!(size(text), Some((bytes, "")), "{text}");
        }
        for text in ["", "M", "-1", "8E", ".5", "99999999999999999999b", "0x", "0x80000000000", "\u{e4}"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(size("1kx y"), Some((1024, "x y")));
        assert_eq!(size("1\u{e4}"), Some((1 << 20, "\u{e4}")));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in any::<String>()) {
            let _ = (read("x", ARGUMENTS, &line), split(&line));
        }
    }
}
