//! What `query-qmp-schema` answers: every command there is, in the form that the schema itself gives to the answer.

#![allow(clippy::expect_used)]

mod support;

use qapi_schema::introspect::{SchemaInfo, SchemaInfoKind};
use qapi_schema::{FromValue, Visitor};
use serde_json::{Value, from_str, to_value};
use support::daemon::Daemon;
use support::qmp::QmpClient;

#[test]
fn the_answer_describes_every_command_and_itself() {
    let daemon = Daemon::start(tempfile::tempdir().expect("a directory"), &[""; 0]).expect("a daemon");
    let mut client = QmpClient::connect(&daemon.qmp_socket()).expect("a monitor");
    let answer = client.execute("query-qmp-schema", Value::Null).expect("the schema");

    let schema = Vec::<SchemaInfo>::from_value(answer.clone(), &Visitor::json()).expect("what the schema says");
    assert_eq!(to_value(&schema).expect("serialisable"), answer);

    let commands = schema.iter().filter(|info| matches!(info.meta_type, SchemaInfoKind::Command(_)));
    let mut described: Vec<_> = commands.map(|info| info.name.as_str()).collect();
    let commands = client.execute("query-commands", Value::Null).expect("the commands");
    let commands = commands.as_array().expect("an array").iter();
    let mut served: Vec<_> = commands.map(|command| command["name"].as_str().expect("a name")).collect();
    described.sort_unstable();
    served.sort_unstable();
    assert_eq!(described, served);

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/qapi-schema/schema/qapi-schema.json");
    let compiled = qapi_gen::compile(path).expect("a valid schema");
    let printed = qapi_gen::introspect::json(&qapi_gen::introspect::introspect(&compiled));
    assert_eq!(answer, from_str::<Value>(&printed).expect("JSON"));
}
