//! Alternates: JSON, and the command line, must be able to tell the branches apart.

use std::collections::HashMap;

use super::{Checker, blame};
use crate::name;
use crate::schema::{Alternate, Branch, Builtin, Definition, DefinitionKind, Type, TypeId};

/// The types that JSON can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum JsonType {
    /// `null`
    Null,
    /// `true` and `false`
    Boolean,
    /// A number, whole or not.
    Number,
    /// A string.
    String,
    /// An object.
    Object,
    /// An array.
    Array,
}

impl<'a> Checker<'a, '_> {
    /// Checks an alternate.
    pub(super) fn alternate(&mut self, definition: &'a Definition, alternate: &'a Alternate) {
        let mut names = HashMap::new();
        let mut taken: HashMap<JsonType, &Branch> = HashMap::new();
        for branch in &alternate.branches {
            if let Some(first) = names.insert(name::folded(&branch.name), branch) {
                let message = format!("branch '{}' collides with branch '{}'", branch.name, first.name);
                self.errors.push(blame(definition, branch.span, message).after(first.span));
            }
            let Some(json) = self.schema.json_type(branch.ty) else {
                let message = format!("branch '{}' cannot use {}", branch.name, self.describe(branch.ty.id));
                self.error(definition, branch.span, message);
                continue;
            };
            for claimed in self.claims(branch, json) {
                if let Some(other) = taken.insert(claimed, branch) {
                    let message = format!("branch '{}' can't be distinguished from '{}'", branch.name, other.name);
                    self.errors.push(blame(definition, branch.span, message).after(other.span));
                    break;
                }
            }
        }
    }

    /// The JSON types that a branch keeps for itself. The command line writes scalars as strings: a string may look
    /// like any scalar, and an enumeration like those that its values look like.
    fn claims(&self, branch: &Branch, json: JsonType) -> Vec<JsonType> {
        let mut claims = vec![json];
        if json != JsonType::String {
            return claims;
        }
        let enumeration = match branch.ty.id {
            TypeId::Definition(id) => self.schema.definition(id).map(|definition| &definition.kind),
            // The only enumeration among them has no such values.
            TypeId::Builtin(Builtin::QType) => return claims,
            TypeId::Builtin(_) => None,
        };
        let Some(DefinitionKind::Enum(enumeration)) = enumeration else {
            claims.extend([JsonType::Number, JsonType::Boolean]);
            return claims;
        };
        let values = || enumeration.values.iter().map(|value| value.name.as_str());
        if values().any(|name| matches!(name, "on" | "off")) {
            claims.push(JsonType::Boolean);
        }
        if values().any(|name| name.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))) {
            claims.push(JsonType::Number);
        }
        claims
    }
}

impl crate::schema::Schema {
    /// The JSON type of the values of a type; `None` if they may be of several.
    pub(crate) fn json_type(&self, ty: Type) -> Option<JsonType> {
        if ty.array {
            return Some(JsonType::Array);
        }
        match ty.id {
            TypeId::Builtin(builtin) => match builtin {
                Builtin::Str | Builtin::QType => Some(JsonType::String),
                Builtin::Number
                | Builtin::Int
                | Builtin::Int8
                | Builtin::Int16
                | Builtin::Int32
                | Builtin::Int64
                | Builtin::Uint8
                | Builtin::Uint16
                | Builtin::Uint32
                | Builtin::Uint64
                | Builtin::Size => Some(JsonType::Number),
                Builtin::Bool => Some(JsonType::Boolean),
                Builtin::Null => Some(JsonType::Null),
                Builtin::Any => None,
            },
            TypeId::Definition(id) => match self.definition(id)?.kind {
                DefinitionKind::Enum(_) => Some(JsonType::String),
                DefinitionKind::Struct(_) | DefinitionKind::Union(_) => Some(JsonType::Object),
                DefinitionKind::Alternate(_) | DefinitionKind::Command(_) | DefinitionKind::Event(_) => None,
            },
        }
    }
}
