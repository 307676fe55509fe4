//! Expressions to definitions: the keys and values that each kind of definition takes, type names resolved.
//!
//! What can be judged by looking at one definition is judged here; `check` looks at several.

mod kind;
mod member;
mod named;
mod part;
mod scope;

use std::fmt;

pub use named::{Keyword, Named};
use scope::Role;
pub use scope::{Scope, Unresolved};

use crate::diagnostic::{Diagnostic, Report};
use crate::doc::{Documentation, SectionKind};
use crate::name::{self, Licence, Violation};
use crate::schema::{Definition, DefinitionId, TypeId};
use crate::source::Span;

/// A definition as far as it is right by itself.
#[derive(Debug)]
pub struct Draft<'a> {
    /// What is right.
    pub definition: Definition,
    /// That is all of it.
    pub whole: bool,
    /// It lacks no member and no base, though it may lack a branch.
    pub members_whole: bool,
    /// The uses of types that do not exist.
    pub unresolved: Vec<Unresolved<'a>>,
}

/// Reads one definition.
#[derive(Debug)]
pub struct Reader<'a, 'r> {
    named: Named<'a>,
    scope: &'r Scope<'a>,
    errors: &'r mut Report,
    unresolved: Vec<Unresolved<'a>>,
    /// The types that are used exist: all of them, and those of members and bases.
    resolved: (bool, bool),
}

impl<'a, 'r> Reader<'a, 'r> {
    /// Reads the definition, as far as it is right.
    pub fn read(id: DefinitionId, named: Named<'a>, scope: &'r Scope<'a>, errors: &'r mut Report) -> Draft<'a> {
        let before = errors.count();
        let mut reader = Self { named, scope, errors, unresolved: Vec::new(), resolved: (true, true) };
        reader.check_name();
        reader.check_doc();
        let kind = reader.kind();
        let subject = Subject::Definition(named.keyword);
        let condition = reader.condition(named.object, subject);
        let features = reader.features(named.object.find("features"));
        reader.check_flags();
        let definition = Definition {
            id,
            name: named.name.to_owned(),
            span: named.span,
            doc: named.documentation.comment().cloned(),
            condition,
            features,
            kind,
        };
        let Self { mut unresolved, resolved, errors, .. } = reader;
        unresolved.sort_by_key(Unresolved::stage);
        let right = errors.count() == before;
        Draft { definition, whole: right && resolved.0, members_whole: right && resolved.1, unresolved }
    }

    fn check_name(&mut self) {
        let (keyword, name) = (self.named.keyword, self.named.name);
        let checked = match keyword {
            Keyword::Event => name::upper(name),
            Keyword::Command => {
                let underscore = self.scope.pragmas.excepts_command_name(name);
                name::lower(name, Licence { underscore, uppercase: false })
            }
            Keyword::Enum | Keyword::Struct | Keyword::Union | Keyword::Alternate => name::camel(name),
        };
        let place = self.named.object.find(keyword.as_str()).map_or(self.named.span, |value| value.span);
        self.check_rule(checked, place, Subject::Definition(keyword));
        if keyword.defines_type() && name.ends_with("List") {
            self.error(place, format!("{} name should not end in 'List'", keyword.as_str()));
        }
    }

    fn check_rule(&mut self, checked: Result<(), Violation>, place: Span, subject: Subject<'_>) {
        match checked {
            Ok(()) => {}
            Err(Violation::Invalid) => self.error(place, format!("{subject} has an invalid name")),
            Err(Violation::NotUpper) => {
                self.error(place, format!("name of {subject} must not use lowercase or '-'"));
            }
            Err(Violation::NotLower) => {
                self.error(place, format!("name of {subject} must not use uppercase or '_'"));
            }
            Err(Violation::NotCamel) => self.error(place, format!("name of {subject} must use CamelCase")),
        }
    }

    fn check_doc(&mut self) {
        let doc = match self.named.documentation {
            Documentation::Comment(doc) => doc,
            Documentation::Missing => {
                if self.scope.pragmas.doc_required() {
                    self.error(self.named.span, "documentation comment required");
                }
                return;
            }
            Documentation::Broken => return,
        };
        let symbol = doc.symbol.as_deref().unwrap_or_default();
        if symbol != self.named.name {
            let error = Diagnostic::new(self.named.span, format!("documentation comment is for '{symbol}'"));
            self.report(error.note(doc.span, "the documentation comment"));
        }
        let command = self.named.keyword == Keyword::Command;
        for section in &doc.sections {
            let tag = match section.kind {
                SectionKind::Returns if !command => "Returns",
                SectionKind::Errors if !command => "Errors",
                SectionKind::Returns if self.named.object.find("returns").is_none() => {
                    let message = "'Returns' section, but command doesn't return anything";
                    self.report(Diagnostic::new(section.span, message));
                    continue;
                }
                SectionKind::Plain
                | SectionKind::Member(_)
                | SectionKind::Feature(_)
                | SectionKind::Returns
                | SectionKind::Errors
                | SectionKind::Since
                | SectionKind::Todo => continue,
            };
            let message = format!("'{tag}' section is only valid for commands");
            self.report(Diagnostic::new(section.span, message));
        }
    }

    fn blame(&self, place: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::within(self.named.span, place, message).in_definition(self.named.to_string())
    }

    fn report(&mut self, error: Diagnostic) {
        self.errors.push(error.in_definition(self.named.to_string()));
    }

    fn error(&mut self, place: Span, message: impl Into<String>) {
        let error = self.blame(place, message);
        self.errors.push(error);
    }

    fn error_with_help(&mut self, place: Span, message: impl Into<String>, help: Option<String>) {
        let error = self.blame(place, message);
        self.errors.push(error.suggest(help));
    }

    /// Looks a type name up, which stands alone or in an array.
    fn type_id(&mut self, name: &'a str, place: Span, role: Role<'a>, array: bool) -> Option<TypeId> {
        let found = self.scope.find(name);
        if found.is_none() {
            self.resolved = (false, self.resolved.1 && matches!(role, Role::Branch(_)));
            if self.scope.complete {
                self.unresolved.push(Unresolved { role, array, name, place });
            }
        }
        found
    }
}

/// What an error is about, the way it is spoken of.
#[derive(Clone, Copy, Debug)]
enum Subject<'a> {
    /// The definition itself.
    Definition(Keyword),
    /// The value of a key.
    Key(&'a str),
    /// An element of an array, or a member whose name does not matter.
    Entry(&'a str),
    /// A named member in the value of a key.
    Member(&'a str, &'a str),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definition(keyword) => f.write_str(keyword.as_str()),
            Self::Key(key) => write!(f, "'{key}'"),
            Self::Entry(key) => write!(f, "'{key}' member"),
            Self::Member(key, name) => write!(f, "'{key}' member '{name}'"),
        }
    }
}
