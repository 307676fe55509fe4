//! The human monitor: lines for people, each carried out by QMP commands and answered in words.
//!
//! ```text
//!   terminal <--> connection <--> session        a person types, and the session hears QMP
//!      |  editor (keys), completion
//!      +-- human-monitor-command --> run --> arguments --> a command of the table --> QMP commands by name
//! ```

mod arguments;
mod block;
mod completion;
mod editor;
mod keys;
mod moment;
mod status;
mod table;
mod terminal;

use qapi_schema::Error;
use serde_json::Value;

pub(crate) use terminal::Terminal;

/// Carries out a QMP command.
pub type Qmp<'a> = dyn Fn(&str, Value) -> Result<Value, Error> + 'a;

/// Carries out a line, and returns what it is answered, in lines that end with `\n`.
pub fn run(qmp: &Qmp<'_>, line: &str) -> String {
    let words = match arguments::split(line) {
        Ok(words) => words,
        Err(error) => return format!("{error}\n"),
    };
    let Some((name, rest)) = words.split_first() else {
        return String::new();
    };
    let Some(mut command) = table::find(table::COMMANDS, name) else {
        return format!("unknown command: '{name}'\n");
    };
    let (mut path, mut rest) = (command.names[0].to_owned(), rest);
    while let table::Action::Group(beneath) = command.action {
        let Some((name, further)) = rest.split_first() else {
            return table::overview(&path, beneath);
        };
        let Some(found) = table::find(beneath, name) else {
            return format!("unknown command: '{path} {name}'\n");
        };
        path = format!("{path} {}", found.names[0]);
        (command, rest) = (found, further);
    }
    let table::Action::Run(action) = command.action else {
        return String::new();
    };
    match arguments::read(command.arguments, rest) {
        Err(error) => format!("{path}: {error}\nTry \"help {path}\" for more information\n"),
        Ok(values) => action(qmp, &values).unwrap_or_else(|error| format!("Error: {error}\n")),
    }
}
