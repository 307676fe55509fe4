//! The config file of `blkdebug`: sections of `key = "value"` lines, each a rule.
//!
//! ```text
//! # Fail the write after the first flush.
//! [set-state]
//! event = "flush_to_disk"
//! state = "1"
//! new_state = "2"
//!
//! [inject-error "an optional name"]
//! event = "write_aio"
//! state = "2"
//! once = "on"
//! ```

use std::fs::File;
use std::io::Read;
use std::str;

use qapi_schema::block_core::{BlkdebugEvent, BlkdebugInjectErrorOptions, BlkdebugSetStateOptions};
use qapi_schema::{Dialect, Error, FromValue, Visitor};
use serde_json::Value;

use super::rules::{InjectError, Invalid, Rules, SetState};
use crate::error::message;

/// More is no list of rules.
const MAX_SIZE: u64 = 1 << 20;

/// The rules of the file. Waits as long as opening and reading it takes, which for a FIFO may be for ever.
pub(super) fn load(filename: &str) -> Result<Rules, Error> {
    let mut bytes = Vec::new();
    let read = File::open(filename).and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut bytes));
    let refuse = |text: &str| Error::generic(format!("Could not read blkdebug config file '{filename}': {text}"));
    let length = read.map_err(|error| refuse(&message(&error)))?;
    if length as u64 > MAX_SIZE {
        return Err(refuse(&format!("it has more than {MAX_SIZE} bytes")));
    }
    parse(filename, &bytes)
}

/// The rules in the text of `filename`.
fn parse(filename: &str, text: &[u8]) -> Result<Rules, Error> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let at = Place { filename, line: number };
        let line = str::from_utf8(line).map_err(|_| at.error("not valid UTF-8"))?;
        match Line::parse(line).map_err(|error| at.error(error))? {
            Line::Nothing => {}
            Line::Section { kind, name } => {
                let taken = |other: &Section<'_>| other.kind == kind && name.is_some() && other.name == name;
                if sections.iter().any(taken) {
                    let text = format!("Duplicate ID '{}' for {}", name.unwrap_or_default(), kind.name());
                    return Err(at.error(&text));
                }
                sections.push(Section { kind, name, at, entries: Vec::new() });
            }
            Line::Entry { key, value } => {
                let section = sections.last_mut().ok_or_else(|| at.error("there is no section before this line"))?;
                if !section.kind.keys().contains(&key) {
                    return Err(at.error(&format!("Parameter '{key}' is unexpected in [{}]", section.kind.name())));
                }
                section.entries.push(Entry { at, key, value });
            }
        }
    }
    let mut rules = Rules::default();
    for section in sections {
        match section.kind {
            Kind::InjectError => rules.inject_error.push(section.inject_error()?),
            Kind::SetState => rules.set_state.push(section.set_state()?),
        }
    }
    Ok(rules)
}

/// A line, as messages name it.
#[derive(Clone, Copy)]
struct Place<'a> {
    filename: &'a str,
    line: usize,
}

impl Place<'_> {
    fn error(&self, text: &str) -> Error {
        Error::generic(format!("{}:{}: {text}", self.filename, self.line))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    InjectError,
    SetState,
}

impl Kind {
    const ALL: [Self; 2] = [Self::InjectError, Self::SetState];

    const fn name(self) -> &'static str {
        match self {
            Self::InjectError => "inject-error",
            Self::SetState => "set-state",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::InjectError => &["event", "state", "iotype", "errno", "sector", "once", "immediately"],
            Self::SetState => &["event", "state", "new_state"],
        }
    }
}

