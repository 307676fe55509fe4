//! Which definition an expression is: its keyword and its name.

use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::doc::Documentation;
use crate::parser::Expression;
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
    pub(super) const ALL: [Self; 6] =
        [Self::Enum, Self::Struct, Self::Union, Self::Alternate, Self::Command, Self::Event];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Enum => "enum",
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Alternate => "alternate",
            Self::Command => "command",
            Self::Event => "event",
        }
    }

    pub(super) const fn defines_type(self) -> bool {
        match self {
            Self::Enum | Self::Struct | Self::Union | Self::Alternate => true,
            Self::Command | Self::Event => false,
        }
    }
}

/// An expression that says what it defines.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub(super) keyword: Keyword,
    pub(super) name: &'a str,
    pub(super) object: &'a Object,
    pub(super) documentation: &'a Documentation,
    pub(super) span: Span,
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
