//! Expressions to definitions: the keys and values that each kind of definition takes, type names resolved.
//!
//! What can be judged by looking at one definition is judged here; `check` looks at several.

mod kind;
mod member;
mod part;

use std::collections::HashMap;
use std::fmt;

use crate::diagnostic::{Diagnostic, Report};
use crate::doc::{Documentation, SectionKind};
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
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    keyword: Keyword,
    name: &'a str,
    object: &'a Object,
    documentation: &'a Documentation,
    span: Span,
}

impl<'a> Named<'a> {
    /// Finds out what the expression defines.
    ///
    /// # Errors
    /// It does not say so.
    pub fn new(expression: &'a Expression, documentation: &'a Documentation) -> Result<Self, Nameless> {
        let Expression { object, span } = expression;
        let mut keywords = Keyword::ALL.into_iter().filter(|keyword| object.find(keyword.as_str()).is_some());
        let (Some(keyword), None) = (keywords.next(), keywords.next()) else {
            return Err(Nameless { keyword: None, span: *span });
        };
        let name = object.find(keyword.as_str()).and_then(Value::as_str);
        let name = name.ok_or(Nameless { keyword: Some(keyword), span: *span })?;
        Ok(Self { keyword, name, object, documentation, span: *span })
    }

    /// The name.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Where the expression starts.
    pub const fn span(&self) -> Span {
        self.span
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", self.keyword.as_str(), self.name)
    }
}

/// Why an expression does not say what it defines.
#[derive(Clone, Copy, Debug)]
pub struct Nameless {
    /// The keyword, if there is one.
    keyword: Option<Keyword>,
    span: Span,
}

impl Nameless {
    /// The error.
    pub fn error(self, object: &Object) -> Diagnostic {
        if let Some(keyword) = self.keyword {
            return Diagnostic::new(self.span, format!("'{}' requires a string name", keyword.as_str()));
        }
        let valid = || Keyword::ALL.into_iter().map(Keyword::as_str);
        let list = valid().map(|keyword| format!("'{keyword}'")).collect::<Vec<_>>().join(", ");
        let error = Diagnostic::new(self.span, format!("expression must have exactly one key {list}"));
        let directives = || valid().chain(["include", "pragma"]);
        let near = object.members.first().and_then(|(key, _)| suggest::nearest(&key.name, directives()));
        error.suggest(near.filter(|_| valid().all(|keyword| object.find(keyword).is_none())))
    }
}

/// What every definition may refer to.
#[derive(Debug)]
pub struct Scope<'a> {
    types: HashMap<&'a str, DefinitionId>,
    pragmas: &'a Pragmas,
    complete: bool,
}

impl<'a> Scope<'a> {
    /// The types among the definitions, which are numbered in their order. If they are not complete, nothing is
    /// complained about that others may have defined.
    pub fn new(definitions: &[Named<'a>], pragmas: &'a Pragmas, complete: bool) -> Self {
        let numbered = (0..).map(DefinitionId).zip(definitions);
        let mut types = HashMap::new();
        for (id, named) in numbered.filter(|(_, named)| named.keyword.defines_type()) {
            // The first one of a name counts.
            types.entry(named.name).or_insert(id);
        }
        Self { types, pragmas, complete }
    }

    fn find(&self, name: &str) -> Option<TypeId> {
        let defined = || self.types.get(name).copied().map(TypeId::Definition);
        Builtin::from_name(name).map(TypeId::Builtin).or_else(defined)
    }

    /// The error about a use of a type that does not exist.
    pub fn unknown(&self, of: &Definition, unresolved: &Unresolved<'_>) -> Diagnostic {
        let Unresolved { role, name, place, .. } = unresolved;
        let error = Diagnostic::within(of.span, *place, format!("{role} uses unknown type '{name}'"));
        let array = name.strip_suffix("List").filter(|element| self.find(element).is_some());
        let array = array.map(|element| format!("an array is written ['{element}']"));
        let types = self.types.keys().copied().chain(Builtin::names());
        error.in_definition(of.to_string()).suggest(array.or_else(|| suggest::nearest(name, types)))
    }
}

/// A definition as far as it is right by itself.
#[derive(Debug)]
pub struct Draft<'a> {
    /// What is right.
    pub definition: Definition,
    /// That is all of it.
    pub whole: bool,
    /// The uses of types that do not exist.
    pub unresolved: Vec<Unresolved<'a>>,
}

/// A use of a type that does not exist.
#[derive(Debug)]
pub struct Unresolved<'a> {
    role: Role<'a>,
    array: bool,
    name: &'a str,
    place: Span,
}

impl Unresolved<'_> {
    /// When QEMU's compiler finds it, compared with others in the same definition: at first those in arrays, then the
    /// base, then members, then the branches in their order, then what a command returns.
    pub const fn stage(&self) -> usize {
        match self.role {
            _ if self.array => 0,
            Role::Base => 1,
            Role::Data(_) | Role::Member(_) => Self::MEMBERS,
            Role::Branch(_) => Self::branch(self.place),
            Role::Returns => usize::MAX,
        }
    }

    /// The stage of members and arguments.
    pub const MEMBERS: usize = 2;

    /// The stage of a branch, or of its type.
    pub const fn branch(at: Span) -> usize {
        Self::MEMBERS + 1 + at.start as usize
    }
}

/// Reads one definition.
#[derive(Debug)]
pub struct Reader<'a, 'r> {
    named: Named<'a>,
    scope: &'r Scope<'a>,
    errors: &'r mut Report,
    unresolved: Vec<Unresolved<'a>>,
    /// All types that are used exist.
    resolved: bool,
}

impl<'a, 'r> Reader<'a, 'r> {
    /// Reads the definition, as far as it is right.
    pub fn read(id: DefinitionId, named: Named<'a>, scope: &'r Scope<'a>, errors: &'r mut Report) -> Draft<'a> {
        let before = errors.count();
        let mut reader = Self { named, scope, errors, unresolved: Vec::new(), resolved: true };
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
        Draft { definition, whole: resolved && errors.count() == before, unresolved }
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
            self.resolved = false;
            if self.scope.complete {
                self.unresolved.push(Unresolved { role, array, name, place });
            }
        }
        found
    }
}

/// What a type is used for, the way it is spoken of.
#[derive(Clone, Copy, Debug)]
enum Role<'a> {
    /// The base of a struct or a union.
    Base,
    /// The arguments of a command or the data of an event.
    Data(Keyword),
    /// A member.
    Member(&'a str),
    /// A branch.
    Branch(&'a str),
    /// What a command returns.
    Returns,
}

impl fmt::Display for Role<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("'base'"),
            Self::Data(keyword) => write!(f, "{}'s 'data'", keyword.as_str()),
            Self::Member(name) => write!(f, "member '{name}'"),
            Self::Branch(name) => write!(f, "branch '{name}'"),
            Self::Returns => f.write_str("command's 'returns'"),
        }
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
