//! Expressions to definitions: the keys and values that each kind of definition takes, type names resolved.
//!
//! What can be judged by looking at one definition is judged here; `check` looks at several.

mod kind;
mod member;
mod part;

use std::collections::HashMap;
use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::doc::{Doc, SectionKind};
use crate::name::{self, Licence, Violation};
use crate::parser::Expression;
use crate::pragma::Pragmas;
use crate::schema::{Builtin, Definition, DefinitionId, TypeId};
use crate::source::Span;
use crate::suggest;
use crate::value::{Object, Value};

/// What a definition starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    /// `enum`
    Enum,
    /// `struct`
    Struct,
    /// `union`
    Union,
    /// `alternate`
    Alternate,
    /// `command`
    Command,
    /// `event`
    Event,
}

impl Keyword {
    const ALL: [Self; 6] = [Self::Enum, Self::Struct, Self::Union, Self::Alternate, Self::Command, Self::Event];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Enum => "enum",
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Alternate => "alternate",
            Self::Command => "command",
            Self::Event => "event",
        }
    }

    const fn defines_type(self) -> bool {
        match self {
            Self::Enum | Self::Struct | Self::Union | Self::Alternate => true,
            Self::Command | Self::Event => false,
        }
    }
}

/// An expression that says what it defines.
#[derive(Debug)]
pub struct Named {
    keyword: Keyword,
    name: String,
    object: Object,
    doc: Option<Doc>,
    span: Span,
}

impl Named {
    /// Finds out what the expression defines.
    ///
    /// # Errors
    /// It does not say so.
    pub fn new(expression: Expression, doc: Option<Doc>) -> Result<Self, Diagnostic> {
        let Expression { object, span } = expression;
        let mut keywords = Keyword::ALL.into_iter().filter(|keyword| object.find(keyword.as_str()).is_some());
        let (Some(keyword), None) = (keywords.next(), keywords.next()) else {
            let valid = "'enum', 'struct', 'union', 'alternate', 'command', 'event'";
            return Err(Diagnostic::new(span, format!("expression must have exactly one key {valid}")));
        };
        let Some(name) = object.find(keyword.as_str()).and_then(Value::as_str).map(str::to_owned) else {
            return Err(Diagnostic::new(span, format!("'{}' requires a string name", keyword.as_str())));
        };
        Ok(Self { keyword, name, object, doc, span })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the expression starts.
    pub const fn span(&self) -> Span {
        self.span
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", self.keyword.as_str(), self.name)
    }
}

/// What every definition may refer to.
#[derive(Debug)]
pub struct Scope<'a> {
    types: HashMap<&'a str, DefinitionId>,
    pragmas: &'a Pragmas,
}

impl<'a> Scope<'a> {
    /// The types among the definitions, which are numbered in their order.
    pub fn new(definitions: &'a [Named], pragmas: &'a Pragmas) -> Self {
        let numbered = (0..).map(DefinitionId).zip(definitions);
        let types = numbered.filter(|(_, named)| named.keyword.defines_type());
        let types = types.map(|(id, named)| (named.name.as_str(), id));
        // The first one of a name counts.
        Self { types: types.collect::<Vec<_>>().into_iter().rev().collect(), pragmas }
    }

    fn find(&self, name: &str) -> Option<TypeId> {
        let defined = || self.types.get(name).copied().map(TypeId::Definition);
        Builtin::from_name(name).map(TypeId::Builtin).or_else(defined)
    }
}

/// What is wrong with definitions.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong with a definition by itself.
    pub structure: Vec<Diagnostic>,
    /// What is wrong with how a definition refers to others.
    pub meaning: Vec<(DefinitionId, Diagnostic)>,
}

impl Findings {
    fn count(&self) -> usize {
        self.structure.len() + self.meaning.len()
    }
}

/// Reads one definition.
#[derive(Debug)]
pub struct Reader<'a> {
    id: DefinitionId,
    named: &'a Named,
    scope: &'a Scope<'a>,
    findings: &'a mut Findings,
}

impl<'a> Reader<'a> {
    /// Reads the definition. If something is wrong with it, what remains of it is returned together with `false`.
    pub fn read(
        id: DefinitionId,
        named: &'a Named,
        scope: &'a Scope<'a>,
        findings: &'a mut Findings,
    ) -> (Definition, bool) {
        let before = findings.count();
        let mut reader = Self { id, named, scope, findings };
        reader.check_name();
        reader.check_doc();
        let kind = reader.kind();
        let subject = Subject::Definition(named.keyword);
        let condition = reader.condition(&named.object, subject);
        let features = reader.features(named.object.find("features"));
        reader.check_flags();
        let definition = Definition {
            id,
            name: named.name.clone(),
            span: named.span,
            doc: named.doc.clone(),
            condition,
            features,
            kind,
        };
        let whole = reader.findings.count() == before;
        (definition, whole)
    }

    fn check_name(&mut self) {
        let (keyword, name) = (self.named.keyword, self.named.name.as_str());
        let checked = match keyword {
            Keyword::Event => name::upper(name),
            Keyword::Command => {
                let underscore = self.scope.pragmas.command_name_exceptions.contains(name);
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
        let Some(doc) = &self.named.doc else {
            if self.scope.pragmas.doc_required {
                self.error(self.named.span, "documentation comment required");
            }
            return;
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
        self.findings.structure.push(error.in_definition(self.named.to_string()));
    }

    fn error(&mut self, place: Span, message: impl Into<String>) {
        let error = self.blame(place, message);
        self.findings.structure.push(error);
    }

    fn error_with_help(&mut self, place: Span, message: impl Into<String>, help: Option<String>) {
        let error = self.blame(place, message);
        self.findings.structure.push(error.suggest(help));
    }

    /// Looks a type name up that `subject` uses.
    fn type_id(&mut self, name: &str, place: Span, subject: impl fmt::Display) -> Option<TypeId> {
        let found = self.scope.find(name);
        if found.is_none() {
            let error = self.blame(place, format!("{subject} uses unknown type '{name}'"));
            let help = suggest::nearest(name, self.scope.types.keys().copied());
            self.findings.meaning.push((self.id, error.suggest(help)));
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
