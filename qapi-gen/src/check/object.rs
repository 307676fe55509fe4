//! Structs and unions: bases, clashes of members, discriminators, branches.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::Checker;
use crate::name;
use crate::schema::{
    Branch, Definition, DefinitionId, DefinitionKind, EnumValue, Member, Members, Struct, TypeId, Union,
};

/// The members that an object of a type may have, by folded name, with the definition that lists them.
type Known<'a> = HashMap<Cow<'a, str>, (&'a Member, &'a Definition)>;

/// How far the members of an object type are known.
pub(super) enum State<'a> {
    /// They are being collected: a type that meets itself here contains itself.
    Open,
    /// The members of structs, and of unions those of all branches, too.
    Known(Rc<Object<'a>>),
}

/// The members of an object type.
#[derive(Default)]
pub(super) struct Object<'a> {
    /// Those that every object has.
    common: Known<'a>,
    /// Those that an object may have.
    possible: Known<'a>,
}

/// Bases and unions may be nested this deep.
const MAX_DEPTH: usize = 64;

impl<'a> Checker<'a> {
    /// Checks a struct or a union.
    pub(super) fn object(&mut self, definition: &'a Definition) {
        self.members_of(definition, 0);
    }

    /// The members of an object type, which is checked by the way.
    fn members_of(&mut self, definition: &'a Definition, depth: usize) -> Rc<Object<'a>> {
        let id = definition.id;
        match self.objects.get(&id) {
            Some(State::Known(object)) => return Rc::clone(object),
            Some(State::Open) => {
                self.error(definition, definition.span, format!("object {} contains itself", definition.name));
                return Rc::default();
            }
            None if depth > MAX_DEPTH => {
                let message = format!("bases or unions nested more than {MAX_DEPTH} levels deep");
                self.error(definition, definition.span, message);
                return Rc::default();
            }
            None => {}
        }
        self.objects.insert(id, State::Open);
        let object = match &definition.kind {
            DefinitionKind::Struct(structure) => self.structure(definition, structure, depth),
            DefinitionKind::Union(union) => self.union(definition, union, depth),
            DefinitionKind::Enum(_)
            | DefinitionKind::Alternate(_)
            | DefinitionKind::Command(_)
            | DefinitionKind::Event(_) => Object::default(),
        };
        let object = Rc::new(object);
        self.objects.insert(id, State::Known(Rc::clone(&object)));
        object
    }

    fn structure(&mut self, definition: &'a Definition, structure: &'a Struct, depth: usize) -> Object<'a> {
        let mut common = structure.base.map(|base| self.base(definition, base, depth)).unwrap_or_default();
        self.add_members(definition, &structure.members, &mut common);
        Object { possible: common.clone(), common }
    }

    /// The members of a base, which must be a struct.
    fn base(&mut self, definition: &'a Definition, base: TypeId, depth: usize) -> Known<'a> {
        if let TypeId::Definition(id) = base
            && let Some(base) = self.schema.definition(id)
            && matches!(base.kind, DefinitionKind::Struct(_))
        {
            return self.members_of(base, depth + 1).common.clone();
        }
        let message = format!("'base' requires a struct type, {} isn't", self.describe(base));
        self.error(definition, definition.span, message);
        Known::new()
    }

    /// Adds members that `definition` lists to those it has already.
    pub(super) fn add_members(&mut self, definition: &'a Definition, members: &'a [Member], known: &mut Known<'a>) {
        for member in members {
            self.features(definition, &member.features);
            if let Some((other, owner)) = known.insert(name::folded(&member.name), (member, definition)) {
                let of =
                    if owner.name == definition.name { String::new() } else { format!(" of type '{}'", owner.name) };
                let message = format!("member '{}' collides with member '{}'{of}", member.name, other.name);
                self.error(definition, member.span, message);
            }
        }
    }

    fn union(&mut self, definition: &'a Definition, union: &'a Union, depth: usize) -> Object<'a> {
        let common = match &union.base {
            Members::Of(base) => self.base(definition, *base, depth),
            Members::Inline(members) => {
                let mut common = Known::new();
                self.add_members(definition, members, &mut common);
                common
            }
        };
        let values = self.discriminator(definition, union, &common);
        if values.is_some_and(<[_]>::is_empty) && union.branches.is_empty() {
            self.error(definition, definition.span, "union has no branches");
        }
        let names: Option<HashSet<_>> = values.map(|values| values.iter().map(|value| &value.name).collect());
        let mut possible = common.clone();
        for branch in &union.branches {
            if names.as_ref().is_some_and(|names| !names.contains(&branch.name)) {
                let message = format!("branch '{}' is not a value of the discriminator's enum", branch.name);
                self.error(definition, branch.span, message);
            }
            let Some(members) = self.branch(definition, branch, depth) else {
                continue;
            };
            let clash = |(name, &(member, owner))| common.get(name).map(|&(base, _)| (member, owner, base));
            let mut clashes: Vec<(&Member, &Definition, &Member)> = members.possible.iter().filter_map(clash).collect();
            clashes.sort_by_key(|(member, owner, _)| (owner.id, member.span.start));
            for (member, owner, base) in clashes {
                let (name, owner, base) = (&member.name, &owner.name, &base.name);
                let message = format!("member '{name}' of type '{owner}' collides with base member '{base}'");
                self.error(definition, branch.span, message);
            }
            possible.extend(members.possible.iter().map(|(name, member)| (name.clone(), *member)));
        }
        Object { common, possible }
    }

