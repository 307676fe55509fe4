//! References to types: those of the language, and those that the schema defines.

use super::DefinitionId;

/// A type, or an array of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// The type, or the type of the elements.
    pub id: TypeId,
    /// It is an array.
    pub array: bool,
}

/// A type by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeId {
    /// One that the language defines.
    Builtin(Builtin),
    /// One that the schema defines.
    Definition(DefinitionId),
}

/// A type that the language defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// A string.
    Str,
    /// A number that need not be whole.
    Number,
    /// A signed integer of 64 bits.
    Int,
    /// A signed integer of 8 bits.
    Int8,
    /// A signed integer of 16 bits.
    Int16,
    /// A signed integer of 32 bits.
    Int32,
    /// A signed integer of 64 bits.
    Int64,
    /// An unsigned integer of 8 bits.
    Uint8,
    /// An unsigned integer of 16 bits.
    Uint16,
    /// An unsigned integer of 32 bits.
    Uint32,
    /// An unsigned integer of 64 bits.
    Uint64,
    /// An unsigned integer of 64 bits that command lines may write with a suffix.
    Size,
    /// A truth value.
    Bool,
    /// Nothing.
    Null,
    /// Any value.
    Any,
    /// The type of a value, an enumeration.
    QType,
}

impl TypeId {
    /// The definition, if the schema has one.
    pub const fn definition(self) -> Option<DefinitionId> {
        match self {
            Self::Builtin(_) => None,
            Self::Definition(id) => Some(id),
        }
    }
}

impl Builtin {
    const NAMES: [(&'static str, Self); 16] = [
        ("str", Self::Str),
        ("number", Self::Number),
        ("int", Self::Int),
        ("int8", Self::Int8),
        ("int16", Self::Int16),
        ("int32", Self::Int32),
        ("int64", Self::Int64),
        ("uint8", Self::Uint8),
        ("uint16", Self::Uint16),
        ("uint32", Self::Uint32),
        ("uint64", Self::Uint64),
        ("size", Self::Size),
        ("bool", Self::Bool),
        ("null", Self::Null),
        ("any", Self::Any),
        ("QType", Self::QType),
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(_, builtin)| builtin)
    }

    /// The values of [`Builtin::QType`].
    pub const QTYPES: [&'static str; 7] = ["none", "qnull", "qnum", "qstring", "qdict", "qlist", "qbool"];

    /// The names of all of them.
    pub fn names<'a>() -> impl Iterator<Item = &'a str> {
        Self::NAMES.iter().map(|&(name, _)| name)
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find_map(|&(known, builtin)| (known == name).then_some(builtin))
    }

    /// The name in the schema.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find_map(|&(name, builtin)| (builtin == self).then_some(name)).unwrap_or_default()
    }
}
