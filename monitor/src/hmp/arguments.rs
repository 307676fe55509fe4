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

/// Splits a line at blanks, outside of double quotes. In them `\` makes the next character an ordinary one, or with
/// `n` and `r` the end of a line.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = unquote(quoted)?;
            words.push(word);
            rest = after;
        } else {
            let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
            words.push(word.to_owned());
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(words)
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

/// Reads `words` as these arguments: flags anywhere, the others in their order.
pub(super) fn read(arguments: &[Argument], words: &[String]) -> Result<Values, String> {
    let mut values = Values::default();
    let has_flags = arguments.iter().any(|argument| argument.kind == Kind::Flag);
    let mut expected = arguments.iter().filter(|argument| argument.kind != Kind::Flag);
    for word in words {
        if has_flags && word.starts_with('-') && word.len() > 1 {
            let flag = arguments.iter().find(|argument| argument.kind == Kind::Flag && argument.name == word);
            let flag = flag.ok_or_else(|| format!("unsupported option {word}"))?;
            values.0.insert(flag.name, Value::Set);
            continue;
        }
        let argument = expected.next().ok_or_else(|| format!("extraneous argument '{word}'"))?;
        let value = match argument.kind {
            Kind::Size => Value::Size(size(word).ok_or_else(|| format!("'{word}' is not a size"))?),
            Kind::Flag | Kind::Text | Kind::Command | Kind::Device => Value::Text(word.clone()),
        };
        values.0.insert(argument.name, value);
    }
    match expected.find(|argument| !argument.is_optional) {
        Some(missing) => Err(format!("{} expected", missing.name)),
        None => Ok(values),
    }
}

/// A size with an optional unit, MiB without. At most what QMP has room for.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, unit) if unit.is_ascii_alphabetic() => (text.get(..at)?, unit.to_ascii_uppercase()),
        _ => (text, 'M'),
    };
    let shift = 10 * u32::try_from("BKMGTPE".find(unit)?).ok()?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    i64::try_from(bytes).is_ok().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ARGUMENTS: &[Argument] =
        &[Argument::flag("-n"), Argument::required("device", Kind::Device), Argument::optional("size", Kind::Size)];

    fn read_line(line: &str) -> Result<Values, String> {
        read(ARGUMENTS, &split(line)?)
    }

    #[test]
    fn words_are_read_in_order_and_flags_anywhere() {
        let values = read_line("  disk  64k -n ").expect("complete");
        assert_eq!((values.text("device"), values.size("size"), values.has("-n")), (Some("disk"), Some(65536), true));
        let values = read_line(r#""a \"b\" \\" "#).expect("complete");
        assert_eq!((values.text("device"), values.size("size"), values.has("-n")), (Some(r#"a "b" \"#), None, false));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, error) in [
            ("", "device expected"),
            ("-x", "unsupported option -x"),
            ("a 1 b", "extraneous argument 'b'"),
            ("a x", "'x' is not a size"),
            ("\"a", "unterminated string"),
            ("\"\\x\"", "unsupported escape code: '\\x'"),
        ] {
            assert_eq!(read_line(line), Err(error.into()), "{line}");
        }
    }

    #[test]
    fn a_size_has_a_unit_or_counts_mebibytes() {
        for (text, bytes) in [("1", 1 << 20), ("512b", 512), ("1k", 1024), ("3G", 3 << 30), ("7E", 7 << 60)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "M", "-1", "8E", "1x", "1.5G", "99999999999999999999b", "1\u{e4}"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in any::<String>()) {
            let _ = read_line(&line);
        }
    }
}
