//! The machine behind the session: all commands of its subsystems, but those that would reach out to the host.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use block::block::Block;
use block::export::Exports;
use monitor::control::Control;
use monitor::{Request, Response, Version};
use parking_lot::Mutex;
use qapi_schema::common::Timestamp;
use qapi_schema::{
    Arguments, CommandTable, Error, ErrorClass, Event, EventSink, FromValue, INTROSPECTION, Reply, Visitor, block_core,
    block_export, control, introspect, run_state,
};
use serde_json::{Value, json};
use vl::{Clock, Vm};

/// What the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Reply(String),
    Event(&'static str),
}

/// A machine without a guest.
pub(super) struct Machine {
    vm: Arc<Vm>,
    exports: Arc<Exports>,
    commands: CommandTable,
    said: Arc<Transcript>,
}

#[derive(Default)]
struct Transcript(Mutex<Vec<Said>>);

impl EventSink for Transcript {
    fn emit(&self, _at: Timestamp, event: &dyn Event) {
        self.0.lock().push(Said::Event(event.name()));
    }
}

/// It is always the same time, so that what is said is always the same.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 1_308_000_000, microseconds: 0 }
    }
}

impl Machine {
    /// A machine for a client that will say `input`.
    pub(super) fn new(input: &[u8]) -> Self {
        let said = Arc::new(Transcript::default());
        let vm = Arc::new(Vm::new(said.clone(), Stopped));
        let block = Arc::new(Block::new(Arc::clone(&vm)));
        let exports = Arc::new(Exports::new(Arc::clone(&block), Arc::default()));
        // A server is dear, and of use only to those who export something.
        if input.windows(6).any(|window| window == b"export") {
            start_server(&exports);
        }
        let names = [control::COMMANDS, run_state::COMMANDS, block_core::COMMANDS, block_export::COMMANDS];
        // The end of the program is none of these commands' business.
        let control = Arc::new(Control::new(Version::of_package("fuzz"), names.concat(), &INTROSPECTION, || ()));
        let mut commands = CommandTable::default();
        commands.extend(control::commands(&control));
        commands.extend(introspect::commands(&control));
        commands.extend(run_state::commands(&vm));
        commands.extend(block_core::commands(&block));
        commands.extend(block_export::commands(&exports));
        Self { vm, exports, commands, said }
    }

    /// Carries out and answers a request.
    pub(super) fn run(&self, request: Request) {
        let Request { execute, arguments, id, out_of_band } = request;
        let outcome = self.call(&execute, arguments, out_of_band);
        self.say(&Response::new(id, outcome));
    }

    fn call(&self, name: &str, arguments: Arguments, out_of_band: bool) -> Result<Reply, Error> {
        let not_found = || Error::new(ErrorClass::CommandNotFound, "not found");
        let command = self.commands.find(name).ok_or_else(not_found)?;
        if out_of_band && !command.options().allow_oob {
            return Err(Error::generic("not out-of-band"));
        }
        if name == "nbd-server-start" || has_file(&arguments) {
            return Err(Error::generic("not here"));
        }
        command.call(arguments)
    }

    /// Answers.
    pub(super) fn say(&self, response: &Response) {
        let mut text = Vec::new();
        response.write(&mut text);
        let text = String::from_utf8(text).expect("ASCII");
        let line = text.strip_suffix("\r\n").expect("a whole line");
        self.said.0.lock().push(Said::Reply(line.to_owned()));
    }

    /// What is known of the run state agrees with the events.
    pub(super) fn check(&self) {
        let said = self.said.0.lock();
        let mut running = false;
        for event in said.iter() {
            match event {
                Said::Event("STOP") => assert!(std::mem::replace(&mut running, false), "STOP of a stopped VM"),
                Said::Event("RESUME") => assert!(!std::mem::replace(&mut running, true), "RESUME of a running VM"),
                Said::Event(_) | Said::Reply(_) => {}
            }
        }
        drop(said);
        let (status, reason) = (self.vm.status(), self.vm.stop_reason());
        assert_eq!(status.running, running, "the last event says otherwise");
        assert_eq!(status.running, reason.reason.is_none(), "{reason:?} while {status:?}");
        let open = reason.last_stop.is_some_and(|stop| stop.resumed_at.is_none());
        assert!(!(open && running), "it runs, and its last stop has not ended");
    }

    /// Everything that was said.
    pub(super) fn end(self) -> Vec<Said> {
        let said = std::mem::take(&mut *self.said.0.lock());
        self.exports.stop();
        said
    }
}

/// A server for exports, on a socket of its own that is no file. Nobody connects.
fn start_server(exports: &Exports) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let socket = format!("whystop-fuzz-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let options = json!({"addr": {"type": "unix", "path": socket, "abstract": true}});
    let options = FromValue::from_value(options, &Visitor::json()).expect("options");
    exports.start_nbd_server(options).expect("a server");
}

/// Whether a member on any level names a file.
fn has_file(members: &Arguments) -> bool {
    members.iter().any(|(name, value)| name == "filename" || has_file_below(value))
}

fn has_file_below(value: &Value) -> bool {
    match value {
        Value::Object(members) => has_file(members),
        Value::Array(elements) => elements.iter().any(has_file_below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
