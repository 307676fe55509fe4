//! Two definitions compared, each by itself: enumerations by value, alternates by JSON type, objects by member.

use super::finding::{Differences, Pair, Paired, Place, Schemas, Spot, is_unstable, paired};
use super::object::Object;
use super::what::{Flag, Thing};
use crate::check::JsonType;
use crate::schema::{Branch, Command, Definition, DefinitionKind, EnumValue, Feature, Schema};

/// Compares two types, or the members of two commands or events.
pub fn compare(schemas: Schemas<'_>, (old, new): Pair) -> Differences {
    let mut differences = Differences::default();
    let old = old.and_then(|id| schemas.old.definition(id));
    let new = new.and_then(|id| schemas.new.definition(id));
    if let (Some(old), Some(new)) = (old, new) {
        let place = Place::of(old, new);
        differences.features(&place, None, features(old), features(new));
        differences.values(&place, old.values(), new.values());
        if let (DefinitionKind::Alternate(_), DefinitionKind::Alternate(_)) = (&old.kind, &new.kind) {
            differences.branches(schemas, &place, old.branches(), new.branches());
        }
    }
    differences.objects(schemas, &Object::of(schemas.old, old), &Object::of(schemas.new, new));
    differences.once()
}

/// The features of a type. Those of a command are not those of its arguments.
fn features(definition: &Definition) -> &[Feature] {
    if definition.kind.is_type() { &definition.features } else { &[] }
}

/// Compares what two commands or two events are apart from their members.
pub fn compare_exchanges(old: &Definition, new: &Definition) -> Differences {
    let mut differences = Differences::default();
    let place = Place::of(old, new);
    differences.conditions(&place, Thing::Exchange, old.condition.as_ref(), new.condition.as_ref());
    differences.features(&place, None, &old.features, &new.features);
    if let (DefinitionKind::Command(old), DefinitionKind::Command(new)) = (&old.kind, &new.kind) {
        for pair in paired(&flags(old), &flags(new), |&flag| flag) {
            match pair {
                Paired::Old(&flag) => differences.removed(&place.step, place.old, Thing::Flag(flag)),
                Paired::New(&flag) => differences.added(&place.step, place.new, Thing::Flag(flag)),
                Paired::Both(..) => {}
            }
        }
    }
    differences
}

fn flags(command: &Command) -> Vec<Flag> {
    let flags = [
        (Flag::AllowOob, command.allow_oob),
        (Flag::AllowPreconfig, command.allow_preconfig),
        (Flag::Unchecked, !command.generated),
        (Flag::Unanswered, !command.success_response),
    ];
    flags.into_iter().filter_map(|(flag, set)| set.then_some(flag)).collect()
}

impl Differences {
    fn values(&mut self, place: &Place, old: &[EnumValue], new: &[EnumValue]) {
        let thing = |value: &EnumValue| Thing::Value(value.name.clone());
        for pair in paired(old, new, |value| value.name.as_str()) {
            match pair {
                Paired::New(new) => self.added(&place.step, Spot { span: new.span, ..place.new }, thing(new)),
                Paired::Old(old) => {
                    let step = place.step.then("", is_unstable(&old.features));
                    self.removed(&step, Spot { span: old.span, ..place.old }, thing(old));
                }
                Paired::Both(old, new) => {
                    let place = place.within(old.span, new.span, is_unstable(&old.features));
                    self.conditions(&place, thing(new), old.condition.as_ref(), new.condition.as_ref());
                    self.features(&place, Some(&old.name), &old.features, &new.features);
                }
            }
        }
    }

    /// Names of branches are not seen on the wire, where the JSON type decides.
    fn branches(&mut self, schemas: Schemas<'_>, place: &Place, old: &[Branch], new: &[Branch]) {
        let (old, new) = (by_json_type(schemas.old, old), by_json_type(schemas.new, new));
        for pair in paired(&old, &new, |(json, _)| *json) {
            match pair {
                Paired::Old((_, branch)) => {
                    let thing = Thing::Branch(schemas.old.type_name(branch.ty));
                    self.removed(&place.step, Spot { span: branch.span, ..place.old }, thing);
                }
                Paired::New((_, branch)) => {
                    let thing = Thing::Branch(schemas.new.type_name(branch.ty));
                    self.added(&place.step, Spot { span: branch.span, ..place.new }, thing);
                }
                Paired::Both((_, old), (_, new)) => {
                    let place = place.within(old.span, new.span, false);
                    let thing = Thing::Branch(schemas.new.type_name(new.ty));
                    self.conditions(&place, thing, old.condition.as_ref(), new.condition.as_ref());
                    self.types(schemas, &place, old.ty, new.ty);
                }
            }
        }
    }
}

fn by_json_type<'a>(schema: &Schema, branches: &'a [Branch]) -> Vec<(JsonType, &'a Branch)> {
    branches.iter().filter_map(|branch| Some((schema.json_type(branch.ty)?, branch))).collect()
}
