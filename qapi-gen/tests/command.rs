//! The command `qapi-gen`, as a user runs it.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs;
use std::process::Command;

/// What the command does: its exit status, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_qapi-gen")).args(arguments).output().expect("runs");
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    (output.status.code(), out, err)
}

#[test]
fn check_says_nothing_about_a_valid_schema() {
    assert_eq!(run(&["check", "tests/cases/generate-union.json"]), (Some(0), String::new(), String::new()));
}

#[test]
fn check_goes_on_with_the_next_file() {
    let (status, out, err) = run(&["check", "tests/cases/lex-null.json", "tests/cases/lex-number.json"]);
    assert_eq!((status, out), (Some(1), String::new()));
    assert!(err.starts_with("tests/cases/lex-null.json:1:28: error: "), "{err}");
    assert!(err.contains("\ntests/cases/lex-number.json:1:31: error: "), "{err}");
}

#[test]
fn expand_prints_formatted_code() {
    let (status, out, err) = run(&["expand", "tests/cases/generate-struct.json"]);
    assert_eq!((status, err), (Some(0), String::new()));
    assert!(out.contains("\n    pub struct Base {\n"), "{out}");
}

#[test]
fn introspect_prints_json() {
    let (status, out, err) = run(&["introspect", "tests/cases/introspect-unions.json"]);
    assert_eq!((status, err), (Some(0), String::new()));
    assert_eq!(out, include_str!("cases/introspect-unions.introspect"));
}

#[test]
fn unknown_conditions_are_refused_unless_all_are_to_hold() {
    let case = "tests/cases/if-symbol-unknown-to-generator.json";
    for command in ["expand", "introspect"] {
        let (status, out, err) = run(&[command, case]);
        assert_eq!((status, out), (Some(1), String::new()));
        assert!(err.contains("'LINUX', 'WINDOWS'"), "{err}");
        assert_eq!(run(&[command, "--all-conditions", case]).0, Some(0));
    }
}

#[test]
fn diff_lists_changes_and_fails_if_one_breaks_clients() {
    let case = |name: &str, file: &str| format!("tests/cases/diff-{name}/{file}.json");
    let [old, new] = ["old", "new"].map(|file| case("enum", file));
    let (status, out, err) = run(&["diff", &old, &new]);
    assert_eq!((status, err), (Some(1), String::new()));
    assert!(out.starts_with("tests/cases/diff-enum/old.json:1:38: breaking: command 'go': "), "{out}");
    assert!(out.contains("\ntests/cases/diff-enum/new.json:1:38: compatible: command 'go': "), "{out}");
    assert!(out.ends_with("\n1 breaking, 1 compatible\n"), "{out}");
    let unchanged = (Some(0), "no changes on the wire\n".to_owned(), String::new());
    assert_eq!(run(&["diff", &case("refactored", "old"), &case("refactored", "new")]), unchanged);
    let (status, out, _) = run(&["diff", "tests/cases/parse-empty-file.json", &new]);
    assert!(status == Some(0) && out.ends_with(" is new\n0 breaking, 1 compatible\n"), "{out}");
}

#[test]
fn diff_gives_no_verdict_on_what_it_cannot_compare() {
    let (valid, null, number) =
        ("tests/cases/parse-empty-file.json", "tests/cases/lex-null.json", "tests/cases/lex-number.json");
    for (arguments, messages) in [
        (&["diff", valid, null] as &[&str], &["lex-null.json:1:28: error: "] as &[&str]),
        (&["diff", null, valid], &["lex-null.json:1:28: error: "]),
        (&["diff", null, number], &["lex-null.json:1:28: error: ", "lex-number.json:1:31: error: "]),
        (&["diff", valid, "tests/missing.json"], &["'tests/missing.json'"]),
        (&["diff", "tests", valid], &["'tests'"]),
        (&["diff"], &["qapi-gen: 'diff' takes two files\nTry 'qapi-gen --help'.\n"]),
        (&["diff", valid], &["'diff' takes two files"]),
        (&["diff", valid, valid, valid], &["'diff' takes two files"]),
        (&["diff", "--fast", valid, valid], &["unknown option '--fast'"]),
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!((status, out), (Some(2), String::new()), "{arguments:?}");
        assert!(messages.iter().all(|message| err.contains(message)), "{err}");
    }
    assert_eq!(run(&["diff", "--help"]).0, Some(0));
}

