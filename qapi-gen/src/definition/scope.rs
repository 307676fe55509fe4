//! The types that definitions may refer to, and what is said about references to others.

use std::collections::HashMap;
use std::fmt;

use super::{Keyword, Named};
use crate::diagnostic::Diagnostic;
use crate::pragma::Pragmas;
use crate::schema::{Builtin, Definition, DefinitionId, TypeId};
use crate::source::Span;
use crate::suggest;

/// What every definition may refer to.
#[derive(Debug)]
pub struct Scope<'a> {
    types: HashMap<&'a str, DefinitionId>,
    pub(super) pragmas: &'a Pragmas,
    pub(super) complete: bool,
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

    pub(super) fn find(&self, name: &str) -> Option<TypeId> {
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

/// A use of a type that does not exist.
#[derive(Debug)]
pub struct Unresolved<'a> {
    pub(super) role: Role<'a>,
    pub(super) array: bool,
    pub(super) name: &'a str,
    pub(super) place: Span,
}

impl Unresolved<'_> {
    /// When QEMU's compiler finds it, compared with others in the same definition: at first those in arrays, then the
    /// base, then members, then the branches in their order, then what a command returns. When a definition is looked
    /// at since another one contains it, arrays do not matter.
    pub const fn stage(&self) -> usize {
        match self.role {
            _ if self.array => Self::ARRAYS,
            Role::Base => Self::BASE,
            Role::Data(_) | Role::Member(_) => Self::MEMBERS,
            Role::Branch(_) => Self::branch(self.place),
            Role::Returns => usize::MAX,
        }
    }

    /// The stage of arrays.
    pub const ARRAYS: usize = 0;

    /// The stage of the base.
    pub const BASE: usize = 1;

    /// The stage of members and arguments.
    pub const MEMBERS: usize = 2;

    /// The stage of a branch, or of its type.
    pub const fn branch(at: Span) -> usize {
        Self::MEMBERS + 1 + at.start as usize
    }
}

/// What a type is used for, the way it is spoken of.
#[derive(Clone, Copy, Debug)]
pub enum Role<'a> {
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
