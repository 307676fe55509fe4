//! Generated code as crates of their own: they compile without a warning, and their types take exactly what the schema
//! says.
//!
//! The schemas are ours, one with every construct of the language, and those of QEMU if `QEMU_SRC` names a tree that has
//! them.
#![allow(clippy::expect_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test fails by a panic")]

mod corruption;
mod package;
mod shape;
mod table;
mod values;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;

use package::{Package, Server};
use qapi_gen::schema::{Definition, DefinitionKind};
use values::{Random, Values};

/// The packages, written.
static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let mut packages = vec![
        Package::new("generated_own", Path::new("../qapi-schema/schema/qapi-schema.json")),
        Package::new("generated_constructs", Path::new("macros/tests/schema/main.json")),
    ];
    if let Some(tree) = env::var_os("QEMU_SRC").map(PathBuf::from) {
        packages.extend([
            Package::new("generated_qemu", &tree.join("qapi/qapi-schema.json")),
            Package::without_conditions("generated_qemu_bare", &tree.join("qapi/qapi-schema.json")),
            Package::new("generated_storage_daemon", &tree.join("storage-daemon/qapi/qapi-schema.json")),
            Package::new("generated_guest_agent", &tree.join("qga/qapi-schema.json")),
        ]);
    } else {
        skip("QEMU_SRC");
    }
    package::write_all(&packages);
    packages
});

/// Says that something is not tried, which is an error if everything should be.
fn skip(missing: &str) {
    assert!(env::var_os("WHYSTOP_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs {missing}");
    println!("skipped: needs {missing}");
}

#[test]
fn generated_code_has_no_warning_and_is_documented() {
    LazyLock::force(&PACKAGES);
    if package::has_clippy() {
        package::cargo(&["clippy"]);
    } else {
        skip("cargo clippy");
        package::cargo(&["check"]);
    }
    package::cargo(&["doc", "--no-deps", "--lib"]);
}

#[test]
fn values_come_back_as_they_were_and_corrupt_ones_are_refused_by_their_path() {
    let packages = &*PACKAGES;
    package::cargo(&["build"]);
    thread::scope(|scope| {
        for package in packages.iter().filter(|package| package.whole) {
            scope.spawn(|| {
                let counts = try_all(package);
                println!("{}: {} definitions, {} values, {} corruptions", package.name, counts.0, counts.1, counts.2);
            });
        }
    });
}

/// So many corruptions are tried of what stands deeper in a value than its own members.
const FAR: usize = 8;

/// Tries values of every definition. Returns the numbers of definitions, values and corruptions.
fn try_all(package: &Package) -> (usize, usize, usize) {
    let schema = &package.schema;
    let mut server = Server::start(package);
    let (mut values, mut random) = (Values::new(schema, 1), Random(2));
    let mut counts = (0, 0, 0);
    for definition in schema.definitions().filter(|definition| is_read(definition)) {
        let (shape, name) = (shape::of_definition(schema, definition), &definition.name);
        // The place of arguments is the root.
        let root = if matches!(definition.kind, DefinitionKind::Command(_)) { "" } else { "x" };
        counts.0 += 1;
        for value in values.several(definition) {
            counts.1 += 1;
            assert_eq!(server.ask(name, &value), Ok(value.clone()), "{definition}");
            let found = corruption::corruptions(schema, &shape, &value, root);
            let (near, far): (Vec<_>, Vec<_>) = found.into_iter().partition(|corruption| corruption.depth() <= 1);
            // Arguments are an object already.
            let near = near.iter().filter(|corruption| !root.is_empty() || corruption.depth() == 1);
            // What is farther away is near in another type; some of it shows the path.
            let far = (0..FAR.min(far.len())).map(|_| random.pick(&far));
            for corruption in near.chain(far) {
                counts.2 += 1;
                let corrupt = corruption.apply(&value);
                let answer = server.ask(name, &corrupt);
                assert_eq!(answer.as_ref(), Err(&corruption.error), "{definition}: {corrupt}");
            }
        }
    }
    counts
}

/// Whether generated code reads the definition's values.
fn is_read(definition: &Definition) -> bool {
    match &definition.kind {
        DefinitionKind::Command(command) => command.generated,
        _ => true,
    }
}