    /// The values of the discriminator, if it is as it should be.
    fn discriminator(
        &mut self,
        definition: &'a Definition,
        union: &'a Union,
        common: &Known<'a>,
    ) -> Option<&'a [EnumValue]> {
        let name = union.discriminator.as_str();
        let found = common.get(&name::folded(name)).filter(|(member, _)| member.name == name);
        let Some(&(member, owner)) = found else {
            if !self.is_broken(definition, &union.base) {
                let message = format!("discriminator '{name}' is not a member of 'base'");
                self.error(definition, definition.span, message);
            }
            return None;
        };
        let of = match union.base {
            Members::Of(_) => format!("base type '{}'", owner.name),
            Members::Inline(_) => "'base'".to_owned(),
        };
        let enumeration = match member.ty.id {
            TypeId::Definition(id) if !member.ty.array => self.schema.definition(id),
            TypeId::Definition(_) | TypeId::Builtin(_) => None,
        };
        let Some(Definition { id, kind: DefinitionKind::Enum(enumeration), .. }) = enumeration else {
            let message = format!("discriminator member '{name}' of {of} must be of enum type");
            self.error(definition, definition.span, message);
            return None;
        };
        if member.optional {
            let message = format!("discriminator member '{name}' of {of} must not be optional");
            self.error(definition, definition.span, message);
        }
        if member.condition.is_some() {
            let message = format!("discriminator member '{name}' of {of} must not be conditional");
            self.error(definition, definition.span, message);
        }
        (!self.broken.contains(id)).then_some(&enumeration.values)
    }

    fn is_broken(&self, definition: &Definition, base: &Members) -> bool {
        let broken = |id: &DefinitionId| self.broken.contains(id);
        let own = broken(&definition.id);
        match base {
            // A base that is no struct has been complained about.
            Members::Of(TypeId::Builtin(_)) => true,
            Members::Of(TypeId::Definition(id)) => {
                let base = self.schema.definition(*id);
                own || broken(id) || !base.is_some_and(|base| matches!(base.kind, DefinitionKind::Struct(_)))
            }
            Members::Inline(_) => own,
        }
    }

    fn branch(&mut self, definition: &'a Definition, branch: &'a Branch, depth: usize) -> Option<Rc<Object<'a>>> {
        if let TypeId::Definition(id) = branch.ty.id
            && let Some(object) = self.schema.definition(id)
            && matches!(object.kind, DefinitionKind::Struct(_) | DefinitionKind::Union(_))
        {
            return Some(self.members_of(object, depth + 1));
        }
        let message = format!("branch '{}' cannot use {}", branch.name, self.describe(branch.ty.id));
        self.error(definition, branch.span, message);
        None
    }

    /// Whether an object of this type may lack some member because of a condition.
    pub(super) fn has_conditional_members(&mut self, definition: &'a Definition) -> bool {
        let object = self.members_of(definition, 0);
        object.common.values().any(|(member, _)| member.condition.is_some())
    }
}
