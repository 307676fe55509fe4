//! Any single edit of a list that breaks clients is found, wherever in a schema it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs};

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Direction, Verdict, diff};
use crate::compile;
use crate::schema::{
    Builtin, Condition, Definition, DefinitionId, DefinitionKind, EnumValue, Feature, Member, Members, Schema, Type,
    TypeId,
};

#[derive(Clone, Copy, Debug)]
enum Mutation {
    RemoveExchange,
    MakeExchangeConditional,
    RemoveFeature(usize),
    AddMandatoryMember,
    RemoveMember(usize),
    MakeMemberMandatory(usize),
    MakeMemberOptional(usize),
    MakeMemberConditional(usize),
    RetypeMember(usize),
    RemoveMemberFeature(usize),
    RemoveValue(usize),
    MakeValueConditional(usize),
    RemoveBranch(usize),
}

/// An edit of a definition.
type Edit = (DefinitionId, Mutation);

/// In which directions stable commands and events use a type, themselves included.
type Reached = BTreeMap<DefinitionId, BTreeSet<Direction>>;

fn stable(features: &[Feature]) -> bool {
    features.iter().all(|feature| feature.name != "unstable")
}

/// The values of a union's discriminator that clients were told may change.
fn loose_values(schema: &Schema, definition: &Definition) -> Vec<String> {
    let DefinitionKind::Union(union) = &definition.kind else { return Vec::new() };
    let values = schema.discriminator(definition, union).map(Definition::values).unwrap_or_default();
    values.iter().filter(|value| !stable(&value.features)).map(|value| value.name.clone()).collect()
}

/// The type whose members an object has before its own.
fn base(definition: &Definition) -> Option<TypeId> {
    match &definition.kind {
        DefinitionKind::Struct(structure) => structure.base,
        DefinitionKind::Union(union) => union.base.of(),
        DefinitionKind::Enum(_)
        | DefinitionKind::Alternate(_)
        | DefinitionKind::Command(_)
        | DefinitionKind::Event(_) => None,
    }
}

fn reach(schema: &Schema, ty: TypeId, direction: Direction, reached: &mut Reached) {
    let Some(definition) = ty.definition().and_then(|id| schema.definition(id)) else { return };
    if !reached.entry(definition.id).or_default().insert(direction) {
        return;
    }
    let members = definition.own_members().iter().filter(|member| stable(&member.features));
    let members = members.map(|member| member.ty.id);
    let loose = loose_values(schema, definition);
    let branches = definition.branches().iter().filter(|branch| !loose.contains(&branch.name));
    let branches = branches.map(|branch| branch.ty.id);
    let data = match &definition.kind {
        DefinitionKind::Command(command) => command.data.as_ref().and_then(Members::of),
        DefinitionKind::Event(event) => event.data.as_ref().and_then(Members::of),
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_) => None,
    };
    for ty in members.chain(branches).chain(base(definition)).chain(data) {
        reach(schema, ty, direction, reached);
    }
}

fn reached(schema: &Schema) -> Reached {
    let mut reached = Reached::new();
    for definition in schema.definitions().filter(|definition| stable(&definition.features)) {
        let itself = TypeId::Definition(definition.id);
        if let DefinitionKind::Command(command) = &definition.kind {
            reach(schema, itself, Direction::Sent, &mut reached);
            if let Some(returns) = command.returns {
                reach(schema, returns.id, Direction::Received, &mut reached);
            }
        } else if let DefinitionKind::Event(_) = definition.kind {
            reach(schema, itself, Direction::Received, &mut reached);
        }
    }
    reached
}

/// The members that a definition lists, to be edited.
fn members(definition: &mut Definition) -> Option<&mut Vec<Member>> {
    let members = match &mut definition.kind {
        DefinitionKind::Struct(structure) => return Some(&mut structure.members),
        DefinitionKind::Union(union) => &mut union.base,
        DefinitionKind::Command(command) => command.data.as_mut()?,
        DefinitionKind::Event(event) => event.data.as_mut()?,
        DefinitionKind::Enum(_) | DefinitionKind::Alternate(_) => return None,
    };
    match members {
        Members::Inline(members) => Some(members),
        Members::Of(_) => None,
    }
}

fn values(definition: &mut Definition) -> &mut Vec<EnumValue> {
    let DefinitionKind::Enum(enumeration) = &mut definition.kind else { unreachable!("an enumeration") };
    &mut enumeration.values
}

/// Another JSON type is no subset of these.
fn is_plain(schema: &Schema, ty: Type) -> bool {
    !ty.array && schema.json_type(ty).is_some()
}

