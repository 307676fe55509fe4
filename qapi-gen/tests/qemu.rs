//! Agreement with QEMU's own compiler: the verdicts on its test cases, and its schemas.
//!
//! `QEMU_SRC` names a tree with `qapi/`, `storage-daemon/qapi/`, `qga/` and `tests/qapi-schema/`. Without it there is
//! nothing to compare with, which is an error if `WHYSTOP_REQUIRE_PEERS=1`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "qemu/introspection.rs"]
mod introspection;
mod page;

use std::path::{Path, PathBuf};
use std::{env, fs};

use qapi_gen::{Conditions, Errors, compile, generate};

/// The directories of QEMU's, its storage daemon's and its guest agent's.
const SCHEMAS: [&str; 3] = ["qapi", "storage-daemon/qapi", "qga"];

fn qemu() -> Option<PathBuf> {
    let tree = env::var_os("QEMU_SRC").map(PathBuf::from);
    if tree.is_none() {
        let required = env::var_os("WHYSTOP_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "needs QEMU_SRC");
        println!("skipped: needs QEMU_SRC");
    }
    tree
}

/// A file's name and a line of it.
type Place = (String, u32);

/// The place in the last line of QEMU's message that has one; notes about earlier definitions do not count.
fn expected(message: &str) -> Option<Place> {
    let lines = message.lines().filter(|line| !line.starts_with("In file included from"));
    let mut places = lines.filter_map(|line| {
        let (path, rest) = line.split_once(".json:")?;
        let number = rest.split(':').next()?.parse().ok()?;
        let name = Path::new(path).file_name()?.to_str()?;
        Some((format!("{name}.json"), number))
    });
    places.next()
}

fn found(errors: &Errors) -> Option<Place> {
    let at = errors.diagnostics().first()?.at()?;
    let name = errors.sources().path(at.file).file_name()?.to_str()?;
    Some((name.to_owned(), at.line))
}

#[test]
fn verdicts_and_lines_agree_with_qemu_s_test_cases() {
    let Some(tree) = qemu() else { return };
    let directory = tree.join("tests/qapi-schema");
    let entries = fs::read_dir(&directory).expect("QEMU's test cases");
    let mut cases: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|path| path.extension().is_some_and(|kind| kind == "json"));
    cases.sort();
    let mut agreed = 0;
    let mut wrong = Vec::new();
    for case in cases {
        let Ok(message) = fs::read_to_string(case.with_extension("err")) else {
            continue; // not a case of its own, but included by one
        };
        let result = compile(&case);
        let agrees = match &result {
            Ok(_) => message.is_empty(),
            Err(errors) => !message.is_empty() && found(errors) == expected(&message),
        };
        if agrees {
            agreed += 1;
        } else {
            let found = result.map_or_else(|errors| errors.to_string(), |_| "accepted\n".to_owned());
            wrong.push(format!("{}: QEMU says:\n{message}but found:\n{found}", case.display()));
        }
    }
    println!("{agreed} cases agree");
    assert!(wrong.is_empty(), "{} cases disagree:\n{}", wrong.len(), wrong.join("\n"));
    assert!(agreed > 0, "no cases in {}", directory.display());
}

#[test]
fn qemu_s_schemas_are_accepted_and_become_rust() {
    let Some(tree) = qemu() else { return };
    for schema in SCHEMAS {
        let path = tree.join(schema).join("qapi-schema.json");
        let schema = compile(path).unwrap_or_else(|errors| panic!("{errors}"));
        let code = generate(&schema, &Conditions::AllHold.into()).unwrap_or_else(|errors| panic!("{errors}"));
        let file: syn::File = syn::parse2(code).expect("generated code is Rust");
        assert!(file.items.len() > schema.modules().len());
    }
}

#[test]
fn qemu_s_schemas_have_a_manual() {
    let Some(tree) = qemu() else { return };
    for schema in ["qapi", "storage-daemon/qapi", "qga"] {
        let path = tree.join(schema).join("qapi-schema.json");
        page::check(&compile(path).unwrap_or_else(|errors| panic!("{errors}")));
    }
}
