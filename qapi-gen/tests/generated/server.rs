//! Reads and writes values of generated types: JSON lines `[name, value]` come in, `[true, value]` or `[false, error]`
//! go out.
#![allow(dead_code, reason = "a schema need not have events, nor commands")]

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{self, BufRead, Write};

use qapi_schema::{CommandTable, Error, Event, FromValue, Visitor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

mod table;

/// Reads a value as a certain type or event, and writes it again.
type Read = fn(Value) -> Result<Value, Error>;

/// A target whose commands answer with an error that shows the arguments they were called with.
struct Echo;

/// What the text of such an error starts with.
const ECHO: &str = "called with ";

fn main() -> io::Result<()> {
    let readers: HashMap<_, _> = table::READERS.iter().copied().collect();
    let commands = table::commands();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let (name, value): (String, Value) = serde_json::from_str(&line?)?;
        let result = match readers.get(name.as_str()) {
            Some(read) => read(value).map_err(|error| error.to_string()),
            None => call(&commands, &name, value),
        };
        let answer = (result.is_ok(), result.unwrap_or_else(Value::String));
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        out.flush()?;
    }
    Ok(())
}

/// Types can be read in two ways, which must agree.
fn of_type<T: FromValue + DeserializeOwned + Serialize + PartialEq + Debug>(value: Value) -> Result<Value, Error> {
    let root = Visitor::json();
    let read = T::from_value(value.clone(), &root.member("x"));
    let again = serde_json::from_value::<T>(value);
    assert_eq!(read.as_ref().ok(), again.as_ref().ok());
    Ok(serde_json::to_value(read?).expect("serialisable"))
}

fn data(name: &str, event: &dyn Event) -> Value {
    assert_eq!(event.name(), name);
    event.data().map_or_else(|| Value::Object(Map::new()), |data| data.value())
}

fn call(commands: &CommandTable, name: &str, value: Value) -> Result<Value, String> {
    let command = commands.find(name).expect("in the table");
    let Value::Object(arguments) = value else { panic!("no arguments: {value}") };
    let Err(answer) = command.call(arguments) else { panic!("{name} does not echo") };
    match answer.desc().strip_prefix(ECHO) {
        Some(arguments) => Ok(serde_json::from_str(arguments).expect("JSON")),
        None => Err(answer.to_string()),
    }
}

/// The arguments of a command, being put together again.
#[derive(Default)]
struct Arguments(Map<String, Value>);

impl Arguments {
    fn all<T: Serialize>(arguments: T) -> Error {
        Error::generic(format!("{ECHO}{}", serde_json::to_value(arguments).expect("serialisable")))
    }

    fn required<T: Serialize>(mut self, name: &str, value: T) -> Self {
        self.0.insert(name.to_owned(), serde_json::to_value(value).expect("serialisable"));
        self
    }

    fn optional<T: Serialize>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.required(name, value),
            None => self,
        }
    }
}
