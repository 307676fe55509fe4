//! Two objects compared by what stands in them on the wire: it does not matter what is base, branch or own member.

use std::collections::HashMap;

use super::condition;
use super::finding::{Differences, Paired, Place, Schemas, Spot, Step, is_unstable, paired};
use super::what::{Thing, What};
use crate::schema::{
    Branch, Builtin, Condition, Definition, DefinitionId, DefinitionKind, EnumValue, Listed, Schema, Type, TypeId,
    Union,
};

/// The members of an object: those that are always there, and those that depend on one of them.
#[derive(Clone, Default)]
pub struct Object<'a> {
    members: Vec<Listed<'a>>,
    union: Option<(&'a Union, Spot)>,
}

impl<'a> Object<'a> {
    /// The object of a struct or a union, or the arguments of a command, or the data of an event.
    pub fn of(schema: &'a Schema, definition: Option<&'a Definition>) -> Self {
        let Some(definition) = definition else {
            return Self::default();
        };
        let union = match &definition.kind {
            DefinitionKind::Union(union) => Some((union, Spot { span: definition.span, owner: definition.id })),
            DefinitionKind::Enum(_)
            | DefinitionKind::Struct(_)
            | DefinitionKind::Alternate(_)
            | DefinitionKind::Command(_)
            | DefinitionKind::Event(_) => None,
        };
        Self { members: schema.members(definition), union }
    }

    fn discriminator(&self) -> Option<&'a str> {
        self.union.map(|(union, _)| union.discriminator.as_str())
    }

    /// The values of a member that may be the discriminator.
    fn values(&self, schema: &'a Schema, discriminator: &str) -> Option<Vec<Value<'a>>> {
        let listed = self.members.iter().find(|listed| listed.member.name == discriminator)?;
        match listed.member.ty {
            Type { id: TypeId::Definition(id), array: false } => {
                let values = schema.definition(id)?.values();
                Some(values.iter().map(Value::from).collect())
            }
            Type { id: TypeId::Builtin(Builtin::QType), array: false } => {
                let values = Builtin::QTYPES.map(|name| Value { name, condition: None, unstable: false });
                Some(values.into())
            }
            Type { id: TypeId::Builtin(_), array: false } | Type { array: true, .. } => None,
        }
    }

    fn branches(&self) -> HashMap<&'a str, &'a Branch> {
        let branches = self.union.iter().flat_map(|(union, _)| &union.branches);
        branches.map(|branch| (branch.name.as_str(), branch)).collect()
    }

    /// The object for a value of the discriminator, of whose members only these are of interest.
    fn case(schema: &'a Schema, mut members: Vec<Listed<'a>>, branch: Option<DefinitionId>) -> Self {
        let object = Self::of(schema, branch.and_then(|id| schema.definition(id)));
        members.extend(object.members);
        Self { members, union: object.union }
    }
}

/// A value that a discriminator may have.
#[derive(Clone, Copy)]
struct Value<'a> {
    name: &'a str,
    condition: Option<&'a Condition>,
    unstable: bool,
}

impl<'a> From<&'a EnumValue> for Value<'a> {
    fn from(EnumValue { name, condition, features, .. }: &'a EnumValue) -> Self {
        Self { name, condition: condition.as_ref(), unstable: is_unstable(features) }
    }
}

/// What a union has for a value of its discriminator.
struct Case<'a> {
    discriminator: &'a str,
    name: &'a str,
    unstable: bool,
    branches: [Option<&'a Branch>; 2],
    /// The value exists in the same configurations as before.
    same_value: bool,
}

/// The cases that a client knows and that are still there, if one of the objects is a union.
fn cases<'a>(schemas: Schemas<'a>, old: &Object<'a>, new: &Object<'a>) -> Vec<Case<'a>> {
    let Some(discriminator) = old.discriminator().or(new.discriminator()) else {
        return Vec::new();
    };
    let (before, now) = (old.values(schemas.old, discriminator), new.values(schemas.new, discriminator));
    let (old, new) = (old.branches(), new.branches());
    let [before, now] = [before.as_ref().or(now.as_ref()), now.as_ref().or(before.as_ref())];
    let [before, now] = [before, now].map(|values| values.map(Vec::as_slice).unwrap_or_default());
    let pairs = paired(before, now, |value| value.name);
    let shared = pairs.into_iter().filter_map(|pair| match pair {
        Paired::Both(before, now) => Some((*before, *now)),
        Paired::Old(_) | Paired::New(_) => None,
    });
    let case = |(before, now): (Value<'a>, Value<'a>)| Case {
        discriminator,
        name: before.name,
        unstable: before.unstable,
        branches: [&old, &new].map(|branches| branches.get(before.name).copied()),
        same_value: condition::shift(before.condition, now.condition).is_none(),
    };
    shared.map(case).collect()
}

