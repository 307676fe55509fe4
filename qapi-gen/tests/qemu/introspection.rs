//! What clients are told: what must hold for any schema, and agreement with what QEMU's own compiler tells them.
//!
//! The latter needs `QEMU_QAPI_GEN`, the path of QEMU's `scripts/qapi-gen.py`, and Python. No package has that script,
//! so that its absence is no error, not even if `WHYSTOP_REQUIRE_PEERS=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use qapi_gen::introspect::{Conditional, Entity, Kind, introspect, json};
use qapi_gen::schema::DefinitionKind;
use qapi_gen::{Schema, compile};
use serde_json::Value;

fn own_cases() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/cases").expect("the cases");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "introspect")).collect()
}

fn qemu_s_schemas() -> Vec<PathBuf> {
    let Some(tree) = super::qemu() else { return Vec::new() };
    super::SCHEMAS.map(|schema| tree.join(schema).join("qapi-schema.json")).into()
}

#[test]
fn what_clients_are_told_is_whole_and_nothing_else() {
    let own = own_cases().into_iter().map(|case| case.with_extension("json"));
    for path in own.chain(qemu_s_schemas()) {
        let schema = compile(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let entities = introspect(&schema);
        let by_name: BTreeMap<_, _> = entities.iter().map(|entity| (entity.item.name.as_str(), &entity.item)).collect();
        assert_eq!(by_name.len(), entities.len(), "{}: a name occurs twice", path.display());
        assert_eq!(reachable(&entities, &by_name), by_name.keys().copied().collect(), "{}", path.display());
        assert_eq!(exchanges(&entities), defined(&schema), "{}", path.display());
        for entity in by_name.values() {
            assert!(is_masked(entity), "{}: {entity:?}", path.display());
            assert!(has_all_variants(entity, &by_name), "{}: {entity:?}", path.display());
        }
    }
}

/// Commands, events, and the types that are reached from them, which must be there.
fn reachable<'a>(
    entities: &'a [Conditional<'_, Entity<'_>>],
    by_name: &BTreeMap<&str, &'a Entity<'_>>,
) -> BTreeSet<&'a str> {
    let roots = entities.iter().map(|entity| &entity.item);
    let mut open: Vec<_> = roots.filter(|entity| is_exchange(entity)).collect();
    let mut reached: BTreeSet<_> = open.iter().map(|entity| entity.name.as_str()).collect();
    while let Some(entity) = open.pop() {
        for name in references(entity) {
            if reached.insert(name) {
                open.push(by_name.get(name).unwrap_or_else(|| panic!("{} refers to no '{name}'", entity.name)));
            }
        }
    }
    reached
}

fn is_exchange(entity: &Entity<'_>) -> bool {
    matches!(entity.kind, Kind::Command { .. } | Kind::Event { .. })
}

fn references<'a>(entity: &'a Entity<'_>) -> Vec<&'a str> {
    match &entity.kind {
        Kind::Builtin(_) | Kind::Enum(_) => Vec::new(),
        Kind::Array(name) | Kind::Event { arg_type: name } => vec![name],
        Kind::Command { arg_type, ret_type, .. } => vec![arg_type, ret_type],
        Kind::Alternate(types) => types.iter().map(|ty| ty.item.as_str()).collect(),
        Kind::Object { members, variants } => {
            let cases = variants.iter().flat_map(|variants| &variants.cases).map(|case| case.item.ty.as_str());
            members.iter().map(|member| member.item.ty.as_str()).chain(cases).collect()
        }
    }
}

fn exchanges<'a>(entities: &'a [Conditional<'_, Entity<'_>>]) -> BTreeSet<&'a str> {
    let entities = entities.iter().map(|entity| &entity.item);
    entities.filter(|entity| is_exchange(entity)).map(|entity| entity.name.as_str()).collect()
}

fn defined(schema: &Schema) -> BTreeSet<&str> {
    let exchanges = schema.definitions().filter(|definition| match definition.kind {
        DefinitionKind::Command(_) | DefinitionKind::Event(_) => true,
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_) => false,
    });
    exchanges.map(|definition| definition.name.as_str()).collect()
}