#[test]
fn doc_creates_the_directory_and_says_what_it_wrote() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("new/docs");
    for (format, start) in [("html", "<!DOCTYPE html>"), ("md", "# A & B\n")] {
        let arguments = ["doc", "tests/cases/generate-union.json", "--title", "A & B", "--format", format];
        let (status, out, err) = run(&[&arguments[..], &["-o", directory.to_str().expect("text")]].concat());
        assert_eq!((status, err), (Some(0), String::new()));
        let path = directory.join("qmp-ref").with_extension(format);
        assert_eq!(out, format!("{}\n", path.display()));
        assert!(fs::read_to_string(path).expect("the manual").starts_with(start));
    }
}

#[test]
fn doc_names_what_it_cannot_write() {
    let parent = tempfile::tempdir().expect("a directory");
    let [file, directory] = ["file", "docs"].map(|name| parent.path().join(name));
    fs::write(&file, "").expect("written");
    fs::create_dir_all(directory.join("qmp-ref.html")).expect("created");
    for (output, named) in [(&file, &file), (&directory, &directory.join("qmp-ref.html"))] {
        let output = output.to_str().expect("text");
        let (status, out, err) = run(&["doc", "tests/cases/generate-union.json", "--format", "html", "-o", output]);
        assert_eq!((status, out), (Some(1), String::new()));
        assert!(err.starts_with(&format!("qapi-gen: can't write '{}': ", named.display())), "{err}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (status, _, err) = run(&["check", "tests/missing.json", "tests"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("'tests/missing.json'") && err.contains("'tests'"), "{err}");
}

#[test]
fn what_is_not_understood_is_refused() {
    for (arguments, message) in [
        (&[] as &[&str], "a command is missing"),
        (&["check"], "a file is missing"),
        (&["check", "--fast", "a.json"], "unknown option '--fast'"),
        (&["check", "--all-conditions", "a.json"], "unknown option '--all-conditions'"),
        (&["expand", "a.json", "b.json"], "'expand' takes one file"),
        (&["introspect", "a.json", "b.json"], "'introspect' takes one file"),
        (&["introspect", "--fast", "a.json"], "unknown option '--fast'"),
        (&["doc", "a.json", "-o", "docs"], "'doc' needs '--format html' or '--format md'"),
        (&["doc", "a.json", "--format", "html"], "'doc' needs '-o DIR'"),
        (&["doc", "a.json", "--format", "pdf", "-o", "docs"], "unknown format 'pdf': it is 'html' or 'md'"),
        (&["doc", "--format", "html", "-o", "docs"], "a file is missing"),
        (&["compile", "a.json"], "unknown command 'compile'"),
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!((status, out), (Some(1), String::new()));
        assert_eq!(err, format!("qapi-gen: {message}\nTry 'qapi-gen --help'.\n"));
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let (status, out, _) = run(&["--help"]);
    assert!(status == Some(0) && out.starts_with("Usage: qapi-gen COMMAND\n"), "{out}");
    let (status, out, _) = run(&["-V"]);
    assert!(status == Some(0) && out.starts_with("qapi-gen "), "{out}");
}

#[cfg(unix)]
#[test]
fn a_schema_can_come_through_a_pipe() {
    use std::io::Write as _;
    use std::process::Stdio;

    for (text, status) in [("{ 'command': 'go' }\n", Some(0)), ("{ 'command': go }\n", Some(1))] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qapi-gen"));
        command.args(["check", "/dev/stdin"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("runs");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), status);
        let errors = String::from_utf8(output.stderr).expect("text");
        assert_eq!(errors.starts_with("/dev/stdin:1:14: error: stray 'go'\n"), status == Some(1), "{errors}");
    }
}
