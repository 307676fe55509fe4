//! The command line: `key=value`, JSON and the rest are read or refused with a reason, and what was read can be printed in
//! either notation and read again.

use std::ffi::OsString;
use std::fmt::Debug;
use std::os::unix::ffi::OsStringExt;

use qapi_schema::block_core::BlockdevOptions;
use qapi_schema::block_export::{BlockExportOptions, NbdServerOptions};
use qapi_schema::{Error, FromValue, Wire, is_noncharacter};
use serde_json::Value;
use sockets::Objects;
use whystop::chardev::Chardev;
use whystop::identity::{Uuid, parse_name};
use whystop::keyval::Argument;
use whystop::monitor_options::MonitorOptions;

/// The input as the value of every option, and its lines as arguments.
pub fn command_line(input: &[u8]) {
    let arguments = input.split(|&byte| byte == b'\n').map(|line| OsString::from_vec(line.to_vec()));
    if let Err(error) = whystop::command_line::parse(arguments) {
        assert!(!error.to_string().is_empty());
    }
    let (text, objects) = (String::from_utf8_lossy(input), Objects::default());
    refused(Chardev::parse(&text, &objects));
    refused(Chardev::parse_legacy(&text, &objects));
    refused(MonitorOptions::parse(&text));
    refused(parse_name(&text));
    refused(Uuid::parse(&text));
    tree(&text);
    typed::<BlockdevOptions>(&text, Some("driver"));
    typed::<BlockExportOptions>(&text, Some("type"));
    typed::<NbdServerOptions>(&text, None);
}

fn refused<T>(outcome: Result<T, Error>) -> Option<T> {
    outcome.inspect_err(|error| assert!(!error.desc().is_empty(), "no reason")).ok()
}

fn read<T: FromValue>(text: &str, implied: Option<&str>) -> Result<T, Error> {
    Argument::parse(text, implied).and_then(Argument::into)
}

/// The argument as the tree that it spells.
fn tree(text: &str) {
    let Some(tree) = refused(read::<Value>(text, Some("implied"))) else { return };
    let again = if text.starts_with('{') { json(&tree) } else { keyval(&tree) };
    let again = again.expect("it can be spelt as it was");
    assert_eq!(read(&again, None), Ok(tree), "{again}");
}

/// The argument as a type of the schema.
fn typed<T: FromValue + Wire + Debug + PartialEq>(text: &str, implied: Option<&str>) {
    let Some(value) = refused(read::<T>(text, implied)) else { return };
    let tree = value.value();
    for again in [json(&tree), keyval(&tree)].into_iter().flatten() {
        assert_eq!(read(&again, None).as_ref(), Ok(&value), "{again}");
    }
}

/// The same as JSON, unless there are characters that QEMU's dialect refuses.
fn json(tree: &Value) -> Option<String> {
    let text = tree.to_string();
    (!text.contains(is_noncharacter)).then_some(text)
}

/// The same as `key=value,...`, unless that has no way to say it.
fn keyval(tree: &Value) -> Option<String> {
    let mut pairs = Vec::new();
    let Value::Object(members) = tree else { return None };
    for (name, value) in members {
        pairs_of(name, value, &mut pairs)?;
    }
    Some(pairs.join(","))
}

fn pairs_of(path: &str, value: &Value, pairs: &mut Vec<String>) -> Option<()> {
    let scalar = match value {
        Value::Null => return None,
        Value::Bool(value) => if *value { "on" } else { "off" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.replace(',', ",,"),
        Value::Array(elements) if elements.is_empty() => return None,
        Value::Array(elements) => {
            return elements.iter().zip(0..).try_for_each(|(element, at)| {
                let below = format!("{path}.{at}");
                pairs_of(&below, element, pairs)
            });
        }
        Value::Object(members) if members.is_empty() => return None,
        Value::Object(members) => {
            return members.iter().try_for_each(|(name, value)| pairs_of(&format!("{path}.{name}"), value, pairs));
        }
    };
    pairs.push(format!("{path}={scalar}"));
    Some(())
}
