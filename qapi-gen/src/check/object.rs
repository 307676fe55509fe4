//! Structs and unions: bases, clashes of members, discriminators, branches.
//!
//! A type is checked after its base, and its branches before it is complete, in the order in which QEMU's compiler
//! does it. Types wait for others on a stack of their own, so that no chain of them is too long.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::{Checker, blame};
use crate::definition::Unresolved;
use crate::name;
use crate::schema::{Branch, Builtin, Definition, DefinitionKind, Member, Members, TypeId, Union};
use crate::suggest;

/// Members by folded name, with the definition that lists them.
type Known<'a> = HashMap<Cow<'a, str>, (&'a Member, &'a Definition)>;

/// How far the members of an object type are known.
pub(super) enum State<'a> {
    /// They are being collected: a type that meets itself here contains itself.
    Open,
    /// All of them.
    Known(Rc<Object<'a>>),
}

/// The members of an object type.
#[derive(Default)]
pub(super) struct Object<'a> {
    /// Those that every object has, without those of the base.
    own: Known<'a>,
    /// Those of the base.
    base: Option<Rc<Self>>,
    /// How many bases and branches there are, one under the other.
    depth: usize,
    /// Those that an object may have, since some branch of a union has them.
    possible: Known<'a>,
    /// Some may be missing here because of errors.
    partial: bool,
}

/// Bases and branches may be nested this deep. QEMU's compiler cannot do more, either, and each level takes time.
const MAX_DEPTH: usize = 1000;

impl<'a> Object<'a> {
    /// This type, its base, the base of that, and so on.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |object| object.base.as_deref())
    }

    /// A member that every object has.
    fn common(&self, name: &str) -> Option<(&'a Member, &'a Definition)> {
        self.levels().find_map(|object| object.own.get(name).copied())
    }

    /// Every member that an object may have.
    fn all(&self) -> impl Iterator<Item = (&Cow<'a, str>, &(&'a Member, &'a Definition))> {
        self.levels().flat_map(|object| &object.own).chain(&self.possible)
    }
}

/// A type whose members are being collected.
struct Collection<'a> {
    definition: &'a Definition,
    object: Object<'a>,
    /// What is to be looked at next: at 0 the base and the members, and after that the branches.
    next: usize,
    /// The branch that is next has been looked at by itself, without its members.
    begun: bool,
    /// The names that branches may have, if they are known.
    values: Option<HashSet<&'a str>>,
    branches: Vec<(&'a Branch, Rc<Object<'a>>)>,
}

/// Something is needed first: the members of this type.
struct Needs<'a>(&'a Definition);

