//! Whatever the bytes, the compiler says what is wrong: it does not panic, overflow its stack, or hang.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use qapi_gen::{Conditions, Schema, compile, generate};
use tempfile::NamedTempFile;

/// The text of every case of `cases.rs`, one definition after the other.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let entries = fs::read_dir("tests/cases").expect("the cases");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).expect("a case")).collect()
});

/// Compiles the bytes, and generates code if they are a schema.
fn compiled(bytes: &[u8]) -> Option<Schema> {
    let file = NamedTempFile::new().expect("a file");
    fs::write(file.path(), bytes).expect("written");
    match compile(file.path()) {
        Ok(schema) => {
            let code = generate(&schema, &Conditions::AllHold.into()).expect("conditions hold");
            syn::parse2::<syn::File>(code).expect("generated code is Rust");
            Some(schema)
        }
        Err(errors) => {
            assert!(!errors.to_string().is_empty());
            None
        }
    }
}

/// A change of a text at some place.
#[derive(Clone, Debug)]
enum Mutation {
    Remove(Index, usize),
    Insert(Index, String),
    Swap(Index, Index),
    Repeat(Index, usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let words = select(vec![
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "#",
        "##\n",
        "\n",
        " ",
        "true",
        "'*a'",
        "'a'",
        "'if'",
        "'type'",
        "'Foo'",
        "\\",
        "\u{0}",
        "\u{e9}",
        "@a: ",
        "Since: ",
        "Features:\n",
        "'data'",
        "'base'",
        "'union'",
        "'boxed': true,",
    ]);
    prop_oneof![
        (any::<Index>(), 0..20usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (any::<Index>(), words).prop_map(|(at, word)| Mutation::Insert(at, word.to_owned())),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        (any::<Index>(), 0..40usize, 0..4usize).prop_map(|(at, length, times)| Mutation::Repeat(at, length, times)),
    ]
}

fn mutated(mut text: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let length = text.len();
        let place = |index: &Index| index.index(length + 1);
        match mutation {
            Mutation::Remove(at, count) => {
                let at = place(at);
                text.drain(at..length.min(at + count));
            }
            Mutation::Insert(at, word) => {
                let at = place(at);
                text.splice(at..at, word.bytes());
            }
            Mutation::Swap(one, other) if length > 0 => text.swap(one.index(length), other.index(length)),
            Mutation::Swap(..) => {}
            Mutation::Repeat(at, count, times) => {
                let at = place(at);
                let stretch = text[at..length.min(at + count)].repeat(*times);
                text.splice(at..at, stretch);
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_schema_or_errors(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        compiled(&bytes);
    }

    #[test]
    fn a_mutated_schema_is_a_schema_or_errors(
        seeds in proptest::collection::vec(any::<Index>(), 1..4),
        mutations in proptest::collection::vec(mutation(), 0..6),
    ) {
        let text = seeds.iter().flat_map(|seed| seed.get(&SEEDS).clone()).collect();
        compiled(&mutated(text, &mutations));
    }
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["{ 'a': ", "[", "{ 'command': 'go', 'if': { 'not': "] {
        assert!(compiled(open.repeat(100_000).as_bytes()).is_none());
    }
}

#[test]
fn long_chains_of_definitions_are_refused_or_compiled() {
    let bases = (1..20_000).map(|n| format!("{{ 'struct': 'Foo{n}x', 'base': 'Foo{}x', 'data': {{}} }}\n", n + 1));
    assert!(compiled(bases.collect::<String>().as_bytes()).is_none());
    let members = (1..20_000).map(|n| format!("{{ 'struct': 'Foo{n}x', 'data': {{ 'a': 'Foo{}x' }} }}\n", n + 1));
    let last = "{ 'struct': 'Foo20000x', 'data': {} }\n";
    assert!(compiled((members.collect::<String>() + last).as_bytes()).is_some());
}

#[test]
fn long_lines_and_many_errors_take_linear_time() {
    assert!(compiled(&b"'".repeat(1 << 20)).is_none());
    assert!(compiled(&b"{ 'command': }\n".repeat(1 << 16)).is_none());
    assert!(compiled(&b"##\n# @a:\n".repeat(1 << 16)).is_none());
    assert!(compiled(format!("{{ 'enum': 'Foo', 'data': [ {}'a' ] }}", "'a', ".repeat(1 << 16)).as_bytes()).is_none());
}
