//! Requests to the commands that carry them out, and the answers to the outbox.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use qapi_schema::{Arguments, Client, Command, CommandTable, Error, ErrorClass, Reply};
use tracing::error;

use crate::mailbox::Mailbox;
use crate::outbox::Outbox;
use crate::preconfig::Preconfig;
use crate::request::Request;
use crate::response::Response;
use crate::workers::Workers;

/// Memory that is kept to write answers in.
const KEPT: usize = 64 << 10;

/// How people's lines arrive.
const HUMAN: &str = "human-monitor-command";

/// Runs commands for every session. No lock is held while one runs.
pub struct Dispatcher {
    commands: Arc<CommandTable>,
    preconfig: Arc<Preconfig>,
    workers: Workers,
    scratch: Vec<u8>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The answer is in the outbox.
    Answered,
    /// The command runs on a worker, which answers and then leaves [`Notice::Answered`](crate::mailbox::Notice::Answered).
    Running,
}

impl Dispatcher {
    /// Those of `commands` that `preconfig` permits; answers of workers are told of in `mailbox`.
    pub fn new(commands: Arc<CommandTable>, preconfig: Arc<Preconfig>, mailbox: Arc<Mailbox>) -> Self {
        Self { workers: Workers::new(Arc::clone(&commands), mailbox), commands, preconfig, scratch: Vec::new() }
    }

    /// Answers a request: at once, or if the command may block, from a worker. One to be executed out-of-band never
    /// waits for a worker: the schema has no command that allows it and may block.
    pub fn run(&mut self, request: Request, outbox: &Arc<Outbox>) -> Progress {
        let command = match find(&self.commands, &request, &self.preconfig, outbox.is_for_people()) {
            Ok(command) => command,
            Err(error) => {
                answer(outbox, &Response::error(request.id, error), &mut self.scratch);
                return Progress::Answered;
            }
        };
        if request.out_of_band || !command.options().coroutine {
            run(command, request, outbox, &mut self.scratch);
            return Progress::Answered;
        }
        let id = request.id.clone();
        match self.workers.submit(request, Arc::clone(outbox)) {
            Ok(()) => Progress::Running,
            Err(error) => {
                let error = Error::generic(format!("Cannot run the command: {error}"));
                answer(outbox, &Response::error(id, error), &mut self.scratch);
                Progress::Answered
            }
        }
    }
}

/// Runs a command on this thread and puts the answer into `outbox`; `scratch` is where it is written before. Nobody is
/// left to read the answer of a client that is gone: what it asked is not found out, what it asked for is done.
pub(crate) fn run(command: &Command, request: Request, outbox: &Outbox, scratch: &mut Vec<u8>) {
    let Request { execute, arguments, id, .. } = request;
    if execute.starts_with("query-") {
        while !outbox.is_closed() {
            let count = outbox.events();
            write(&Response::new(id.clone(), call(command, outbox.client(), arguments.clone())), scratch);
            if outbox.answer_if_no_event_since(count, scratch) {
                break;
            }
        }
    } else {
        let result = call(command, outbox.client(), arguments);
        // After some commands there may be nobody left to answer.
        if result.is_err() || command.options().success_response {
            answer(outbox, &Response::new(id, result), scratch);
        }
    }
    if scratch.capacity() > KEPT {
        *scratch = Vec::new();
    }
}

/// The command that is asked for, if it may be executed.
///
/// What people type is one command of QMP, which finds out by itself what the line may do before the machine is built.
fn find<'a>(
    commands: &'a CommandTable,
    request: &Request,
    preconfig: &Preconfig,
    by_people: bool,
) -> Result<&'a Command, Error> {
    let name = &request.execute;
    let command = commands.find(name).ok_or_else(|| not_found(name))?;
    let options = command.options();
    if request.out_of_band && !options.allow_oob {
        return Err(Error::generic(format!("The command {name} does not support OOB")));
    }
    if preconfig.is_on() && !options.allow_preconfig && !(by_people && name == HUMAN) {
        let desc = format!("The command '{name}' is permitted only after machine initialization has completed");
        return Err(Error::generic(desc));
    }
    Ok(command)
}

/// There is no command of this name.
pub(crate) fn not_found(name: &str) -> Error {
    Error::new(ErrorClass::CommandNotFound, format!("The command {name} has not been found"))
}

fn answer(outbox: &Outbox, response: &Response, scratch: &mut Vec<u8>) {
    write(response, scratch);
    outbox.answer(scratch);
}

