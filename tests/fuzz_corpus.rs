//! Every input of `fuzz/corpus` is played: what the fuzzer starts from, and what it once found.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// One test per target: it plays the folder of its name.
macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                play(stringify!($name), targets::$name);
            }
        )*
    };
}

targets! {
    command_line
    json_stream
    nbd_handshake
    nbd_transmission
    qapi_schema
    qmp_session
    qtest
    virtio_blk
}

fn play(target: &str, run: fn(&[u8])) {
    let inputs = names(&format!("fuzz/corpus/{target}"));
    assert!(!inputs.is_empty(), "the fuzzer has nothing to start from");
    let fails = |name: &&String| {
        let input = fs::read(Path::new("fuzz/corpus").join(target).join(name)).expect("an input");
        catch_unwind(|| run(&input)).is_err()
    };
    let failing: Vec<_> = inputs.iter().filter(fails).collect();
    assert!(failing.is_empty(), "of {target}: {failing:?}");
}

/// The names in a folder, in order.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect(folder);
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn every_target_has_a_corpus_and_is_known_to_cargo_fuzz() {
    assert_eq!(names("fuzz/corpus"), TARGETS);
    let files: Vec<_> = TARGETS.iter().map(|target| format!("{target}.rs")).collect();
    assert_eq!(names("fuzz/fuzz_targets"), files);
}