/// Types of the schema are numbers, arrays say of what they are, and only built-in types have names.
fn is_masked(entity: &Entity<'_>) -> bool {
    let name = entity.name.as_str();
    match &entity.kind {
        Kind::Command { .. } | Kind::Event { .. } => true,
        Kind::Builtin(_) => ["str", "number", "int", "bool", "null", "any"].contains(&name),
        Kind::Array(element) => name == format!("[{element}]"),
        Kind::Enum(_) | Kind::Object { .. } | Kind::Alternate(_) => name.parse::<usize>().is_ok(),
    }
}

/// The tag of an object is a member, and each of its values has one variant, which is an object.
fn has_all_variants(entity: &Entity<'_>, by_name: &BTreeMap<&str, &Entity<'_>>) -> bool {
    let Kind::Object { members, variants: Some(variants) } = &entity.kind else {
        return true;
    };
    let tag = members.iter().find(|member| member.item.name == variants.tag).expect("the tag");
    let Kind::Enum(values) = &by_name[tag.item.ty.as_str()].kind else {
        return false;
    };
    let values: BTreeSet<_> = values.iter().map(|value| value.item.name).collect();
    let cases: BTreeSet<_> = variants.cases.iter().map(|case| case.item.value).collect();
    let objects = variants.cases.iter().all(|case| matches!(by_name[case.item.ty.as_str()].kind, Kind::Object { .. }));
    objects && cases == values && cases.len() == variants.cases.len()
}

#[test]
fn qemu_s_compiler_tells_clients_the_same() {
    let Some(script) = env::var_os("QEMU_QAPI_GEN") else {
        println!("skipped: needs QEMU_QAPI_GEN");
        return;
    };
    let own = own_cases().into_iter().map(|case| case.with_extension("json"));
    for path in own.chain(qemu_s_schemas()) {
        let out = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("python3");
        command.arg(&script).arg("-o").arg(out.path()).arg("-b").arg(&path);
        let output = command.output().expect("Python");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let code = fs::read_to_string(out.path().join("qapi-introspect.c")).expect("QEMU's code");
        compare(&path, &code);
    }
}

/// They agree even in the order and in the numbers.
fn compare(path: &Path, code: &str) {
    let schema = compile(path).unwrap_or_else(|errors| panic!("{errors}"));
    let ours: Vec<Value> = serde_json::from_str(&json(&introspect(&schema))).expect("JSON");
    let theirs: Vec<Value> = serde_json::from_str(&literal(code)).expect("the lines of the literal");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{}", path.display());
    }
    assert_eq!(ours.len(), theirs.len(), "{}", path.display());
}

/// The C literal as JSON. Each of its lines opens or closes something, or is one value.
fn literal(code: &str) -> String {
    let (mut text, mut open) = (String::new(), Vec::new());
    let lines = code.lines().skip_while(|line| !line.contains("qmp_schema_qlit ="));
    for line in lines.map(str::trim).filter(|line| !line.starts_with('#') && !line.starts_with("/*")) {
        let value = match line.strip_prefix("{ ").and_then(|entry| entry.split_once(", ")) {
            Some((key, value)) => {
                text.push_str(&format!("{key}: "));
                value
            }
            None => line,
        };
        if line == "{}" {
            // No comma after the last element.
            text.truncate(text.trim_end_matches([',', '\n']).len());
            text.push(open.pop().expect("something open"));
        } else if line.starts_with("})") {
            text.push_str(",\n");
        } else if value.ends_with("QLIT_QLIST(((QLitObject[]) {") {
            text.push('[');
            open.push(']');
        } else if value.ends_with("QLIT_QDICT(((QLitDictEntry[]) {") {
            text.push('{');
            open.push('}');
        } else if value.starts_with("QLIT_QNULL") {
            text.push_str("null,\n");
        } else if let Some((_, value)) = value.split_once('(') {
            let (value, _) = value.rsplit_once(')').expect("an end");
            text.push_str(&format!("{value},\n"));
        }
    }
    text.truncate(text.trim_end_matches([',', '\n']).len());
    text
}
