//! The schema compiler: whatever the text, it is a schema that all back ends take, or there are errors that point into it.

use std::fs;

use qapi_gen::{Conditions, Errors, Manual, Schema, compile, diff, generate, introspect};

/// The input as a schema of one file.
pub fn qapi_schema(input: &[u8]) {
    // Other directories are not ours to read.
    let has = |what: &[u8]| input.windows(what.len()).any(|window| window == what);
    if has(b"include") && has(b"/") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("schema.json");
    fs::write(&path, input).expect("written");
    match compile(&path) {
        Ok(schema) => take(&schema),
        Err(errors) => check(&errors),
    }
}

/// The back ends.
fn take(schema: &Schema) {
    generate(schema, &Conditions::AllHold.into()).expect("every condition holds");
    introspect::introspect(schema);
    assert_eq!(diff(schema, schema).len(), 0, "a schema differs from itself");
    let manual = Manual::new(schema, "Manual");
    assert!(!manual.html().is_empty() && !manual.markdown().is_empty());
}

/// The errors can be shown, and stand on the line that they name.
fn check(errors: &Errors) {
    assert!(!errors.diagnostics().is_empty(), "refused without a reason");
    assert!(!errors.to_string().is_empty());
    for error in errors.diagnostics() {
        assert!(!error.message().is_empty());
        let Some(at) = error.at() else { continue };
        let text = errors.sources().text(at.file);
        let (start, end) = (at.start as usize, at.end as usize);
        let before = text.get(..start).expect("it starts in the text, at a character");
        let marked = text.get(start..end).expect("it ends in the text, at a character");
        assert!(!marked.trim_end_matches('\n').contains('\n'), "{error:?} is longer than a line");
        assert_eq!(before.matches('\n').count() + 1, at.line as usize, "{error:?} is on another line");
    }
}