impl<'a> Checker<'a, '_> {
    /// Checks a struct or a union.
    pub(super) fn object(&mut self, definition: &'a Definition) {
        let mut waiting = Vec::new();
        let mut needed = self.collection(definition);
        while let Some(mut collection) = needed.take().or_else(|| waiting.pop()) {
            match self.collect(&mut collection) {
                Err(Needs(other)) => {
                    needed = self.collection(other);
                    waiting.push(collection);
                }
                Ok(()) => {
                    let known = State::Known(Rc::new(collection.object));
                    self.objects.insert(collection.definition.id, known);
                }
            }
        }
    }

    /// Starts to collect the members of a type, unless that was done before.
    fn collection(&mut self, definition: &'a Definition) -> Option<Collection<'a>> {
        if self.objects.contains_key(&definition.id) {
            return None;
        }
        self.objects.insert(definition.id, State::Open);
        self.type_features(definition);
        self.unresolved(definition, Unresolved::BASE..=Unresolved::BASE);
        let object = Object { partial: self.flaws.partial.contains(&definition.id), ..Object::default() };
        Some(Collection { definition, object, next: 0, begun: false, values: None, branches: Vec::new() })
    }

    /// Goes on with a type as far as the members of other types are known.
    fn collect(&mut self, collection: &mut Collection<'a>) -> Result<(), Needs<'a>> {
        let definition = collection.definition;
        let (base, members, union) = match &definition.kind {
            DefinitionKind::Struct(structure) => (structure.base, structure.members.as_slice(), None),
            DefinitionKind::Union(union) => (union.base.of(), union.base.inline(), Some(union)),
            DefinitionKind::Enum(_)
            | DefinitionKind::Alternate(_)
            | DefinitionKind::Command(_)
            | DefinitionKind::Event(_) => return Ok(()),
        };
        if collection.next == 0 {
            if let Some(base) = base {
                self.base(definition, base, &mut collection.object)?;
            }
            self.unresolved(definition, Unresolved::BASE..=Unresolved::MEMBERS);
            self.add_members(definition, members, &mut collection.object);
            collection.values = union.and_then(|union| self.discriminator(definition, union, &collection.object));
            collection.next = 1;
        }
        for branch in union.map(|union| union.branches.as_slice()).unwrap_or_default().iter().skip(collection.next - 1)
        {
            if let Some(object) = self.branch(collection, branch)?
                && self.deepen(definition, &mut collection.object, &object)
            {
                collection.branches.push((branch, object));
            }
            collection.next += 1;
            collection.begun = false;
        }
        self.unresolved(definition, Unresolved::BASE..=usize::MAX);
        for (branch, object) in std::mem::take(&mut collection.branches) {
            self.check_clashes(collection, branch, &object);
            collection.object.possible.extend(object.all().map(|(name, member)| (name.clone(), *member)));
        }
        Ok(())
    }

    /// The members of a type that another one contains.
    fn members_of(&mut self, definition: &'a Definition) -> Result<Rc<Object<'a>>, Needs<'a>> {
        match self.objects.get(&definition.id) {
            Some(State::Known(object)) => Ok(Rc::clone(object)),
            Some(State::Open) => {
                let error = format!("object {} contains itself", definition.name);
                self.error(definition, definition.span, error);
                Ok(Rc::new(Object { partial: true, ..Object::default() }))
            }
            None => Err(Needs(definition)),
        }
    }

    /// Adds the members of a base, which must be a struct.
    fn base(&mut self, definition: &'a Definition, base: TypeId, object: &mut Object<'a>) -> Result<(), Needs<'a>> {
        if let TypeId::Definition(id) = base
            && let Some(base) = self.schema.definition(id)
            && matches!(base.kind, DefinitionKind::Struct(_))
        {
            let base = self.members_of(base)?;
            if self.deepen(definition, object, &base) {
                object.base = Some(base);
            }
            return Ok(());
        }
        object.partial = true;
        let message = format!("'base' requires a struct type, {} isn't", self.describe(base));
        self.error(definition, definition.span, message);
        Ok(())
    }

    /// Takes into account that an object contains another one. Returns whether it may, or is too deep.
    fn deepen(&mut self, definition: &Definition, object: &mut Object<'a>, other: &Object<'a>) -> bool {
        object.depth = object.depth.max(other.depth + 1);
        object.partial |= other.partial;
        if object.depth <= MAX_DEPTH {
            return true;
        }
        (object.depth, object.partial) = (0, true);
        let message = format!("bases or branches nested more than {MAX_DEPTH} levels deep");
        self.error(definition, definition.span, message);
        false
    }

    /// Adds members that `definition` lists to those it has already.
    pub(super) fn add_members(&mut self, definition: &'a Definition, members: &'a [Member], object: &mut Object<'a>) {
        for member in members {
            self.features(definition, &member.features);
            let name = name::folded(&member.name);
            if let Some((other, owner)) = object.common(&name) {
                let of =
                    if owner.name == definition.name { String::new() } else { format!(" of type '{}'", owner.name) };
                let message = format!("member '{}' collides with member '{}'{of}", member.name, other.name);
                self.errors.push(blame(definition, member.span, message).after(other.span));
            }
            object.own.insert(name, (member, definition));
        }
    }

    /// Checks the discriminator. Returns its values, if it is as it should be.
    fn discriminator(
        &mut self,
        definition: &'a Definition,
        union: &'a Union,
        object: &Object<'a>,
    ) -> Option<HashSet<&'a str>> {
        let name = union.discriminator.as_str();
        let found = object.common(&name::folded(name)).filter(|(member, _)| member.name == name);
        let Some((member, owner)) = found else {
            if !object.partial {
                let message = format!("discriminator '{name}' is not a member of 'base'");
                let members = object.all().map(|(_, (member, _))| member.name.as_str());
                let error = blame(definition, definition.span, message);
                self.errors.push(error.suggest(suggest::nearest(name, members)));
            }
            return None;
        };
        let of = match union.base {
            Members::Of(_) => format!("base type '{}'", owner.name),
            Members::Inline(_) => "'base'".to_owned(),
        };
        let Some((values, whole)) = self.values(member) else {
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
        if whole && values.is_empty() && union.branches.is_empty() && !self.is_broken(definition) {
            self.error(definition, definition.span, "union has no branches");
        }
        whole.then_some(values)
    }

    /// The values of a member, if it is of an enumeration, and whether they are all.
    fn values(&self, member: &Member) -> Option<(HashSet<&'a str>, bool)> {
        match member.ty.id {
            _ if member.ty.array => None,
            TypeId::Builtin(Builtin::QType) => Some((Builtin::QTYPES.into(), true)),
            TypeId::Builtin(_) => None,
            TypeId::Definition(id) => {
                let definition = self.schema.definition(id)?;
                let names = definition.values().iter().map(|value| value.name.as_str());
                let values = || (names.collect(), !self.is_broken(definition));
                matches!(definition.kind, DefinitionKind::Enum(_)).then(values)
            }
        }
    }

    /// The members of a branch.
    fn branch(
        &mut self,
        collection: &mut Collection<'a>,
        branch: &'a Branch,
    ) -> Result<Option<Rc<Object<'a>>>, Needs<'a>> {
        let definition = collection.definition;
        if !std::mem::replace(&mut collection.begun, true) {
            self.unresolved(definition, Unresolved::BASE..=Unresolved::branch(branch.span));
            if collection.values.as_ref().is_some_and(|values| !values.contains(branch.name.as_str())) {
                let message = format!("branch '{}' is not a value of the discriminator's enum", branch.name);
                let values = collection.values.iter().flatten().copied();
                let error = blame(definition, branch.span, message).suggest(suggest::nearest(&branch.name, values));
                self.errors.push(error);
            }
        }
        if let TypeId::Definition(id) = branch.ty.id
            && let Some(object) = self.schema.definition(id)
            && matches!(object.kind, DefinitionKind::Struct(_) | DefinitionKind::Union(_))
        {
            return self.members_of(object).map(Some);
        }
        let message = format!("branch '{}' cannot use {}", branch.name, self.describe(branch.ty.id));
        self.error(definition, branch.span, message);
        Ok(None)
    }

    /// Refuses members of a branch that are members of the base, too.
    fn check_clashes(&mut self, collection: &Collection<'a>, branch: &Branch, object: &Object<'a>) {
        let clash = |(name, &(member, owner)): (&Cow<'_, str>, &(&'a Member, &'a Definition))| {
            collection.object.common(name).map(|(base, _)| (member, owner, base))
        };
        let mut clashes: Vec<_> = object.all().filter_map(clash).collect();
        clashes.sort_by_key(|(member, owner, _)| (owner.id, member.span.start));
        for (member, owner, base) in clashes {
            let (name, owner, other) = (&member.name, &owner.name, &base.name);
            let message = format!("member '{name}' of type '{owner}' collides with base member '{other}'");
            self.errors.push(blame(collection.definition, branch.span, message).after(base.span));
        }
    }

    /// Whether an object of this type may lack some member because of a condition.
    pub(super) fn has_conditional_members(&mut self, definition: &'a Definition) -> bool {
        self.object(definition);
        let Some(State::Known(object)) = self.objects.get(&definition.id) else {
            return false;
        };
        object.levels().flat_map(|object| object.own.values()).any(|(member, _)| member.condition.is_some())
    }
}