/// What a line says.
enum Line<'a> {
    Nothing,
    Section { kind: Kind, name: Option<&'a str> },
    Entry { key: &'a str, value: &'a str },
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Result<Self, &'static str> {
        let line = line.trim();
        if is_nothing(line) {
            return Ok(Self::Nothing);
        }
        if let Some(header) = line.strip_prefix('[') {
            let (header, rest) = header.split_once(']').ok_or("expected ']' after the name of a section")?;
            let (group, name) = header.split_once(char::is_whitespace).unwrap_or((header, ""));
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == group);
            let kind = kind.ok_or("there are no sections but [inject-error] and [set-state]")?;
            let name = match name.trim() {
                "" => None,
                name => Some(unquote(name).ok_or("expected the name of a rule in double quotes")?),
            };
            return match name {
                Some((_, after)) if !after.is_empty() => Err("expected ']' after the name of a rule"),
                _ if !is_nothing(rest.trim_start()) => Err("unexpected text after a section's ']'"),
                Some((name, _)) => Ok(Self::Section { kind, name: Some(name) }),
                None => Ok(Self::Section { kind, name: None }),
            };
        }
        let (key, value) = line.split_once('=').ok_or("expected a section or key = \"value\"")?;
        let (value, rest) = unquote(value.trim_start()).ok_or("expected a value in double quotes after '='")?;
        if !is_nothing(rest.trim_start()) {
            return Err("unexpected text after a value");
        }
        Ok(Self::Entry { key: key.trim_end(), value })
    }
}

fn is_nothing(text: &str) -> bool {
    text.is_empty() || text.starts_with('#')
}

/// What is between two quotes, and what comes after them. As in QEMU, a value can't have a quote in it.
fn unquote(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"')
}

struct Section<'a> {
    kind: Kind,
    name: Option<&'a str>,
    at: Place<'a>,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    at: Place<'a>,
    key: &'a str,
    value: &'a str,
}

