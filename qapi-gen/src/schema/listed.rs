//! The members of a definition with those of its bases: what stands in an object on the wire.

use super::{Definition, DefinitionKind, Member, Members, Schema, TypeId, Union};

/// A member and the definition that lists it.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The member.
    pub member: &'a Member,
    /// The definition.
    pub definition: &'a Definition,
}

impl Schema {
    /// The members that every object of a type has, every call of a command takes, every event carries: those of the
    /// bases first.
    pub fn members<'a>(&'a self, definition: &'a Definition) -> Vec<Listed<'a>> {
        let base = match &definition.kind {
            DefinitionKind::Struct(structure) => structure.base,
            DefinitionKind::Union(union) => union.base.of(),
            DefinitionKind::Command(command) => command.data.as_ref().and_then(Members::of),
            DefinitionKind::Event(event) => event.data.as_ref().and_then(Members::of),
            DefinitionKind::Enum(_) | DefinitionKind::Alternate(_) => None,
        };
        let base = base.and_then(TypeId::definition).and_then(|id| self.definition(id));
        let mut members = base.map(|base| self.members(base)).unwrap_or_default();
        members.extend(definition.own_members().iter().map(|member| Listed { member, definition }));
        members
    }

    /// The enumeration that decides between the branches of a union.
    pub fn discriminator<'a>(&'a self, definition: &'a Definition, union: &Union) -> Option<&'a Definition> {
        let tag = self.members(definition).into_iter().find(|listed| listed.member.name == union.discriminator)?;
        tag.member.ty.id.definition().and_then(|id| self.definition(id))
    }
}
