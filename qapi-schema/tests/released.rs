//! Clients of the last release need not notice what changed since: `released/` is its schema.
#![allow(clippy::panic, reason = "a test fails by a panic")]

use std::path::Path;

use qapi_gen::diff::Verdict;
use qapi_gen::{Schema, compile, diff};

fn schema(directory: &str) -> Schema {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory).join("qapi-schema.json");
    compile(path).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn clients_of_the_last_release_are_not_broken() {
    let changes = diff(&schema("released"), &schema("schema"));
    let breaking = changes.iter().filter(|change| change.verdict == Verdict::Breaking);
    let breaking: String = breaking.map(|change| format!("{change}\n")).collect();
    assert!(breaking.is_empty(), "CONTRIBUTING.md says what to do about it:\n{breaking}");
}