impl Section<'_> {
    fn inject_error(&self) -> Result<InjectError, Error> {
        let options = BlkdebugInjectErrorOptions {
            event: self.event()?,
            state: self.value("state")?,
            iotype: self.value("iotype")?,
            errno: self.value("errno")?,
            sector: self.value("sector")?,
            once: self.value("once")?,
            immediately: self.value("immediately")?,
        };
        InjectError::new(&options).map_err(|Invalid { member, value }| {
            let at = self.entry(member).map_or(self.at, |entry| entry.at);
            at.error(&format!("Parameter '{member}' does not accept value '{value}'"))
        })
    }

    /// As in QEMU, a state that is not given is 0.
    fn set_state(&self) -> Result<SetState, Error> {
        let new_state = self.value("new_state")?.unwrap_or(0);
        Ok(SetState::new(&BlkdebugSetStateOptions { event: self.event()?, state: self.value("state")?, new_state }))
    }

    fn event(&self) -> Result<BlkdebugEvent, Error> {
        let event = self.value("event")?;
        event.ok_or_else(|| self.at.error(&format!("Parameter 'event' is missing in [{}]", self.kind.name())))
    }

    /// The last of several counts.
    fn entry(&self, key: &str) -> Option<&Entry<'_>> {
        self.entries.iter().rfind(|entry| entry.key == key)
    }

    /// A value, spelt as on the command line.
    fn value<T: FromValue>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(entry) = self.entry(key) else {
            return Ok(None);
        };
        let root = Visitor::root(Dialect::Keyval);
        let value = T::from_value(Value::String(entry.value.to_owned()), &root.member(key));
        value.map(Some).map_err(|error| entry.at.error(error.desc()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use qapi_schema::block_core::BlkdebugIOType;

    fn parsed(text: &str) -> Result<Rules, String> {
        parse("rules.cfg", text.as_bytes()).map_err(|error| error.desc().to_owned())
    }

    #[test]
    fn a_section_is_a_rule_and_its_lines_are_what_inline_rules_have() {
        let text = "\n# Fail the write after the first flush.\n[set-state]\nevent = \"flush_to_disk\"\n\
                    state=\"1\"   # in the first state\n  new_state = \"2\"\r\n[ inject-error ]\n";
        assert!(parsed(text).is_err(), "blanks in brackets");
        let text = text.replace("[ inject-error ]", "[inject-error \"the write\"]  # named")
            + "event = \"write_aio\"\nstate = \"2\"\niotype = \"write\"\nerrno = \"0x1c\"\nsector = \"3\"\nonce = \"off\"\n\
               once = \"on\"\nimmediately = \"yes\"";
        let inject = BlkdebugInjectErrorOptions {
            event: BlkdebugEvent::WriteAio,
            state: Some(2),
            iotype: Some(BlkdebugIOType::Write),
            errno: Some(28),
            sector: Some(3),
            once: Some(true),
            immediately: Some(true),
        };
        let set = BlkdebugSetStateOptions { event: BlkdebugEvent::FlushToDisk, state: Some(1), new_state: 2 };
        let inject_error = vec![InjectError::new(&inject).expect("valid")];
        assert_eq!(parsed(&text), Ok(Rules { inject_error, set_state: vec![SetState::new(&set)] }));
        assert_eq!(parsed(""), Ok(Rules::default()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file_and_line() {
        for (text, error) in [
            ("event = \"none\"", "1: there is no section before this line"),
            ("\n[inject-eror]", "2: there are no sections but [inject-error] and [set-state]"),
            ("[inject-error", "1: expected ']' after the name of a section"),
            ("[inject-error name]", "1: expected the name of a rule in double quotes"),
            ("[inject-error \"a\" b]", "1: expected ']' after the name of a rule"),
            ("[inject-error] x", "1: unexpected text after a section's ']'"),
            ("[set-state \"a\"]\nevent = \"none\"\n[set-state \"a\"]", "3: Duplicate ID 'a' for set-state"),
            ("[set-state]\nerrno = \"5\"", "2: Parameter 'errno' is unexpected in [set-state]"),
            ("[inject-error]\nevent", "2: expected a section or key = \"value\""),
            ("[inject-error]\nevent = none", "2: expected a value in double quotes after '='"),
            ("[inject-error]\nevent = \"none", "2: expected a value in double quotes after '='"),
            ("[inject-error]\nevent = \"none\" \"x\"", "2: unexpected text after a value"),
            ("[inject-error]\n\n[set-state]", "1: Parameter 'event' is missing in [inject-error]"),
            ("[inject-error]\nevent = \"never\"", "2: Parameter 'event' does not accept value 'never'"),
            (
                "[inject-error]\nevent = \"none\"\nerrno = \"x\"",
                "3: Invalid parameter type for 'errno', expected: integer",
            ),
            ("[inject-error]\nerrno = \"-1\"\nevent = \"none\"", "2: Parameter 'errno' does not accept value '-1'"),
            ("[inject-error]\nevent = \"none\"\nsector = \"-2\"", "3: Parameter 'sector' does not accept value '-2'"),
            ("[inject-error]\nevent = \"none\"\nonce = \"1\"", "3: Parameter 'once' expects 'on' or 'off'"),
        ] {
            assert_eq!(parsed(text), Err(format!("rules.cfg:{error}")), "{text}");
        }
        assert!(parse("f", b"\n\xff").expect_err("no text").desc().starts_with("f:2: not valid UTF-8"));
    }

    #[test]
    fn a_file_that_cannot_be_read_or_never_ends_is_refused_by_name() {
        let refused = |filename| load(filename).expect_err("refused").desc().to_owned();
        assert_eq!(refused("/"), "Could not read blkdebug config file '/': Is a directory");
        let none = "/does/not/exist";
        assert_eq!(refused(none), format!("Could not read blkdebug config file '{none}': No such file or directory"));
        assert!(refused("/dev/zero").ends_with("it has more than 1048576 bytes"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_fail_otherwise_than_by_an_error(text in "([\\[\\]\"=# \n]|inject-error|event|none|\\PC)*") {
            if let Err(error) = parsed(&text) {
                prop_assert!(error.starts_with("rules.cfg:"), "{}", error);
            }
        }
    }
}
