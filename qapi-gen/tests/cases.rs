//! Goldens: `tests/cases/NAME.json` with `NAME.err`, what is wrong with it, or `NAME.out`, the code it becomes. Those of
//! the name `introspect-*` have `NAME.introspect`, too, what `query-qmp-schema` says of them.
//!
//! `QAPI_GEN_REWRITE=1` writes the goldens instead of comparing them.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use qapi_gen::introspect::{introspect, json};
use qapi_gen::{Options, compile, generate};

/// The schemas, in the order of their names.
fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/cases").expect("the cases");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    cases.sort();
    cases
}

/// Whether the case is about what clients are told, which the other goldens leave out.
fn is_introspected(case: &Path) -> bool {
    case.file_name().is_some_and(|name| name.to_string_lossy().starts_with("introspect-"))
}

fn rewrites() -> bool {
    env::var_os("QAPI_GEN_REWRITE").is_some()
}

/// What is wrong with a golden.
fn compare(golden: &Path, found: &str) -> Option<String> {
    if rewrites() {
        fs::write(golden, found).expect("written");
    }
    let same = fs::read_to_string(golden).is_ok_and(|text| text == found);
    (!same).then(|| format!("{} is not\n{found}", golden.display()))
}

fn formatted(path: &Path) -> Result<String, String> {
    let schema = compile(path).map_err(|errors| errors.to_string())?;
    let code = generate(&schema, &Options::default()).map_err(|errors| errors.to_string())?;
    let mut file: syn::File = syn::parse2(code).expect("generated code is Rust");
    if !is_introspected(path) {
        file.items.retain(|item| !matches!(item, syn::Item::Static(_)));
    }
    Ok(prettyplease::unparse(&file))
}

#[test]
fn every_case_gives_what_its_golden_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (golden, other, found) = match formatted(&case) {
            Ok(code) => ("out", "err", code),
            Err(errors) => ("err", "out", errors),
        };
        let (golden, other) = (case.with_extension(golden), case.with_extension(other));
        wrong.extend(compare(&golden, &found));
        if rewrites() {
            let _ = fs::remove_file(other);
        } else if other.exists() {
            wrong.push(format!("{} is left over", other.display()));
        }
    }
    assert!(wrong.is_empty(), "QAPI_GEN_REWRITE=1 writes the goldens anew:\n{}", wrong.join("\n"));
}

#[test]
fn what_clients_are_told_is_what_the_golden_says() {
    let mut cases = cases();
    cases.retain(|case| is_introspected(case));
    assert!(!cases.is_empty(), "there are cases");
    let wrong = cases.iter().filter_map(|case| {
        let schema = compile(case).unwrap_or_else(|errors| panic!("{errors}"));
        compare(&case.with_extension("introspect"), &json(&introspect(&schema)))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "QAPI_GEN_REWRITE=1 writes the goldens anew:\n{}", wrong.join("\n"));
}

#[test]
fn no_golden_is_left_without_its_case() {
    let cases = cases();
    for entry in fs::read_dir("tests/cases").expect("the cases") {
        let path = entry.expect("an entry").path();
        assert!(path.is_dir() || cases.contains(&path.with_extension("json")), "{}", path.display());
    }
}
