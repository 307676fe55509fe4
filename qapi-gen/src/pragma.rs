//! Pragmas: what a schema switches on, or is excused from, for historical reasons.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Report};
use crate::source::Span;
use crate::suggest;
use crate::value::{Key, Object, Value};

/// The pragmas of a schema. They hold for all of it, wherever they stand.
#[derive(Clone, Debug, Default)]
pub struct Pragmas {
    /// Every definition must be documented.
    doc_required: bool,
    /// Commands whose names may contain `_`.
    command_name_exceptions: HashSet<String>,
    /// Commands that may return something else than an object.
    command_returns_exceptions: HashSet<String>,
    /// Definitions whose members need no documentation.
    documentation_exceptions: HashSet<String>,
    /// Types whose members' names may contain upper case and `_`.
    member_name_exceptions: HashSet<String>,
    /// Some pragmas were lost to errors. They may have excepted anything.
    incomplete: bool,
}

const NAMES: [&str; 5] = [
    "doc-required",
    "command-name-exceptions",
    "command-returns-exceptions",
    "documentation-exceptions",
    "member-name-exceptions",
];

impl Pragmas {
    /// Takes over the pragmas of one directive, which starts at `at`, except those that are wrong.
    pub fn set(&mut self, directive: &Object, at: Span, errors: &mut Report) {
        for (key, value) in &directive.members {
            if let Err(error) = self.set_one(key, value, at) {
                errors.push(error);
                self.incomplete = true;
            }
        }
    }

    fn set_one(&mut self, key: &Key, value: &Value, at: Span) -> Result<(), Diagnostic> {
        let list = match key.name.as_str() {
            "doc-required" => {
                let wrong = || Diagnostic::within(at, value.span, "pragma 'doc-required' must be boolean");
                self.doc_required = value.as_bool().ok_or_else(wrong)?;
                return Ok(());
            }
            "command-name-exceptions" => &mut self.command_name_exceptions,
            "command-returns-exceptions" => &mut self.command_returns_exceptions,
            "documentation-exceptions" => &mut self.documentation_exceptions,
            "member-name-exceptions" => &mut self.member_name_exceptions,
            name => {
                let error = Diagnostic::within(at, key.span, format!("unknown pragma '{name}'"));
                return Err(error.suggest(suggest::nearest(name, NAMES)));
            }
        };
        let strings = value.as_array().map(|elements| elements.iter().map(|name| name.as_str().map(str::to_owned)));
        let wrong = || Diagnostic::within(at, value.span, format!("pragma '{}' must be a list of strings", key.name));
        *list = strings.and_then(Iterator::collect).ok_or_else(wrong)?;
        Ok(())
    }

    /// Says that some pragmas were lost to errors: nothing is complained about that they may have excepted.
    pub const fn set_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Whether every definition must be documented.
    pub const fn doc_required(&self) -> bool {
        self.doc_required && !self.incomplete
    }

    /// Whether a command's name may contain `_`.
    pub fn excepts_command_name(&self, command: &str) -> bool {
        self.incomplete || self.command_name_exceptions.contains(command)
    }

    /// Whether a command may return something else than an object.
    pub fn excepts_command_returns(&self, command: &str) -> bool {
        self.incomplete || self.command_returns_exceptions.contains(command)
    }

    /// Whether a definition's members need no documentation.
    pub fn excepts_documentation(&self, definition: &str) -> bool {
        self.incomplete || self.documentation_exceptions.contains(definition)
    }

    /// Whether the names of a type's members may contain upper case and `_`.
    pub fn excepts_member_names(&self, ty: &str) -> bool {
        self.incomplete || self.member_name_exceptions.contains(ty)
    }
}
