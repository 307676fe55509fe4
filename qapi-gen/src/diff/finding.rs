//! What the comparison of two definitions collects: changes at their places, and the pairs of types to go on with.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::condition;
use super::what::{Thing, What};
use crate::schema::{Condition, Definition, DefinitionId, Feature, Schema};
use crate::source::Span;

/// The schema that clients know and the one that is to replace it.
#[derive(Clone, Copy)]
pub struct Schemas<'a> {
    pub old: &'a Schema,
    pub new: &'a Schema,
}

/// A type and its counterpart. `None` is an object without members.
pub type Pair = (Option<DefinitionId>, Option<DefinitionId>);

/// In which schema a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The one that clients know, where the thing is gone.
    Old,
    /// The one that is to replace it.
    New,
}

/// A place in one of the schemas, and the definition it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spot {
    pub span: Span,
    pub owner: DefinitionId,
}

/// A change at its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    pub side: Side,
    pub spot: Spot,
    pub what: What,
}

/// How one gets from a definition to a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Step {
    /// What the path on the wire goes on with.
    pub path: String,
    /// The discriminator and its value, if only some objects have the part: `driver 'file'`.
    pub case: Option<String>,
    /// Clients were told that it may change.
    pub unstable: bool,
}

impl Step {
    /// A step further.
    pub fn then(&self, path: &str, unstable: bool) -> Self {
        Self { path: format!("{}{path}", self.path), unstable: self.unstable || unstable, ..self.clone() }
    }
}

/// The two places of something that is in both schemas, and the step to it.
#[derive(Clone)]
pub struct Place {
    pub step: Step,
    pub old: Spot,
    pub new: Spot,
}

impl Place {
    /// That of two definitions.
    pub fn of(old: &Definition, new: &Definition) -> Self {
        let spot = |definition: &Definition| Spot { span: definition.span, owner: definition.id };
        Self { step: Step::default(), old: spot(old), new: spot(new) }
    }

    /// That of a part of it.
    pub fn within(&self, old: Span, new: Span, unstable: bool) -> Self {
        let (old, new) = (Spot { span: old, ..self.old }, Spot { span: new, ..self.new });
        Self { step: self.step.then("", unstable), old, new }
    }
}

/// The differences between a definition and its counterpart.
#[derive(Default)]
pub struct Differences {
    /// The changes.
    pub findings: Vec<(Step, Finding)>,
    /// The types of the parts.
    pub parts: Vec<(Step, Pair)>,
}

impl Differences {
    /// Something is new.
    pub fn added(&mut self, step: &Step, spot: Spot, thing: Thing) {
        self.push(step, Side::New, spot, What::Added(thing));
    }

    /// Something is gone.
    pub fn removed(&mut self, step: &Step, spot: Spot, thing: Thing) {
        self.push(step, Side::Old, spot, What::Removed(thing));
    }

    /// Something that is in both schemas changed.
    pub fn changed(&mut self, place: &Place, what: What) {
        self.push(&place.step, Side::New, place.new, what);
    }

    fn push(&mut self, step: &Step, side: Side, spot: Spot, what: What) {
        self.findings.push((step.clone(), Finding { side, spot, what }));
    }

    /// Compares the conditions of something.
    pub fn conditions(&mut self, place: &Place, thing: Thing, old: Option<&Condition>, new: Option<&Condition>) {
        if let Some(shift) = condition::shift(old, new) {
            let text =
                |condition: Option<&Condition>| condition.map_or_else(|| "none".to_owned(), |it| format!("'{it}'"));
            let (old, new) = (text(old), text(new));
            self.changed(place, What::Condition { thing, old, new, shift });
        }
    }

    /// Compares the features of something, or of an enumeration's value.
    pub fn features(&mut self, place: &Place, value: Option<&str>, old: &[Feature], new: &[Feature]) {
        let thing = |feature: &Feature| Thing::Feature { value: value.map(str::to_owned), name: feature.name.clone() };
        for pair in paired(old, new, |feature| feature.name.as_str()) {
            match pair {
                Paired::Old(old) => self.removed(&place.step, Spot { span: old.span, ..place.old }, thing(old)),
                Paired::New(new) => self.added(&place.step, Spot { span: new.span, ..place.new }, thing(new)),
                Paired::Both(old, new) => {
                    let place = place.within(old.span, new.span, false);
                    self.conditions(&place, thing(new), old.condition.as_ref(), new.condition.as_ref());
                }
            }
        }
    }

    /// Says each thing once, though a union's branches may have shown it several times.
    pub fn once(mut self) -> Self {
        let mut seen = HashSet::new();
        self.findings.retain(|finding| seen.insert(finding.clone()));
        let mut seen = HashSet::new();
        self.parts.retain(|part| seen.insert(part.clone()));
        self
    }
}

/// What is in one list, in the other or in both.
pub enum Paired<T> {
    Old(T),
    New(T),
    Both(T, T),
}

/// Pairs the elements of two lists: those of the old one in its order, then those that only the new one has.
pub fn paired<'a, T, K: Eq + Hash>(old: &'a [T], new: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<Paired<&'a T>> {
    let mut left: HashMap<K, &T> = new.iter().map(|element| (key(element), element)).collect();
    let mut pairs = Vec::with_capacity(old.len());
    pairs.extend(old.iter().map(|old| left.remove(&key(old)).map_or(Paired::Old(old), |new| Paired::Both(old, new))));
    pairs.extend(new.iter().filter(|new| left.contains_key(&key(new))).map(Paired::New));
    pairs
}

/// Whether clients were told that it may change.
pub fn is_unstable(features: &[Feature]) -> bool {
    features.iter().any(|feature| feature.name == "unstable")
}
