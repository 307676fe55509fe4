//! Whatever the bytes, the compiler says what is wrong: it does not panic, overflow its stack, or hang.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use qapi_gen::{Conditions, Schema, compile, generate};
use tempfile::{NamedTempFile, TempDir};

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

#[test]
fn many_small_things_take_linear_time() {
    let definition = "{ 'struct': 'Foo', 'data': { 'a': 'Bar' } }\n";
    assert!(compiled(definition.repeat(1 << 15).as_bytes()).is_none());
    assert!(compiled("{}".repeat(1 << 17).as_bytes()).is_none());
    assert!(compiled("{ 'command': 'go' ".repeat(1 << 15).as_bytes()).is_none());
    assert!(compiled("##\n# @go:\n".repeat(1 << 15).as_bytes()).is_none());
    assert!(compiled(format!("##\n# @go:\n#\n{}##\n", "# TODO: a\n# Since: 1\n".repeat(1 << 15)).as_bytes()).is_none());
    let names = (0..1 << 13).map(|n| format!("{{ 'struct': 'Foo{n}', 'data': {{ 'a': 'Bar{n}' }} }}\n"));
    assert!(compiled(names.collect::<String>().as_bytes()).is_none());
    let name = "a".repeat(1 << 20);
    let near = format!("{{ 'enum': '{name}b', 'data': [] }} {{ 'command': 'go', 'data': '{name}c' }}");
    assert!(compiled(near.as_bytes()).is_none());
}

#[test]
fn a_base_with_many_members_and_many_users_takes_linear_time() {
    let members = (0..1 << 13).map(|n| format!("'a{n}': 'int'")).collect::<Vec<_>>().join(", ");
    let users = (0..1 << 12).map(|n| format!("{{ 'struct': 'Foo{n}x', 'base': 'Base', 'data': {{ 'b': 'int' }} }}\n"));
    let text = format!("{{ 'struct': 'Base', 'data': {{ {members} }} }}\n{}", users.collect::<String>());
    let file = NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    assert!(compile(file.path()).is_ok());
}

#[test]
fn odd_bytes_are_refused_where_they_stand() {
    for (bytes, place) in [
        (b"{ 'command': 'go' }\n{ \0 }\n".as_slice(), ":2:3: error: stray"),
        (b"{ 'command': 'go' }\n\n\xff", ":3:1: error: not UTF-8"),
        (b"# \xc3\n", ":1:3: error: not UTF-8"),
        (b"\xff\xfe{\0}\0", ":1:1: error: not UTF-8"),
        ("{ 'command': '\u{e9}' }".as_bytes(), ":1:15: error: funny character"),
        (b"\r\n\r\n'\r\n", ":3:1: error: missing terminating"),
        (b"##\r\n# @a:\r\n#\r\n#b\r\n##\r\n", ":4:1: error: missing space"),
    ] {
        let file = NamedTempFile::new().expect("a file");
        fs::write(file.path(), bytes).expect("written");
        let errors = compile(file.path()).expect_err("no schema").to_string();
        let first = errors.lines().next().expect("a line");
        assert!(first.contains(place), "{first} is not at {place}");
    }
}

#[test]
fn a_chain_of_ten_thousand_files_is_followed() {
    let folder = TempDir::new().expect("a folder");
    let file = |number: u32| folder.path().join(number.to_string());
    for number in 0..10_000 {
        fs::write(file(number), format!("{{ 'include': '{}' }}\n", number + 1)).expect("written");
    }
    fs::write(file(10_000), "{ 'command': 'go' }\n").expect("written");
    let schema = compile(file(0)).expect("a schema");
    assert_eq!(schema.sources().iter().count(), 10_001);
    fs::write(file(10_000), "{ 'include': '0' }\n").expect("written");
    let errors = compile(file(0)).expect_err("a loop").to_string();
    assert!(errors.lines().next().expect("a line").ends_with("error: inclusion loop for 0"), "{errors}");
}

/// Files that only some systems have.
#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn first_error(path: &Path) -> String {
        let errors = compile(path).expect_err("no schema").to_string();
        errors.lines().next().expect("a line").to_owned()
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let folder = TempDir::new().expect("a folder");
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
        for path in [fifo.as_path(), Path::new("/dev/zero"), Path::new("/dev/tty")] {
            let error = first_error(path);
            assert!(error.starts_with(&format!("error: can't read schema file '{}': ", path.display())), "{error}");
        }
        let including = folder.path().join("including.json");
        fs::write(&including, "{ 'include': 'fifo' }\n").expect("written");
        assert!(first_error(&including).contains(":1:14: error: can't read include file"), "{including:?}");
        assert!(compile("/dev/null").is_ok());
    }

    #[test]
    fn a_file_longer_than_any_schema_is_refused_unread() {
        let file = NamedTempFile::new().expect("a file");
        file.as_file().set_len(100 << 20).expect("a long file");
        assert!(first_error(file.path()).ends_with(": longer than 32 MiB"), "{}", first_error(file.path()));
    }

    #[test]
    fn a_file_that_may_not_be_read_is_refused() {
        let file = NamedTempFile::new().expect("a file");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o0)).expect("a mode");
        if fs::read(file.path()).is_ok() {
            println!("skipped: needs a user to whom something is forbidden");
            return;
        }
        assert!(first_error(file.path()).contains("Permission denied"), "{}", first_error(file.path()));
    }

    #[test]
    fn loops_through_symbolic_links_end() {
        let folder = TempDir::new().expect("a folder");
        let first = folder.path().join("first.json");
        symlink(&first, folder.path().join("link.json")).expect("a link");
        fs::write(&first, "{ 'include': 'link.json' }\n").expect("written");
        assert!(first_error(&first).contains("/link.json:1:14: error: inclusion loop"), "{}", first_error(&first));
        // Each folder is another name of the first one. What is included twice would double at each level.
        for name in ["one", "two"] {
            symlink(folder.path(), folder.path().join(name)).expect("a link");
        }
        fs::write(&first, "{ 'include': 'one/first.json' }\n{ 'include': 'two/first.json' }\n").expect("written");
        assert!(first_error(&first).contains(": error: can't read include file '"), "{}", first_error(&first));
        symlink("to-itself.json", folder.path().join("to-itself.json")).expect("a link");
        assert!(first_error(&folder.path().join("to-itself.json")).contains("can't read"), "a loop of links");
    }
}
