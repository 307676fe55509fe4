//! `misc.json`: what a monitor keeps for its client, and its human form.

use std::sync::{Arc, Weak};

use qapi_schema::misc::Commands;
use qapi_schema::{Client, CommandTable, Error};
use serde_json::Value;

use crate::dispatcher::not_found;
use crate::hmp;
use crate::preconfig::Preconfig;

/// The commands of one client.
pub struct Misc {
    client: Arc<Client>,
    commands: Weak<CommandTable>,
    preconfig: Arc<Preconfig>,
}

impl Misc {
    /// Those of this client. People's commands are carried out by those in `commands`, as far as `preconfig` permits.
    pub const fn new(client: Arc<Client>, commands: Weak<CommandTable>, preconfig: Arc<Preconfig>) -> Self {
        Self { client, commands, preconfig }
    }

    /// Carries out a command of QMP for the client.
    fn execute(&self, name: &str, arguments: Value) -> Result<Value, Error> {
        let commands = self.commands.upgrade().ok_or_else(|| not_found(name))?;
        let command = commands.find(name).ok_or_else(|| not_found(name))?;
        let arguments = if let Value::Object(arguments) = arguments { arguments } else { Default::default() };
        command.call_for(&self.client, arguments).map(|reply| reply.value())
    }
}

impl Commands for Misc {
    fn getfd(&self, fdname: String) -> Result<(), Error> {
        self.client.keep(&fdname, self.client.claim()?)
    }

    fn closefd(&self, fdname: String) -> Result<(), Error> {
        let none = || Error::generic(format!("File descriptor named '{fdname}' not found"));
        self.client.take(&fdname).map(drop).ok_or_else(none)
    }

    fn human_monitor_command(&self, command_line: String, cpu_index: Option<i64>) -> Result<String, Error> {
        // QEMU's own shell asks for the first one. What there is to say is the same for all.
        if cpu_index.is_some_and(|index| index != 0) {
            return Err(Error::generic("Parameter 'cpu-index' expects a CPU number"));
        }
        let text = hmp::run(&|name, arguments| self.execute(name, arguments), &self.preconfig, &command_line);
        Ok(text.replace('\n', "\r\n"))
    }
}