/// Every edit that must break a client.
fn mutations(schema: &Schema) -> Vec<Edit> {
    let mut mutations = Vec::new();
    let bases: BTreeSet<_> = schema.definitions().filter_map(base).filter_map(TypeId::definition).collect();
    for (id, directions) in reached(schema) {
        let mut definition = schema.definition(id).expect("reached").clone();
        let mut list = Vec::new();
        if !definition.kind.is_type() {
            list.extend([Mutation::RemoveExchange, Mutation::MakeExchangeConditional]);
        }
        let warns = |feature: &Feature| matches!(feature.name.as_str(), "deprecated" | "unstable");
        // Clients do not hear of a base, only of what has its members.
        let told = if bases.contains(&id) { &[][..] } else { &definition.features };
        let features = told.iter().enumerate().filter(|(_, feature)| !warns(feature));
        list.extend(features.map(|(at, _)| Mutation::RemoveFeature(at)));
        let (sent, received) = (directions.contains(&Direction::Sent), directions.contains(&Direction::Received));
        for (at, value) in definition.values().iter().enumerate().filter(|(_, value)| stable(&value.features)) {
            list.push(Mutation::RemoveValue(at));
            list.extend(value.condition.is_none().then_some(Mutation::MakeValueConditional(at)));
        }
        if sent && let DefinitionKind::Alternate(alternate) = &definition.kind {
            list.extend((0..alternate.branches.len()).map(Mutation::RemoveBranch));
        }
        let members = members(&mut definition);
        list.extend((sent && members.is_some()).then_some(Mutation::AddMandatoryMember));
        let members = members.into_iter().flatten().enumerate();
        for (at, member) in members.filter(|(_, member)| stable(&member.features)) {
            list.push(Mutation::RemoveMember(at));
            list.extend(member.condition.is_none().then_some(Mutation::MakeMemberConditional(at)));
            list.extend((sent && member.optional).then_some(Mutation::MakeMemberMandatory(at)));
            list.extend((received && !member.optional).then_some(Mutation::MakeMemberOptional(at)));
            list.extend(is_plain(schema, member.ty).then_some(Mutation::RetypeMember(at)));
            let probed = member.features.first().is_some_and(|feature| !warns(feature));
            list.extend(probed.then_some(Mutation::RemoveMemberFeature(at)));
        }
        mutations.extend(list.into_iter().map(|mutation| (id, mutation)));
    }
    mutations
}

fn mutated(schema: &Schema, id: DefinitionId, mutation: Mutation) -> Schema {
    let mut schema = schema.clone();
    let condition = Some(Condition::Symbol("MUTATION".to_owned()));
    let definition = &mut schema.definitions[id.index()];
    let span = definition.span;
    let member = |definition, at: usize| -> &mut Member { &mut members(definition).expect("members")[at] };
    match mutation {
        Mutation::RemoveExchange => {
            let name = std::mem::replace(&mut definition.name, "mutation".to_owned());
            schema.by_name.remove(&name);
            schema.by_name.insert("mutation".to_owned(), id);
        }
        Mutation::MakeExchangeConditional => {
            definition.condition =
                Some(Condition::All([condition, definition.condition.take()].into_iter().flatten().collect()));
        }
        Mutation::RemoveFeature(at) => drop(definition.features.remove(at)),
        Mutation::AddMandatoryMember => {
            let ty = Type { id: TypeId::Builtin(Builtin::Int), array: false };
            let name = "mutation".to_owned();
            let member = Member { name, span, optional: false, ty, condition: None, features: Vec::new() };
            members(definition).expect("members").push(member);
        }
        Mutation::RemoveMember(at) => drop(members(definition).expect("members").remove(at)),
        Mutation::MakeMemberMandatory(at) => member(definition, at).optional = false,
        Mutation::MakeMemberOptional(at) => member(definition, at).optional = true,
        Mutation::MakeMemberConditional(at) => member(definition, at).condition = condition,
        Mutation::RetypeMember(at) => {
            member(definition, at).ty = Type { id: TypeId::Builtin(Builtin::Null), array: true }
        }
        Mutation::RemoveMemberFeature(at) => drop(member(definition, at).features.remove(0)),
        Mutation::RemoveValue(at) => drop(values(definition).remove(at)),
        Mutation::MakeValueConditional(at) => values(definition)[at].condition = condition,
        Mutation::RemoveBranch(at) => {
            let DefinitionKind::Alternate(alternate) = &mut definition.kind else { unreachable!("an alternate") };
            alternate.branches.remove(at);
        }
    }
    schema
}

fn breaks(old: &Schema, (id, mutation): Edit) -> bool {
    diff(old, &mutated(old, id, mutation)).iter().any(|change| change.verdict == Verdict::Breaking)
}

fn schema(path: &Path) -> Schema {
    compile(path).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_breaking_edit_of_the_cases_is_found() {
    let mut count = 0;
    for entry in fs::read_dir("tests/cases").expect("the cases") {
        let path = entry.expect("an entry").path();
        for file in [path.join("old.json"), path.join("new.json"), path] {
            let Ok(schema) = compile(&file) else { continue };
            for mutation in mutations(&schema) {
                assert!(breaks(&schema, mutation), "{}: {mutation:?}", file.display());
                count += 1;
            }
        }
    }
    assert!(count > 500, "only {count} edits");
}

/// QEMU's full schema and the edits of it.
static QEMU: LazyLock<Option<(Schema, Vec<Edit>)>> = LazyLock::new(|| {
    let Some(tree) = env::var_os("QEMU_SRC").map(PathBuf::from) else {
        let required = env::var_os("WHYSTOP_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "needs QEMU_SRC");
        println!("skipped: needs QEMU_SRC");
        return None;
    };
    let schema = schema(&tree.join("qapi/qapi-schema.json"));
    let mutations = mutations(&schema);
    Some((schema, mutations))
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_breaking_edit_of_qemu_s_schema_is_found(at: Index) {
        if let Some((schema, mutations)) = &*QEMU {
            let (id, mutation) = *at.get(mutations);
            prop_assert!(breaks(schema, (id, mutation)), "{} {mutation:?}", schema.definitions[id.index()]);
        }
    }
}
