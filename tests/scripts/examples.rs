//! The examples in the schema's documentation, played like scripts.
//!
//! Each gets a daemon of its own, whose VM runs, with the nodes `disk` (a file of 8 MiB) and `thin` (a quota of 1 MiB on
//! 8 MiB of zeroes) and an NBD export `thin`. What must happen before the first message of an example, if it starts with
//! an event, is in `preludes/` under the name of its definition.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use qapi_gen::doc::Example;
use qapi_gen::schema::{Definition, DefinitionKind, Schema};

use crate::runner;
use crate::script::{Action, ClientAction, MGMT, Script, Step};

const FIXTURE: &str = r#"# The daemon of an example.
file disk.img 8M
$ --blockdev file,node-name=disk,filename={dir}/disk.img
$ --blockdev quota,node-name=thin,limit=1048576,file.driver=null-co,file.size=8388608,file.read-zeroes=on
$ --export nbd,id=thin,node-name=thin,writable=on
"#;

fn schema() -> Schema {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("qapi-schema/schema/qapi-schema.json");
    qapi_gen::compile(path).unwrap_or_else(|errors| panic!("{errors}"))
}

fn examples(definition: &Definition) -> &[Example] {
    definition.doc.as_ref().map_or(&[], |doc| &doc.examples)
}

#[test]
fn every_example_of_the_schema_holds() {
    let schema = schema();
    let mut failures = Vec::new();
    for definition in schema.definitions() {
        let path = schema.path(definition);
        let file = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path).display().to_string();
        for example in examples(definition) {
            if let Err(error) = play(&file, &definition.name, example) {
                failures.push(format!("{file}:{}: {}: {error}", example.span.line, definition.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn play(file: &str, definition: &str, example: &Example) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut script = Script::parse("fixture", FIXTURE, directory.path())?;
    let prelude = preludes().join(format!("{definition}.qmp"));
    if let Ok(text) = fs::read_to_string(&prelude) {
        let prelude = Script::parse(&prelude.display().to_string(), &text, directory.path())?;
        script.options.extend(prelude.options);
        script.steps = prelude.steps;
        script.is_machine = prelude.is_machine;
    }
    let steps = Script::parse_example(file, example.span.line as usize, &example.text)?.steps;
    if let Some(Step { file, line, action: Action::Client(_, ClientAction::Receive(first)) }) = steps.first()
        && first.member("QMP").is_some()
    {
        let open = Action::Client(MGMT.into(), ClientAction::Open);
        script.steps.push(Step { file: file.clone(), line: *line, action: open });
    }
    script.steps.extend(steps);
    runner::play(&script, directory)
}

fn preludes() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts/preludes"))
}

#[test]
fn every_command_and_event_has_an_example() {
    let schema = schema();
    let in_use = schema.definitions().filter(|definition| match definition.kind {
        DefinitionKind::Command(_) | DefinitionKind::Event(_) => true,
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_) => false,
    });
    let without = in_use.filter(|definition| examples(definition).is_empty()).map(|definition| &definition.name);
    assert_eq!(without.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_prelude_is_that_of_an_example() {
    let schema = schema();
    let with = schema.definitions().filter(|definition| !examples(definition).is_empty());
    let with: BTreeSet<_> = with.map(|definition| format!("{}.qmp", definition.name)).collect();
    for entry in fs::read_dir(preludes()).expect("readable") {
        let name = entry.expect("readable").file_name();
        assert!(name.to_str().is_some_and(|name| with.contains(name)), "{name:?}");
    }
}
