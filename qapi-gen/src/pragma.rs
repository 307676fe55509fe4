//! Pragmas: what a schema switches on, or is excused from, for historical reasons.

use std::collections::HashSet;

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::suggest;
use crate::value::{Object, Value};

/// The pragmas of a schema. They hold for all of it, wherever they stand.
#[derive(Clone, Debug, Default)]
pub struct Pragmas {
    /// Every definition must be documented.
    pub doc_required: bool,
    /// Commands whose names may contain `_`.
    pub command_name_exceptions: HashSet<String>,
    /// Commands that may return something else than an object.
    pub command_returns_exceptions: HashSet<String>,
    /// Definitions whose members need no documentation.
    pub documentation_exceptions: HashSet<String>,
    /// Types whose members' names may contain upper case and `_`.
    pub member_name_exceptions: HashSet<String>,
}

const NAMES: [&str; 5] = [
    "doc-required",
    "command-name-exceptions",
    "command-returns-exceptions",
    "documentation-exceptions",
    "member-name-exceptions",
];

impl Pragmas {
    /// Takes over the pragmas of one directive, which starts at `at`.
    ///
    /// # Errors
    /// One of them is unknown or has a value of the wrong type.
    pub fn set(&mut self, directive: &Object, at: Span) -> Result<(), Diagnostic> {
        directive.members.iter().try_for_each(|(key, value)| match key.name.as_str() {
            "doc-required" => match value.as_bool() {
                Some(required) => {
                    self.doc_required = required;
                    Ok(())
                }
                None => Err(Diagnostic::within(at, value.span, "pragma 'doc-required' must be boolean")),
            },
            "command-name-exceptions" => names(&mut self.command_name_exceptions, &key.name, value, at),
            "command-returns-exceptions" => names(&mut self.command_returns_exceptions, &key.name, value, at),
            "documentation-exceptions" => names(&mut self.documentation_exceptions, &key.name, value, at),
            "member-name-exceptions" => names(&mut self.member_name_exceptions, &key.name, value, at),
            name => {
                let error = Diagnostic::within(at, key.span, format!("unknown pragma '{name}'"));
                Err(error.suggest(suggest::nearest(name, NAMES.into_iter())))
            }
        })
    }
}

fn names(set: &mut HashSet<String>, pragma: &str, value: &Value, at: Span) -> Result<(), Diagnostic> {
    let strings = value.as_array().map(|elements| elements.iter().map(|name| name.as_str().map(str::to_owned)));
    let Some(strings) = strings.and_then(Iterator::collect) else {
        return Err(Diagnostic::within(at, value.span, format!("pragma '{pragma}' must be a list of strings")));
    };
    *set = strings;
    Ok(())
}
