//! What is reported: every independent error in one run, and nothing about what is right.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::fmt::Write as _;
use std::{fs, iter};

use proptest::prelude::*;
use proptest::sample::Index;
use qapi_gen::{Errors, Schema, compile};
use tempfile::TempDir;

/// Compiles files of these names and texts, the first of which includes the others or not.
fn compiled(files: &[(&str, &str)]) -> Result<Schema, Errors> {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let (first, _) = files.first().expect("a file");
    compile(folder.path().join(first))
}

/// The file name, the line and the message of each error.
fn found(errors: &Errors) -> Vec<(String, u32, String)> {
    let place = |diagnostic: &qapi_gen::Diagnostic| {
        let at = diagnostic.at().expect("a place");
        let name = errors.sources().path(at.file).file_name().expect("a name").to_string_lossy().into_owned();
        (name, at.line, diagnostic.message().to_owned())
    };
    errors.diagnostics().iter().map(place).collect()
}

/// Schemas with a single error in line 1, of every stage, whose names differ.
const MISTAKES: [(&str, &str); 14] = [
    ("{ 'command': one-a }\n", "stray 'one-a'"),
    ("{ 'command': 'one-b' 'x' }\n", "expected ',' or '}'"),
    ("{ 'command': 'one-c'\n", "expected ',' or '}'"),
    ("{ 'command': 'one-d', 'command': 'x' }\n", "duplicate key 'command'"),
    ("## @one-e:\n##\n{ 'command': 'one-e' }\n", "junk after '##' at start of documentation comment"),
    (
        "{ 'date': 'x' }\n",
        "expression must have exactly one key 'enum', 'struct', 'union', 'alternate', 'command', 'event'",
    ),
    ("{ 'command': 'one_f' }\n", "name of command must not use uppercase or '_'"),
    ("{ 'command': 'one-g', 'gen': true }\n", "flag 'gen' may only use false value"),
    ("{ 'command': 'one-h', 'features': [ 'a', 'a' ] }\n", "feature 'a' collides with feature 'a'"),
    ("{ 'command': 'one-i', 'returns': 'int' }\n", "command's 'returns' cannot take built-in type 'int'"),
    ("{ 'event': 'ONE_J', 'data': 'any' }\n", "event's 'data' cannot take built-in type 'any'"),
    ("{ 'enum': 'One1k', 'data': [ 'a', 'a' ] }\n", "value 'a' collides with value 'a'"),
    ("{ 'struct': 'One1l', 'base': 'One1l', 'data': {} }\n", "object One1l contains itself"),
    ("{ 'struct': 'One1m', 'data': { 'a': 'int', '*a': 'int' } }\n", "member 'a' collides with member 'a'"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Independent mistakes are all found, wherever they stand, in one file or in several.
    #[test]
    fn each_of_several_mistakes_is_reported_once(chosen in proptest::collection::vec((any::<Index>(), any::<bool>()), 1..8)) {
        let mut seen = [false; MISTAKES.len()];
        let mut files = vec![("first.json".to_owned(), String::new())];
        let mut expected = Vec::new();
        for (number, (index, own_file)) in chosen.iter().enumerate() {
            let index = index.index(MISTAKES.len());
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            let (text, message) = MISTAKES[index];
            if *own_file {
                let name = format!("file{number}.json");
                writeln!(files[0].1, "{{ 'include': '{name}' }}").expect("written");
                expected.push((name.clone(), 1, message.to_owned()));
                files.push((name, text.to_owned()));
            } else {
                let first = &mut files[0].1;
                // What is missing at the end of a line is missed where the next definition starts.
                let line = first.lines().count() as u32 + 1;
                first.push_str(text);
                let missed = u32::from(text.starts_with("{ 'command': 'one-c'"));
                expected.push(("first.json".to_owned(), line + missed, message.to_owned()));
                writeln!(first, "{{ 'event': 'RIGHT{number}' }}").expect("written");
            }
        }
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let errors = compiled(&files).expect_err("mistakes");
        let mut found = found(&errors);
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn what_was_lost_to_an_error_is_not_missed() {
    for lost in
        ["{ 'struct': 'Foo', 'data': { 'a': x } }", "{ 'include': 'missing.json' }", "{ 'include': 'first.json' }"]
    {
        let text = format!("{lost}\n{{ 'command': 'go', 'data': 'Foo' }}\n");
        let errors = compiled(&[("first.json", &text)]).expect_err("an error");
        assert_eq!(found(&errors).len(), 1, "{errors}");
    }
}

#[test]
fn more_errors_than_anybody_reads_are_counted() {
    let text = "{ 'command': 5 }\n{ 'command': [] }\n{ 'command': 'go', 'data': 'Unknown' }\n".repeat(100_000);
    let errors = compiled(&[("many.json", &text)]).expect_err("errors").to_string();
    assert_eq!(errors.matches(": error: ").count(), 100);
    // One for each line, and for every second definition of 'go'.
    assert!(errors.ends_with("\n399899 more errors\n"), "{}", errors.lines().last().expect("a line"));
}

#[test]
fn a_long_line_is_shown_around_its_error() {
    let text = format!("{{ 'enum': 'Foo', 'data': [ {}'a', {}'x' ] }}", "'a', ".repeat(1000), "'b', ".repeat(1000));
    let errors = compiled(&[("long.json", &text)]).expect_err("errors").to_string();
    assert!(errors.lines().all(|line| line.chars().count() < 400), "{errors}");
    let name = "x".repeat(100_000);
    let errors = compiled(&[("long.json", &format!("{{ '{name}': '{name}' }}"))]).expect_err("errors").to_string();
    assert!(errors.lines().all(|line| line.chars().count() < 700), "{errors}");
}

#[test]
fn the_include_chain_of_an_error_is_shown_as_far_as_it_is_of_use() {
    let folder = TempDir::new().expect("a folder");
    for number in 0..100 {
        let text = format!("{{ 'include': 'file{}.json' }}\n", number + 1);
        fs::write(folder.path().join(format!("file{number}.json")), text).expect("written");
    }
    fs::write(folder.path().join("file100.json"), "{ 'command': 5 }\n").expect("written");
    let errors = compile(folder.path().join("file0.json")).expect_err("an error").to_string();
    let included: Vec<_> = errors.lines().filter(|line| line.starts_with("included from ")).collect();
    assert_eq!(included.len(), 21);
    assert!(included[0].ends_with("/file99.json:1"), "{errors}");
    assert_eq!(included[20], "included from 80 more files");
}

#[test]
fn the_predefined_enumeration_is_one() {
    let text = "{ 'struct': 'Aa', 'data': { 'a': 'int' } }
{ 'union': 'Foo', 'base': { 'kind': 'QType' }, 'discriminator': 'kind', 'data': { 'qnum': 'Aa' } }
{ 'alternate': 'Bar', 'data': { 'a': 'QType', 'b': 'int', 'c': 'bool' } }
";
    assert!(compiled(&[("a.json", text)]).is_ok());
}

#[test]
fn chains_of_any_length_are_followed() {
    let chain = |count: usize| {
        let links = (1..count).map(|n| format!("{{ 'struct': 'Foo{n}x', 'base': 'Foo{}x', 'data': {{}} }}\n", n + 1));
        let last = format!("{{ 'struct': 'Foo{count}x', 'data': {{}} }}\n");
        links.chain(iter::once(last)).collect::<String>()
    };
    assert!(compiled(&[("bases.json", &chain(1000))]).is_ok());
    let errors = compiled(&[("bases.json", &chain(1500))]).expect_err("too many");
    assert_eq!(
        found(&errors),
        [("bases.json".to_owned(), 499, "bases or branches nested more than 1000 levels deep".to_owned())]
    );
    let unions = (1..900).map(|n| {
        format!("{{ 'union': 'Foo{n}x', 'base': {{ 'k{n}': 'Kind' }}, 'discriminator': 'k{n}', 'data': {{ 'a': 'Foo{}x' }} }}\n", n + 1)
    });
    let ends = "{ 'enum': 'Kind', 'data': [ 'a' ] }\n{ 'struct': 'Foo900x', 'data': { 'k1': 'int' } }\n";
    let text = unions.chain(iter::once(ends.to_owned())).collect::<String>();
    let errors = compiled(&[("unions.json", &text)]).expect_err("a clash");
    let message = "member 'k1' of type 'Foo900x' collides with base member 'k1'".to_owned();
    assert_eq!(found(&errors), [("unions.json".to_owned(), 1, message)]);
}
