//! Goldens of `qapi-gen diff`: `tests/cases/diff-NAME/old.json` and `new.json` with `diff.out`, what changed.
//!
//! `QAPI_GEN_REWRITE=1` writes the goldens instead of comparing them.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use qapi_gen::diff::{Change, Direction, Shift, Thing, Values, Verdict, What};
use qapi_gen::{Schema, compile, diff};

fn paths() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/cases").expect("the cases");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn cases() -> impl Iterator<Item = PathBuf> {
    paths().into_iter().filter(|path| path.join("new.json").exists())
}

fn schema(path: &Path) -> Schema {
    compile(path).unwrap_or_else(|errors| panic!("{errors}"))
}

fn pair(case: &Path) -> (Schema, Schema) {
    (schema(&case.join("old.json")), schema(&case.join("new.json")))
}

#[test]
fn every_case_gives_what_its_golden_says() {
    let rewrite = env::var_os("QAPI_GEN_REWRITE").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases() {
        let (old, new) = pair(&case);
        let found: String = diff(&old, &new).iter().map(|change| format!("{change}\n")).collect();
        let golden = case.join("diff.out");
        count += 1;
        if rewrite {
            fs::write(&golden, found).expect("written");
        } else if fs::read_to_string(&golden).ok().as_deref() != Some(&found) {
            wrong.push(format!("{} is not\n{found}", golden.display()));
        }
    }
    assert!(count > 0 && wrong.is_empty(), "QAPI_GEN_REWRITE=1 writes the goldens anew:\n{}", wrong.join("\n"));
}

#[test]
fn a_schema_is_no_change_of_itself() {
    let files = paths().into_iter().flat_map(|path| [path.join("old.json"), path.join("new.json"), path]);
    let mut schemas: Vec<_> = files.filter_map(|file| compile(file).ok()).collect();
    assert!(schemas.len() > 40, "only {} schemas", schemas.len());
    match env::var_os("QEMU_SRC").map(PathBuf::from) {
        Some(tree) => {
            let qemu = ["qapi", "storage-daemon/qapi", "qga"];
            schemas.extend(qemu.map(|directory| schema(&tree.join(directory).join("qapi-schema.json"))));
        }
        None => {
            let required = env::var_os("WHYSTOP_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "needs QEMU_SRC");
            println!("skipped: needs QEMU_SRC");
        }
    }
    for schema in schemas {
        assert_eq!(diff(&schema, &schema.clone()), []);
    }
}

const fn reversed_values(values: Values) -> Values {
    match values {
        Values::More => Values::Fewer,
        Values::Fewer => Values::More,
        Values::Other => Values::Other,
    }
}

/// What a change is when old and new change places.
fn reversed(change: &Change) -> What {
    match change.what.clone() {
        What::Added(thing) => What::Removed(thing),
        What::Removed(thing) => What::Added(thing),
        What::Optional => What::Mandatory,
        What::Mandatory => What::Optional,
        What::Type { old, new, values } => What::Type { old: new, new: old, values: reversed_values(values) },
        What::Condition { thing, old, new, shift } => {
            What::Condition { thing, old: new, new: old, shift: Shift { more: shift.fewer, fewer: shift.more } }
        }
        What::Discriminator { old, new } => What::Discriminator { old: new, new: old },
    }
}

/// A member's obligation, and the name of an alternate's type, are those of the schema where it is seen.
fn blurred(what: What) -> What {
    if let What::Condition { old, new, shift, .. } = what {
        What::Condition { thing: Thing::Exchange, old, new, shift }
    } else {
        what
    }
}

#[test]
fn a_change_back_is_the_reverse_of_the_change() {
    for case in cases() {
        let (old, new) = pair(&case);
        let mut there: Vec<_> = diff(&old, &new).iter().map(reversed).map(blurred).collect();
        let mut back: Vec<_> = diff(&new, &old).into_iter().map(|change| blurred(change.what)).collect();
        there.sort();
        back.sort();
        assert_eq!(there, back, "{}", case.display());
    }
}

#[test]
fn the_verdict_is_that_of_the_worst_use() {
    for case in cases() {
        let (old, new) = pair(&case);
        for (old, new) in [(&old, &new), (&new, &old)] {
            for change in diff(old, new) {
                let breaks = |direction| change.what.breaks(direction);
                let firm = || change.uses.iter().filter(|found| !found.unstable);
                assert!(!change.uses.is_empty(), "{change}");
                let broken = firm().any(|found| breaks(found.part.direction()));
                assert_eq!(broken, change.verdict == Verdict::Breaking, "{change}");
                if let What::Optional | What::Mandatory = change.what {
                    assert_ne!(breaks(Direction::Sent), breaks(Direction::Received));
                }
            }
        }
    }
}

/// Unions whose branches are unions, twice as many ways down at each level, and members of the first and last one.
fn nested_unions(first: &str, last: &str) -> Schema {
    let mut text = "{ 'enum': 'Kind', 'data': [ 'a', 'b' ] }\n".to_owned();
    for level in 0..40 {
        let first = if level == 0 { first } else { "" };
        for side in ["Left", "Right"] {
            text += &format!(
                "{{ 'union': '{side}{level}x', 'base': {{ 'k{level}': 'Kind' {first} }}, 'discriminator': 'k{level}',\n  \
                 'data': {{ 'a': 'Left{0}x', 'b': 'Right{0}x' }} }}\n",
                level + 1
            );
        }
    }
    text += &format!("{{ 'struct': 'Left40x', 'data': {{ {last} }} }}\n{{ 'struct': 'Right40x', 'data': {{}} }}\n");
    text += "{ 'command': 'go', 'data': 'Left0x', 'boxed': true }\n";
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    schema(file.path())
}

#[test]
fn nested_unions_are_compared_once_however_many_ways_lead_to_them() {
    let (old, new) = (nested_unions(", 'gone': 'int'", ""), nested_unions("", "'needed': 'int'"));
    let changes: Vec<_> = diff(&old, &new).into_iter().map(|change| (change.verdict, change.what)).collect();
    let member = || Thing::Member { mandatory: true };
    let added = (Verdict::Breaking, What::Added(member()));
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.contains(&added) && changes.contains(&(Verdict::Breaking, What::Removed(member()))));
}
