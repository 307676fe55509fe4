//! What values of a type look like on the wire, whichever way the schema says it.

use qapi_gen::Schema;
use qapi_gen::schema::{Branch, Builtin, Definition, DefinitionKind, Listed, Members, Type, TypeId};

/// What values of a type look like.
pub enum Shape<'a> {
    Builtin(Builtin),
    Array(Type),
    Enum(Vec<&'a str>),
    Object(Object<'a>),
    Alternate(&'a [Branch]),
}

/// An object, the arguments of a command, or the data of an event.
pub struct Object<'a> {
    /// The members that it has whatever the branch.
    pub members: Vec<Listed<'a>>,
    /// If it is a union, the discriminator, and its values with the branch that each selects.
    pub choice: Option<(&'a str, Vec<Choice<'a>>)>,
}

/// A value of a discriminator, with the branch that it selects.
pub type Choice<'a> = (&'a str, Option<Type>);

/// The shape of a type.
pub fn of_type(schema: &Schema, ty: Type) -> Shape<'_> {
    match ty.id {
        _ if ty.array => Shape::Array(Type { array: false, ..ty }),
        TypeId::Builtin(Builtin::QType) => Shape::Enum(Builtin::QTYPES.into()),
        TypeId::Builtin(builtin) => Shape::Builtin(builtin),
        TypeId::Definition(id) => of_definition(schema, schema.definition(id).expect("a definition of the schema")),
    }
}

/// The shape of a type, of the arguments of a command, or of the data of an event.
pub fn of_definition<'a>(schema: &'a Schema, definition: &'a Definition) -> Shape<'a> {
    let data = match &definition.kind {
        DefinitionKind::Enum(enumeration) => {
            return Shape::Enum(enumeration.values.iter().map(|value| value.name.as_str()).collect());
        }
        DefinitionKind::Alternate(alternate) => return Shape::Alternate(&alternate.branches),
        DefinitionKind::Struct(_) | DefinitionKind::Union(_) => None,
        DefinitionKind::Command(command) => command.data.as_ref().and_then(Members::of),
        DefinitionKind::Event(event) => event.data.as_ref().and_then(Members::of),
    };
    if let Some(id) = data {
        return of_type(schema, Type { id, array: false });
    }
    let members = schema.members(definition);
    let choice = match &definition.kind {
        DefinitionKind::Union(union) => {
            let decides = members.iter().find(|listed| listed.member.name == union.discriminator);
            let Some(Shape::Enum(values)) = decides.map(|listed| of_type(schema, listed.member.ty)) else {
                panic!("{definition} has no discriminator")
            };
            let branch = |value: &str| union.branches.iter().find(|branch| branch.name == value);
            let choices = values.into_iter().map(|value| (value, branch(value).map(|branch| branch.ty)));
            Some((union.discriminator.as_str(), choices.collect()))
        }
        _ => None,
    };
    Shape::Object(Object { members, choice })
}

impl<'a> Object<'a> {
    /// The members that are read as members, not as what decides about the branch.
    pub fn plain(&self) -> impl Iterator<Item = &Listed<'a>> {
        let discriminator = self.choice.as_ref().map(|(name, _)| *name);
        self.members.iter().filter(move |listed| Some(listed.member.name.as_str()) != discriminator)
    }
}