/// A member that moved is looked for in branches nested this deep.
const MAX_DEPTH: usize = 4;

impl Differences {
    /// Compares two objects.
    pub fn objects(&mut self, schemas: Schemas<'_>, old: &Object<'_>, new: &Object<'_>) {
        self.objects_at(schemas, &Step::default(), old, new, 0);
    }

    /// Compares two objects, this deep in the branches of unions.
    fn objects_at(&mut self, schemas: Schemas<'_>, step: &Step, old: &Object<'_>, new: &Object<'_>, depth: usize) {
        let (mut gone, mut fresh) = (Vec::new(), Vec::new());
        for pair in paired(&old.members, &new.members, |listed| listed.member.name.as_str()) {
            match pair {
                Paired::Old(listed) => gone.push(*listed),
                Paired::New(listed) => fresh.push(*listed),
                Paired::Both(old, new) => self.member(schemas, step, old, new),
            }
        }
        if let (Some((before, old)), Some((now, new))) = (old.union, new.union)
            && before.discriminator != now.discriminator
        {
            let place = Place { step: step.clone(), old, new };
            let (old, new) = (before.discriminator.clone(), now.discriminator.clone());
            self.changed(&place, What::Discriminator { old, new });
            return self.unpaired(step, &gone, &fresh);
        }
        let cases = cases(schemas, old, new);
        // A member that is not in both may have moved to or from the branches.
        let unpaired = !(gone.is_empty() && fresh.is_empty());
        let search = unpaired && !cases.is_empty() && depth < MAX_DEPTH;
        if !search {
            self.unpaired(step, &gone, &fresh);
        }
        for Case { discriminator, name, unstable, branches, same_value } in cases {
            if let ([Some(before), Some(now)], true, Some((_, old)), Some((_, new))) =
                (branches, same_value, old.union, new.union)
            {
                let place = Place { step: step.clone(), old, new }.within(before.span, now.span, unstable);
                let [before, now] = [before, now].map(|branch| branch.condition.as_ref());
                self.conditions(&place, Thing::Case(name.to_owned()), before, now);
            }
            let step = Step { case: Some(format!("{discriminator} '{name}'")), ..step.then("", unstable) };
            let types @ [before, now] = branches.map(|branch| branch.and_then(|branch| branch.ty.id.definition()));
            if search {
                let old = Object::case(schemas.old, gone.clone(), before);
                let new = Object::case(schemas.new, fresh.clone(), now);
                self.objects_at(schemas, &step, &old, &new, depth + 1);
            } else if types != [None, None] {
                self.parts.push((step, (before, now)));
            }
        }
    }

    fn unpaired(&mut self, step: &Step, gone: &[Listed<'_>], fresh: &[Listed<'_>]) {
        for listed in gone {
            let step = step_to(step, listed, is_unstable(&listed.member.features));
            self.removed(&step, spot(listed), thing(listed));
        }
        for listed in fresh {
            self.added(&step_to(step, listed, false), spot(listed), thing(listed));
        }
    }

    fn member(&mut self, schemas: Schemas<'_>, step: &Step, old: &Listed<'_>, new: &Listed<'_>) {
        let (before, now) = (old.member, new.member);
        let step = step_to(step, new, is_unstable(&before.features));
        let place = Place { step, old: spot(old), new: spot(new) };
        match (before.optional, now.optional) {
            (false, true) => self.changed(&place, What::Optional),
            (true, false) => self.changed(&place, What::Mandatory),
            (false, false) | (true, true) => {}
        }
        self.conditions(&place, thing(new), before.condition.as_ref(), now.condition.as_ref());
        self.features(&place, None, &before.features, &now.features);
        self.types(schemas, &place, before.ty, now.ty);
    }
}

fn step_to(step: &Step, listed: &Listed<'_>, unstable: bool) -> Step {
    step.then(&format!(".{}", listed.member.name), unstable)
}

fn spot(listed: &Listed<'_>) -> Spot {
    Spot { span: listed.member.span, owner: listed.definition.id }
}

const fn thing(listed: &Listed<'_>) -> Thing {
    Thing::Member { mandatory: !listed.member.optional }
}
