//! A machine of one bit, behind a server on a unix socket in a directory of its own.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use monitor::misc::Misc;
use monitor::{Access, Address, Broadcaster, Handle, Options, Server, Version};
use qapi_schema::common::Timestamp;
use qapi_schema::{Client, Command, CommandOptions, CommandTable, Error, Event, EventSink, Members, Reply, Wire, misc};
use serde_json::{Value, json};
use tempfile::TempDir;

pub struct Happening(pub &'static str, pub Option<Value>);

impl Event for Happening {
    fn name(&self) -> &'static str {
        self.0
    }

    fn data(&self) -> Option<&dyn Wire> {
        self.1.as_ref().map(|data| data as &dyn Wire)
    }
}

/// The state that commands act on, and events tell of.
pub struct Machine {
    running: Mutex<bool>,
    broadcaster: Arc<Broadcaster>,
}

impl Machine {
    pub fn emit(&self, name: &'static str, data: Option<Value>) {
        self.broadcaster.emit(Timestamp { seconds: 1, microseconds: 2 }, &Happening(name, data));
    }

    pub fn is_running(&self) -> bool {
        *self.running.lock().expect("not poisoned")
    }

    /// Changes the state and tells of it, under one lock.
    pub fn set_running(&self, running: bool) {
        let mut state = self.running.lock().expect("not poisoned");
        if *state != running {
            *state = running;
            self.emit(if running { "RESUME" } else { "STOP" }, None);
        }
    }
}

/// What a `slow` command tells and waits for.
pub struct Gate {
    begun: Receiver<()>,
    go_on: Sender<()>,
}

impl Gate {
    /// Waits until a `slow` command runs.
    pub fn wait(&self) {
        self.begun.recv_timeout(crate::client::PATIENCE).expect("a slow command");
    }

    /// Lets one end.
    pub fn open(&self) {
        self.go_on.send(()).expect("a slow command");
    }
}

/// A server that runs.
pub struct Running {
    _directory: TempDir,
    pub path: PathBuf,
    pub machine: Arc<Machine>,
    pub gate: Gate,
    pub handle: Handle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// A server on one unix socket.
pub fn start() -> Running {
    start_with(|_| ())
}

/// A server with more addresses.
pub fn start_with(more: impl FnOnce(&mut Server)) -> Running {
    start_server(Options::default(), more)
}

/// A server that treats clients otherwise.
pub fn start_limited(options: Options) -> Running {
    start_server(options, |_| ())
}

fn start_server(options: Options, more: impl FnOnce(&mut Server)) -> Running {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("qmp");
    let mut server = Server::new(&Version::of_package("test")).expect("descriptors");
    server.set_options(options);
    server.listen(&Address::Unix(path.clone()), &Access::default()).expect("a free path");
    more(&mut server);
    let machine = Arc::new(Machine { running: Mutex::new(true), broadcaster: server.broadcaster() });
    let (handle, (commands, gate)) = (server.handle(), commands(&machine, &server.handle()));
    let thread = Some(server.spawn(Arc::new(commands)).expect("a thread"));
    Running { _directory: directory, path, machine, gate, handle, thread }
}

impl Running {
    /// Waits until the server has ended.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic").expect("no error");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        if !std::thread::panicking() {
            self.join();
        }
    }
}

type Handler = Box<dyn Fn(&mut Members<'_>) -> Result<Reply, Error> + Send + Sync>;

fn commands(machine: &Arc<Machine>, handle: &Handle) -> (CommandTable, Gate) {
    let ((tell, begun), (go_on, wait)) = (channel(), channel());
    let (tell, wait) = (Mutex::new(tell), Mutex::new(wait));
    let slow: Handler = Box::new(move |_| {
        tell.lock().expect("not poisoned").send(()).expect("the test waits");
        wait.lock().expect("not poisoned").recv().expect("the test goes on");
        Ok(Command::empty())
    });
    let on = |run: fn(&Machine, &mut Members<'_>) -> Result<Reply, Error>| -> Handler {
        let machine = Arc::clone(machine);
        Box::new(move |members| run(&machine, members))
    };
    let (quit_handle, quit_machine) = (handle.clone(), Arc::clone(machine));
    let quit: Handler = Box::new(move |_| {
        let (handle, machine) = (quit_handle.clone(), Arc::clone(&quit_machine));
        quit_handle.after_replies(move || {
            machine.emit("SHUTDOWN", Some(json!({"guest": false, "reason": "host-qmp-quit"})));
            handle.shutdown();
        });
        Ok(Command::empty())
    });
    let table = [
        command("slow", true, slow),
        command("quit", false, quit),
        command("query-status", false, on(|machine, _| Ok(Box::new(json!({"running": machine.is_running()}))))),
        command(
            "stop",
            false,
            on(|machine, _| {
                machine.set_running(false);
                Ok(Command::empty())
            }),
        ),
        command(
            "cont",
            false,
            on(|machine, _| {
                machine.set_running(true);
                Ok(Command::empty())
            }),
        ),
        command(
            "query-text",
            false,
            on(|_, members| {
                let length = members.required::<u32>("length")?;
                Ok(Box::new("x".repeat(length as usize)))
            }),
        ),
    ];
    let misc = Command::for_each_client(misc::commands, |client: &Arc<Client>| {
        Misc::new(Arc::clone(client), Weak::new(), Arc::default())
    });
    (table.into_iter().chain(misc).collect(), Gate { begun, go_on })
}

fn command(name: &'static str, coroutine: bool, handler: Handler) -> Command {
    let options = CommandOptions { allow_oob: name == "query-status", coroutine, ..CommandOptions::default() };
    Command::new(name, options, move |members| {
        let reply = handler(members)?;
        members.finish()?;
        Ok(reply)
    })
}
