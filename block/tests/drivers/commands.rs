//! The graph's commands as a client gives them, and what they answer.

use block::graph::{Attachment, Graph};
use qapi_schema::block_core::{BlockDeviceInfo, BlockdevOptions};
use qapi_schema::{Error, FromValue, Visitor};
use serde_json::{Value, json};

pub fn options(value: Value) -> BlockdevOptions {
    BlockdevOptions::from_value(value, &Visitor::json()).expect("as the schema wants it")
}

pub fn add(graph: &Graph, value: Value) -> Result<(), String> {
    graph.add(options(value)).map_err(text)
}

pub fn reopen(graph: &Graph, values: Value) -> Result<(), String> {
    let Value::Array(values) = values else { panic!("a list") };
    graph.reopen(values.into_iter().map(options).collect()).map_err(text)
}

pub fn text(error: Error) -> String {
    error.to_string()
}

pub fn refused(words: &str) -> Result<(), String> {
    Err(words.to_owned())
}

pub fn null_co(name: &str) -> Value {
    json!({"driver": "null-co", "node-name": name, "size": 1 << 20})
}

pub fn names(graph: &Graph) -> Vec<String> {
    graph.nodes().iter().map(|node| node.name().to_owned()).collect()
}

pub fn info(graph: &Graph, name: &str) -> BlockDeviceInfo {
    graph.node(name).expect("there").info()
}

pub fn writer(graph: &Graph, name: &str) -> Result<Attachment, String> {
    graph.attach(name, true, "export 'e'").map_err(text)
}