fn write(response: &Response, scratch: &mut Vec<u8>) {
    scratch.clear();
    response.write(scratch);
}

/// A command that panics is a bug, and costs its client an error: not the others their monitor.
fn call(command: &Command, client: &Arc<Client>, arguments: Arguments) -> Result<Reply, Error> {
    catch_unwind(AssertUnwindSafe(|| command.call_for(client, arguments))).unwrap_or_else(|_| {
        error!(command = command.name(), "command panicked");
        Err(Error::generic(format!("Internal error in command {}", command.name())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventMessage;
    use crate::mailbox::Notice;
    use crate::options::Options;
    use crate::outbox::SessionId;
    use qapi_schema::CommandOptions;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn command(
        name: &'static str,
        coroutine: bool,
        handler: impl Fn() -> Result<Reply, Error> + Send + Sync + 'static,
    ) -> Command {
        let options = CommandOptions { coroutine, ..CommandOptions::default() };
        Command::new(name, options, move |members| {
            members.finish()?;
            handler()
        })
    }

    struct Bench {
        preconfig: Arc<Preconfig>,
        mailbox: Arc<Mailbox>,
        outbox: Arc<Outbox>,
    }

    impl Bench {
        fn new() -> Self {
            let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
            Self {
                preconfig: Arc::default(),
                outbox: Arc::new(Outbox::new(SessionId(1), Options::default(), Arc::clone(&mailbox))),
                mailbox,
            }
        }

        fn dispatcher(&self, commands: impl IntoIterator<Item = Command>) -> Dispatcher {
            let commands = Arc::new(commands.into_iter().collect());
            Dispatcher::new(commands, Arc::clone(&self.preconfig), Arc::clone(&self.mailbox))
        }

        fn run(&self, dispatcher: &mut Dispatcher, execute: &str) -> Progress {
            self.request(dispatcher, execute, false)
        }

        fn request(&self, dispatcher: &mut Dispatcher, execute: &str, out_of_band: bool) -> Progress {
            let request = Request { execute: execute.into(), arguments: Arguments::new(), id: None, out_of_band };
            dispatcher.run(request, &self.outbox)
        }

        fn queued(&self) -> String {
            let mut bytes = Vec::new();
            self.outbox.take(&mut bytes);
            String::from_utf8(bytes).expect("ASCII")
        }
    }

    #[test]
    fn an_unknown_command_is_not_found() {
        let bench = Bench::new();
        assert_eq!(bench.run(&mut bench.dispatcher([]), "nonsense"), Progress::Answered);
        let desc = "The command nonsense has not been found";
        let expected = format!("{{\"error\": {{\"class\": \"CommandNotFound\", \"desc\": \"{desc}\"}}}}\r\n");
        assert_eq!(bench.queued(), expected);
    }

    #[test]
    fn out_of_band_only_those_commands_run_that_allow_it() {
        let bench = Bench::new();
        let options = CommandOptions { allow_oob: true, ..CommandOptions::default() };
        let allows = Command::new("query-status", options, |_| Ok(Box::new(7)));
        let slow = command("slow", true, || panic!("must not run"));
        let mut dispatcher = bench.dispatcher([allows, slow]);
        for (execute, answer) in [
            ("query-status", r#"{"return": 7}"#),
            ("slow", r#"{"error": {"class": "GenericError", "desc": "The command slow does not support OOB"}}"#),
            ("x", r#"{"error": {"class": "CommandNotFound", "desc": "The command x has not been found"}}"#),
        ] {
            assert_eq!(bench.request(&mut dispatcher, execute, true), Progress::Answered);
            assert_eq!(bench.queued(), format!("{answer}\r\n"));
        }
    }

    #[test]
    fn before_the_machine_is_built_only_those_commands_run_that_allow_it() {
        let bench = Bench::new();
        bench.preconfig.begin();
        let options = CommandOptions { allow_preconfig: true, ..CommandOptions::default() };
        let allows = Command::new("query-name", options, |_| Ok(Box::new(7)));
        let cont = command("cont", false, || Ok(Command::empty()));
        let mut dispatcher = bench.dispatcher([allows, cont]);
        bench.run(&mut dispatcher, "query-name");
        assert_eq!(bench.queued(), "{\"return\": 7}\r\n");
        bench.run(&mut dispatcher, "cont");
        let desc = "The command 'cont' is permitted only after machine initialization has completed";
        assert_eq!(bench.queued(), format!(r#"{{"error": {{"class": "GenericError", "desc": "{desc}"}}}}"#) + "\r\n");

        assert!(bench.preconfig.end());
        bench.run(&mut dispatcher, "cont");
        assert_eq!(bench.queued(), "{\"return\": {}}\r\n");
        assert!(!bench.preconfig.end(), "it ends once");
    }

    #[test]
    fn what_a_command_emits_precedes_its_reply() {
        let bench = Bench::new();
        let outbox = Arc::clone(&bench.outbox);
        let cont = command("cont", false, move || {
            outbox.event(&EventMessage { name: "EVENT", text: b"RESUME ".to_vec() });
            Ok(Command::empty())
        });
        bench.run(&mut bench.dispatcher([cont]), "cont");
        assert_eq!(bench.queued(), "RESUME {\"return\": {}}\r\n");
    }

    #[test]
    fn a_command_without_a_success_response_answers_errors_only() {
        let bench = Bench::new();
        let options = CommandOptions { success_response: false, ..CommandOptions::default() };
        let halt = Command::new("halt", options, |members| {
            members.finish()?;
            Ok(Command::empty())
        });
        let mut dispatcher = bench.dispatcher([halt]);
        assert_eq!(bench.run(&mut dispatcher, "halt"), Progress::Answered);
        assert_eq!(bench.queued(), "");
        let arguments = Arguments::from_iter([("x".to_owned(), 1.into())]);
        dispatcher.run(Request { execute: "halt".into(), arguments, id: None, out_of_band: false }, &bench.outbox);
        assert!(bench.queued().contains("Parameter 'x' is unexpected"));
    }

    #[test]
    fn a_query_is_run_again_when_an_event_overtakes_its_answer() {
        let bench = Bench::new();
        let (outbox, calls) = (Arc::clone(&bench.outbox), AtomicU32::new(0));
        let query = command("query-status", false, move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            if call < 2 {
                outbox.event(&EventMessage { name: "EVENT", text: b"EVENT ".to_vec() });
            }
            Ok(Box::new(call))
        });
        bench.run(&mut bench.dispatcher([query]), "query-status");
        assert_eq!(bench.queued(), "EVENT EVENT {\"return\": 2}\r\n");
    }

    #[test]
    fn a_flood_of_events_does_not_keep_a_query_for_ever() {
        let bench = Bench::new();
        let outbox = Arc::clone(&bench.outbox);
        let query = command("query-status", false, move || {
            outbox.event(&EventMessage { name: "EVENT", text: [b' '; 1000].to_vec() });
            Ok(Command::empty())
        });
        bench.run(&mut bench.dispatcher([query]), "query-status");
        assert!(bench.queued().trim_start().starts_with("{\"return\""));
    }

    #[test]
    fn a_command_that_panics_is_answered() {
        let bench = Bench::new();
        let mut dispatcher = bench.dispatcher([command("bug", false, || panic!("on purpose"))]);
        bench.run(&mut dispatcher, "bug");
        assert!(bench.queued().contains("Internal error in command bug"));
    }

    #[test]
    fn a_command_that_may_block_runs_elsewhere_and_a_notice_follows_its_answer() {
        let bench = Bench::new();
        let (here, there) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (begun, go_on) = (Arc::clone(&here), Arc::clone(&there));
        let slow = command("slow", true, move || {
            begun.wait();
            go_on.wait();
            Ok(Command::empty())
        });
        let quick = command("quick", false, || Ok(Box::new(7)));
        let mut dispatcher = bench.dispatcher([slow, quick]);

        assert_eq!(bench.run(&mut dispatcher, "slow"), Progress::Running);
        here.wait();
        assert_eq!(bench.run(&mut dispatcher, "quick"), Progress::Answered);
        assert_eq!(bench.queued(), "{\"return\": 7}\r\n");
        let mut notices = Vec::new();
        assert!(bench.mailbox.may_sleep());
        there.wait();
        rustix::io::retry_on_intr(|| {
            let mut fds = [rustix::event::PollFd::new(&bench.mailbox, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None)
        })
        .expect("poll");
        bench.mailbox.collect(&mut notices);
        assert!(matches!(notices.as_slice(), [Notice::Answered(SessionId(1))]));
        assert_eq!(bench.queued(), "{\"return\": {}}\r\n");
    }
}
