//! Whatever valid schema there is, it is accepted and understood; whatever becomes of one, there is a verdict.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod choices;
mod language;
mod model;
mod mutation;
mod valid;

use std::fs;
use std::path::{Path, PathBuf};

use choices::Choices;
use language::Definition;
use mutation::mutation;
use proptest::collection::vec;
use proptest::prelude::*;
use qapi_gen::source::{Sources, Span};
use qapi_gen::{Conditions, Schema, compile, generate};
use tempfile::TempDir;

fn write(directory: &Path, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(&path, text).expect("written");
    path
}

fn accepted(path: &Path, text: &str) -> Schema {
    compile(path).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// Compares definition by definition, so that a failure shows just one.
fn same(found: &[Definition], expected: &[Definition]) -> Result<(), TestCaseError> {
    for (found, expected) in found.iter().zip(expected) {
        prop_assert_eq!(found, expected);
    }
    prop_assert_eq!(found.len(), expected.len());
    Ok(())
}

fn tape() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 0..3000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_schema_is_accepted_printed_and_read_again_to_the_same(tape in tape()) {
        let mut choices = Choices::new(&tape);
        let valid = valid::schema(&mut choices);
        let directory = TempDir::new().expect("a directory");
        fs::create_dir_all(directory.path().join("sub/sub")).expect("a directory");
        let mut texts = String::new();
        for file in &valid.files {
            let text = language::print(&file.items, &mut choices);
            write(directory.path(), file.path, &text);
            texts.push_str(&format!("--- {}\n{text}", file.path));
        }
        let schema = accepted(&directory.path().join(valid.files[0].path), &texts);

        let expected: Vec<_> = valid.definitions.iter().map(|(definition, _)| definition.clone()).collect();
        same(&model::definitions(&schema), &expected)?;
        prop_assert_eq!(model::free_form(&schema), valid.free_form.clone(), "{}", texts);
        for (definition, (_, file)) in schema.definitions().zip(&valid.definitions) {
            prop_assert!(schema.path(definition).ends_with(valid.files[*file].path), "{}", definition);
        }
        let code = generate(&schema, &Conditions::AllHold.into()).expect("conditions hold");
        prop_assert!(syn::parse2::<syn::File>(code).is_ok(), "{}", texts);

        let printed = language::print(&model::items(&schema), &mut Choices::new(&[]));
        let again = accepted(&write(directory.path(), "printed.json", &printed), &printed);
        same(&model::definitions(&again), &expected)?;
        prop_assert_eq!(model::free_form(&again), valid.free_form, "{}", printed);
    }

    #[test]
    fn a_mutated_schema_is_accepted_or_refused_at_a_place_of_its_text(
        tape in tape(),
        mutations in vec(mutation(), 1..4),
    ) {
        let mut choices = Choices::new(&tape);
        let valid = valid::schema(&mut choices);
        let directory = TempDir::new().expect("a directory");
        for file in &valid.files {
            let text = language::print(&file.items, &mut choices).into_bytes();
            let text = mutations.iter().fold(text, |text, mutation| mutation.apply(&text));
            write(directory.path(), file.path, &text);
        }
        match compile(directory.path().join(valid.files[0].path)) {
            Ok(schema) => {
                let code = generate(&schema, &Conditions::AllHold.into()).expect("conditions hold");
                prop_assert!(syn::parse2::<syn::File>(code).is_ok());
            }
            Err(errors) => {
                prop_assert!(!errors.diagnostics().is_empty());
                for error in errors.diagnostics() {
                    let at = error.at().expect("a place: the first file can be read");
                    prop_assert!(is_valid(errors.sources(), at), "{:?}: {}", at, error.message());
                }
            }
        }
    }
}

/// Whether a place is within one line of its file, and knows the number of the line.
fn is_valid(sources: &Sources, at: Span) -> bool {
    let text = sources.text(at.file);
    let [start, end] = [at.start, at.end].map(|offset| usize::try_from(offset).expect("within memory"));
    let (Some(before), Some(stretch)) = (text.get(..start), text.get(start..end)) else {
        return false;
    };
    sources.file(at.file).is_some()
        && usize::try_from(at.line) == Ok(1 + before.matches('\n').count())
        && !stretch.contains('\n')
}
