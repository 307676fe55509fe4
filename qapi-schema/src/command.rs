//! Commands on their way down: a table from wire name to handler, filled from the generated modules.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::wire::{Empty, Wire};
use crate::{Client, Error, FromMembers, Members, Visitor};

/// The `arguments` of a request.
pub type Arguments = Map<String, Value>;

/// What a successful command returns, ready to be written to the wire.
pub type Reply = Box<dyn Wire>;

type Handler = Box<dyn Fn(Arguments, &Arc<Client>) -> Result<Reply, Error> + Send + Sync>;

/// How a command may be executed: the schema's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandOptions {
    /// May be executed out-of-band (`allow-oob`).
    pub allow_oob: bool,
    /// May be executed before the machine is built (`allow-preconfig`).
    pub allow_preconfig: bool,
    /// May block, hence must not run on an event loop (`coroutine`).
    pub coroutine: bool,
    /// A success is answered (`success-response`). Without, a client is told of errors only, and what the handler
    /// returns is dropped: so it is for commands after which there may be nobody left to answer.
    pub success_response: bool,
}

/// Those of a command whose definition sets no flag.
impl Default for CommandOptions {
    fn default() -> Self {
        Self { allow_oob: false, allow_preconfig: false, coroutine: false, success_response: true }
    }
}

/// A command bound to the state it acts on.
pub struct Command {
    name: &'static str,
    options: CommandOptions,
    handler: Handler,
}

impl Command {
    /// Binds `handler` to a wire name. Called by generated code.
    pub fn new(
        name: &'static str,
        options: CommandOptions,
        handler: impl Fn(&mut Members<'_>) -> Result<Reply, Error> + Send + Sync + 'static,
    ) -> Self {
        let handler = move |arguments, _: &Arc<Client>| {
            let root = Visitor::json();
            let mut members = Members::new(arguments, &root);
            handler(&mut members)
        };
        Self { name, options, handler: Box::new(handler) }
    }

    /// The commands of a module, bound with each call to a target that is made for the client that calls.
    pub fn for_each_client<T: 'static>(
        commands: fn(&Arc<T>) -> Vec<Self>,
        target: impl Fn(&Arc<Client>) -> T + Send + Sync + 'static,
    ) -> Vec<Self> {
        let bind = Arc::new(move |client: &Arc<Client>| commands(&Arc::new(target(client))));
        let bound = bind(&Arc::default()).into_iter().enumerate();
        let unbound = bound.map(|(index, Self { name, options, .. })| {
            let bind = Arc::clone(&bind);
            let handler = move |arguments, client: &Arc<Client>| {
                let command = bind(client).into_iter().nth(index);
                let command = command.ok_or_else(|| Error::generic(format!("The command {name} is gone")))?;
                command.call_for(client, arguments)
            };
            Self { name, options, handler: Box::new(handler) }
        });
        unbound.collect()
    }

    /// The name on the wire.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The schema's flags.
    pub const fn options(&self) -> CommandOptions {
        self.options
    }

    /// Checks `arguments` against the schema and runs the handler, for nobody in particular.
    ///
    /// # Errors
    /// What the schema refuses of the arguments, or what the handler answers.
    pub fn call(&self, arguments: Arguments) -> Result<Reply, Error> {
        self.call_for(&Arc::default(), arguments)
    }

    /// The same for a client, whose descriptors the handler may take.
    ///
    /// # Errors
    /// What the schema refuses of the arguments, or what the handler answers.
    pub fn call_for(&self, client: &Arc<Client>, arguments: Arguments) -> Result<Reply, Error> {
        (self.handler)(arguments, client)
    }

    /// All of `members` as the argument type `T`, and nothing else. Called by generated code.
    ///
    /// # Errors
    /// A missing, unexpected or mistyped member, named by its path.
    pub fn arguments<T: FromMembers>(members: &mut Members<'_>) -> Result<T, Error> {
        let arguments = T::from_members(members)?;
        members.finish()?;
        Ok(arguments)
    }

    /// The reply of a command without a return value: `{}`.
    pub fn empty() -> Reply {
        Box::new(Empty {})
    }
}

/// Every command a monitor serves, whichever crate owns it.
#[derive(Default)]
pub struct CommandTable {
    by_name: HashMap<&'static str, Command>,
}

impl CommandTable {
    /// The command of this wire name.
    pub fn find(&self, name: &str) -> Option<&Command> {
        self.by_name.get(name)
    }
}

impl Extend<Command> for CommandTable {
    fn extend<I: IntoIterator<Item = Command>>(&mut self, commands: I) {
        let named = commands.into_iter().map(|command| (command.name, command));
        self.by_name.extend(named);
    }
}

impl FromIterator<Command> for CommandTable {
    fn from_iter<I: IntoIterator<Item = Command>>(commands: I) -> Self {
        let mut table = Self::default();
        table.extend(commands);
        table
    }
}
