//! Two uses of types compared: by the values that they have on the wire, whatever the types are called.

use std::ops::RangeInclusive;

use super::finding::{Differences, Place, Schemas};
use super::what::{Values, What};
use crate::schema::{Alternate, Builtin, Definition, DefinitionKind, Schema, Type, TypeId};

/// The values of a type on the wire.
enum Shape<'a> {
    Any,
    Null,
    Boolean,
    Number,
    Integer(RangeInclusive<i128>),
    String,
    /// The names of JSON types, a list that the language fixes.
    QType,
    Enum(&'a Definition),
    Object(&'a Definition),
    Alternate(&'a Definition, &'a Alternate),
    Array(Type),
}

impl Schema {
    /// The name of a type as a schema gives it: `Foo`, `[Foo]`.
    pub(super) fn type_name(&self, ty: Type) -> String {
        let name = match ty.id {
            TypeId::Builtin(builtin) => builtin.name(),
            TypeId::Definition(id) => self.definition(id).map_or("", |definition| definition.name.as_str()),
        };
        if ty.array { format!("[{name}]") } else { name.to_owned() }
    }

    fn shape(&self, ty: Type) -> Shape<'_> {
        if ty.array {
            return Shape::Array(Type { array: false, ..ty });
        }
        let definition = match ty.id {
            TypeId::Builtin(builtin) => return builtin_shape(builtin),
            TypeId::Definition(id) => self.definition(id),
        };
        match definition.map(|definition| (definition, &definition.kind)) {
            Some((definition, DefinitionKind::Enum(_))) => Shape::Enum(definition),
            Some((definition, DefinitionKind::Struct(_) | DefinitionKind::Union(_))) => Shape::Object(definition),
            Some((definition, DefinitionKind::Alternate(alternate))) => Shape::Alternate(definition, alternate),
            Some((_, DefinitionKind::Command(_) | DefinitionKind::Event(_))) | None => Shape::Any,
        }
    }
}

fn builtin_shape<'a>(builtin: Builtin) -> Shape<'a> {
    let signed = |bits: u32| Shape::Integer(-(1 << (bits - 1))..=(1 << (bits - 1)) - 1);
    let unsigned = |bits: u32| Shape::Integer(0..=(1 << bits) - 1);
    match builtin {
        Builtin::Str => Shape::String,
        Builtin::Number => Shape::Number,
        Builtin::Int8 => signed(8),
        Builtin::Int16 => signed(16),
        Builtin::Int32 => signed(32),
        Builtin::Int | Builtin::Int64 => signed(64),
        Builtin::Uint8 => unsigned(8),
        Builtin::Uint16 => unsigned(16),
        Builtin::Uint32 => unsigned(32),
        Builtin::Uint64 | Builtin::Size => unsigned(64),
        Builtin::Bool => Shape::Boolean,
        Builtin::Null => Shape::Null,
        Builtin::Any => Shape::Any,
        Builtin::QType => Shape::QType,
    }
}

impl Differences {
    /// Compares the types of something, down to the definitions that they lead to.
    pub fn types(&mut self, schemas: Schemas<'_>, place: &Place, old: Type, new: Type) {
        let values = match (schemas.old.shape(old), schemas.new.shape(new)) {
            (Shape::Array(old), Shape::Array(new)) => {
                let place = Place { step: place.step.then("[]", false), ..place.clone() };
                return self.types(schemas, &place, old, new);
            }
            (Shape::Enum(old), Shape::Enum(new))
            | (Shape::Object(old), Shape::Object(new))
            | (Shape::Alternate(old, _), Shape::Alternate(new, _)) => {
                return self.parts.push((place.step.clone(), (Some(old.id), Some(new.id))));
            }
            (Shape::Any, Shape::Any)
            | (Shape::Null, Shape::Null)
            | (Shape::Boolean, Shape::Boolean)
            | (Shape::Number, Shape::Number)
            | (Shape::String, Shape::String)
            | (Shape::QType, Shape::QType) => return,
            (Shape::Integer(old), Shape::Integer(new)) if old == new => return,
            (Shape::Integer(old), Shape::Integer(new)) if contains(&new, &old) => Values::More,
            (Shape::Integer(old), Shape::Integer(new)) if contains(&old, &new) => Values::Fewer,
            (_, Shape::Any) | (Shape::Integer(_), Shape::Number) | (Shape::Enum(_) | Shape::QType, Shape::String) => {
                Values::More
            }
            (Shape::Any, _) | (Shape::Number, Shape::Integer(_)) | (Shape::String, Shape::Enum(_) | Shape::QType) => {
                Values::Fewer
            }
            (_, Shape::Alternate(_, alternate)) => match branch(schemas.new, alternate, schemas.old, old) {
                Some(branch) => {
                    self.types(schemas, place, old, branch);
                    Values::More
                }
                None => Values::Other,
            },
            (Shape::Alternate(_, alternate), _) => match branch(schemas.old, alternate, schemas.new, new) {
                Some(branch) => {
                    self.types(schemas, place, branch, new);
                    Values::Fewer
                }
                None => Values::Other,
            },
            _ => Values::Other,
        };
        let (old, new) = (schemas.old.type_name(old), schemas.new.type_name(new));
        self.changed(place, What::Type { old, new, values });
    }
}

fn contains(range: &RangeInclusive<i128>, other: &RangeInclusive<i128>) -> bool {
    range.contains(other.start()) && range.contains(other.end())
}

/// The branch of an alternate that takes the JSON type of another schema's type.
fn branch(schema: &Schema, alternate: &Alternate, other: &Schema, ty: Type) -> Option<Type> {
    let json = other.json_type(ty)?;
    let mut types = alternate.branches.iter().map(|branch| branch.ty);
    types.find(|&branch| schema.json_type(branch) == Some(json))
}
