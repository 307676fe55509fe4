//! Plays a script with a real daemon.
//!
//! A script is complete: once it is through the daemon is told to end, and every client that is still there must receive
//! nothing but what that causes. So a message that a script does not mention fails it, even if it comes at the very end.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use block::request::Operation;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::io::Errno;
use serde_json::Value;
use tempfile::TempDir;

use crate::machine::Machine;
use crate::pattern::{Bindings, Pattern};
use crate::script::{Action, ClientAction, GuestAction, MGMT, Script, Step};
use crate::support::DEADLINE;
use crate::support::daemon::Daemon;
use crate::support::guest::Guest as NbdGuest;
use crate::support::qmp::{NoMessage, QmpClient};
use crate::support::virtio_blk::VirtioBlk;

/// Plays a script, in the directory that it was read for. The error says which line was not as expected, and how.
pub fn play(script: &Script, directory: TempDir) -> Result<(), String> {
    for (name, size) in &script.files {
        let file = File::create(directory.path().join(name));
        file.and_then(|file| file.set_len(*size)).map_err(|error| format!("{name}: {error}"))?;
    }
    for name in &script.fifos {
        let made = mkfifoat(CWD, directory.path().join(name), Mode::RUSR | Mode::WUSR);
        made.map_err(|error| format!("{name}: {error}"))?;
    }
    let (daemon, mgmt, machine) = if script.is_machine {
        let (daemon, mgmt, machine) = Machine::start(directory, &script.options)?;
        (daemon, Some(mgmt), Some(machine))
    } else {
        (Daemon::start(directory, &script.options)?, None, None)
    };
    let mut scene = Scene::new(daemon, machine);
    match mgmt {
        _ if script.says_when_mgmt_comes() => {}
        Some(mgmt) => scene.arrive(MGMT, mgmt)?,
        None => scene.client(MGMT, &ClientAction::Connect)?,
    }
    for step in &script.steps {
        scene.step(&step.action).map_err(|error| scene.report(step, &error))?;
    }
    scene.end(script.status).map_err(|error| format!("after the last step: {error}"))
}

impl Script {
    fn says_when_mgmt_comes(&self) -> bool {
        let mut of_mgmt = self.steps.iter().filter_map(|step| match &step.action {
            Action::Client(name, action) if name == MGMT => Some(action),
            Action::Client(..) | Action::Guest(..) | Action::Writer(..) | Action::Qtest(_) => None,
        });
        matches!(of_mgmt.next(), Some(ClientAction::Open | ClientAction::Connect | ClientAction::ConnectTo(_)))
    }
}

struct Scene {
    daemon: Daemon,
    machine: Option<Machine>,
    clients: HashMap<String, Client>,
    guests: HashMap<String, Guest>,
    /// Files that somebody has open, to write to them.
    held: HashMap<String, File>,
    bindings: Bindings,
    /// The last that a client was told of the VM is that it ends.
    shut_down: bool,
}

/// Whoever asks for reads and writes.
enum Guest {
    Nbd(NbdGuest),
    Virtio(Box<VirtioBlk>),
}

struct Client {
    qmp: QmpClient,
    /// To go with what is sent next.
    passed: Option<File>,
    last_sent: Vec<u8>,
}

impl Scene {
    fn new(daemon: Daemon, machine: Option<Machine>) -> Self {
        let (clients, guests) = (HashMap::new(), HashMap::new());
        let held = HashMap::new();
        Self { daemon, machine, clients, guests, held, bindings: Bindings::new(), shut_down: false }
    }

    fn step(&mut self, action: &Action) -> Result<(), String> {
        let (name, outcome) = match action {
            Action::Client(name, action) => (&name[..], self.client(name, action)),
            Action::Guest(name, action) => (&name[..], self.guest(name, action)),
            Action::Writer(name, text) => (&name[..], self.write(name, text.as_deref())),
            Action::Qtest(action) => ("qtest", self.machine().and_then(|machine| machine.play(action))),
        };
        outcome.map_err(|error| format!("{name}: {error}"))
    }

    fn write(&mut self, name: &str, text: Option<&[u8]>) -> Result<(), String> {
        let held = self.held.remove(name);
        let mut file = held.map_or_else(|| open_to_write(&self.daemon.directory().join(name)), Ok)?;
        match text {
            Some(text) => file.write_all(text).map_err(|error| error.to_string()),
            None => {
                self.held.insert(name.into(), file);
                Ok(())
            }
        }
    }

    fn client(&mut self, name: &str, action: &ClientAction) -> Result<(), String> {
        let socket = self.daemon.qmp_socket();
        match action {
            ClientAction::Connect => self.arrive(name, QmpClient::connect(&socket)?),
            ClientAction::ConnectTo(socket) => {
                let qmp = QmpClient::connect(&self.daemon.directory().join(socket))?;
                self.arrive(name, qmp)
            }
            ClientAction::Open => self.arrive(name, QmpClient::open(&socket).map_err(|error| error.to_string())?),
            ClientAction::Disconnect => {
                self.connected(name)?;
                self.clients.remove(name);
                Ok(())
            }
            ClientAction::Closed => match self.connected(name)?.qmp.receive() {
                Err(NoMessage::Closed) => Ok(()),
                Err(other) => Err(other.to_string()),
                Ok(message) => Err(format!("was to be disconnected\n  + message: {message}")),
            },
            ClientAction::Send(bytes) => {
                let client = self.connected(name)?;
                client.last_sent.clone_from(bytes);
                let sent = match client.passed.take() {
                    None => client.qmp.send(bytes),
                    Some(file) => client.qmp.send_with(bytes, &file),
                };
                sent.map_err(|error| error.to_string())
            }
            ClientAction::Pass { path, read_only, gone } => {
                let path = self.daemon.directory().join(path);
                let file = File::options().read(true).write(!read_only).open(&path);
                let removed = if *gone { fs::remove_file(&path) } else { Ok(()) };
                let file = file.and_then(|file| removed.map(|()| file));
                self.connected(name)?.passed = Some(file.map_err(|error| format!("{}: {error}", path.display()))?);
                Ok(())
            }
            ClientAction::Receive(pattern) => {
                let message = self.connected(name)?.qmp.receive();
                self.check(pattern, message)
            }
            ClientAction::ReceiveAmong(pattern) => {
                let mut bindings = self.bindings.clone();
                let wanted = |message: &Value| pattern.differences(message, &mut bindings).is_empty();
                let message = self.connected(name)?.qmp.receive_among(wanted);
                self.check(pattern, message)
            }
            ClientAction::SkipTo(pattern) => {
                let bindings = self.bindings.clone();
                let wanted = |message: &Value| pattern.differences(message, &mut bindings.clone()).is_empty();
                self.connected(name)?.qmp.skip_to(wanted).map_err(|error| format!("{error}\n  - message: {pattern}"))
            }
            ClientAction::ReceiveAtLast(pattern) => self.receive_at_last(name, pattern),
        }
    }

    fn receive_at_last(&mut self, name: &str, pattern: &Pattern) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let message = self.connected(name)?.qmp.receive();
            let outcome = self.check(pattern, message);
            if outcome.is_ok() || start.elapsed() > DEADLINE {
                return outcome;
            }
            let Client { qmp, last_sent, .. } = self.connected(name)?;
            qmp.send(last_sent).map_err(|error| error.to_string())?;
        }
    }

    fn arrive(&mut self, name: &str, qmp: QmpClient) -> Result<(), String> {
        self.clients.insert(name.into(), Client { qmp, passed: None, last_sent: Vec::new() });
        Ok(())
    }

    fn connected(&mut self, name: &str) -> Result<&mut Client, String> {
        self.clients.get_mut(name).ok_or_else(|| "is not connected".into())
    }

    fn check(&mut self, pattern: &Pattern, message: Result<Value, NoMessage>) -> Result<(), String> {
        let message = message.map_err(|error| format!("{error}\n  - message: {pattern}"))?;
        let differences = pattern.differences(&message, &mut self.bindings);
        if differences.is_empty() {
            match message["event"].as_str() {
                Some("SHUTDOWN") => self.shut_down = true,
                // Told not to end, it only stops.
                Some("STOP") => self.shut_down = false,
                Some(_) | None => {}
            }
            return Ok(());
        }
        let diff: String = differences.iter().map(ToString::to_string).collect();
        Err(format!("not what was expected\n{diff}  in {message}"))
    }

    fn machine(&self) -> Result<&Machine, String> {
        self.machine.as_ref().ok_or_else(|| "there is no machine".into())
    }

    fn guest(&mut self, name: &str, action: &GuestAction) -> Result<(), String> {
        let arrived = match action {
            GuestAction::Connect(export) => Guest::Nbd(NbdGuest::connect(&self.daemon.nbd_socket(), export)?),
            GuestAction::Drive(disk) => Guest::Virtio(self.machine()?.drive(*disk)?.into()),
            GuestAction::Disconnect => return self.guests.remove(name).ok_or("is not connected")?.vanish(),
            GuestAction::Closed => return self.present(name)?.closed(),
            GuestAction::Start(operation) => return self.present(name)?.start(operation),
            GuestAction::Ok(content) => {
                return match self.present(name)?.answer()? {
                    Ok(data) => content.map_or(Ok(()), |content| check_content(&data, content)),
                    Err(error) => Err(format!("the request failed\n  + {error}")),
                };
            }
            GuestAction::Error(errno) => {
                return match self.present(name)?.answer()? {
                    Err(error) if error.raw_os_error() == Some(*errno) => Ok(()),
                    Err(error) => Err(format!("the request failed otherwise\n  + {error}")),
                    Ok(_) => Err("the request succeeded".into()),
                };
            }
            GuestAction::Waits => return self.present(name)?.waits(),
        };
        self.guests.insert(name.into(), arrived);
        Ok(())
    }

    fn present(&mut self, name: &str) -> Result<&mut Guest, String> {
        self.guests.get_mut(name).ok_or_else(|| "is not connected".into())
    }

    /// The daemon ends. Whoever is still connected is told that and nothing else, and no request is answered any more.
    fn end(mut self, status: i32) -> Result<(), String> {
        let data = if self.shut_down { "..." } else { r#"{"guest": false, "reason": "host-signal"}"# };
        let shutdown = format!(r#"{{"event": "SHUTDOWN", "data": {data}, ...}}"#);
        let shutdown = Pattern::parse(&shutdown)?;
        let export_deleted = Pattern::parse(r#"{"event": "BLOCK_EXPORT_DELETED", ...}"#)?;
        if !self.shut_down {
            // What a driver sees goes with the machine.
            for (name, guest) in self.guests.iter_mut().filter(|(_, guest)| matches!(guest, Guest::Virtio(_))) {
                guest.waits().map_err(|error| format!("{name}: {error}"))?;
            }
            self.daemon.terminate();
        }
        for (name, mut client) in std::mem::take(&mut self.clients) {
            loop {
                let expected = match client.qmp.receive() {
                    Err(NoMessage::Closed) => break,
                    Ok(message) if message["event"] == "BLOCK_EXPORT_DELETED" => {
                        self.check(&export_deleted, Ok(message))
                    }
                    message => self.check(&shutdown, message),
                };
                expected.map_err(|error| format!("{name}: {error}"))?;
            }
        }
        for (name, guest) in self.guests.iter_mut().filter(|(_, guest)| matches!(guest, Guest::Nbd(_))) {
            guest.closed().map_err(|error| format!("{name}: {error}"))?;
        }
        self.daemon.wait_for_status(status)?;
        if let Some(change) = self.machine.as_ref().and_then(Machine::unmentioned) {
            return Err(format!("qtest: not mentioned\n  + {change:?}"));
        }
        let stderr = self.daemon.stderr();
        if stderr.is_empty() { Ok(()) } else { Err(format!("the daemon said:\n{stderr}")) }
    }

    fn report(&self, step: &Step, error: &str) -> String {
        let stderr = self.daemon.stderr();
        let daemon = if stderr.is_empty() { String::new() } else { format!("\nthe daemon said:\n{stderr}") };
        format!("{}:{}: {error}{daemon}", step.file, step.line)
    }
}

/// Opens a file. A FIFO has nobody to write to until the daemon has opened it.
fn open_to_write(path: &Path) -> Result<File, String> {
    let start = Instant::now();
    let open = || File::options().write(true).truncate(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
    let mut opened = open();
    while opened.as_ref().is_err_and(|error| Errno::from_io_error(error) == Some(Errno::NXIO)) {
        if start.elapsed() > DEADLINE {
            return Err("nobody opens it".into());
        }
        thread::yield_now();
        opened = open();
    }
    opened.map_err(|error| error.to_string())
}

impl Guest {
    fn start(&mut self, operation: &Operation) -> Result<(), String> {
        match self {
            Self::Nbd(guest) => guest.start(operation),
            Self::Virtio(disk) => disk.start_next(operation),
        }
    }

    fn answer(&mut self) -> Result<io::Result<Vec<u8>>, String> {
        match self {
            Self::Nbd(guest) => guest.answer(),
            Self::Virtio(disk) => disk.answer(),
        }
    }

    fn waits(&mut self) -> Result<(), String> {
        let answered = match self {
            Self::Nbd(guest) => guest.answered()?,
            Self::Virtio(disk) => disk.answered()?,
        };
        if answered == 0 { Ok(()) } else { Err(format!("{answered} requests were answered")) }
    }

    fn closed(&mut self) -> Result<(), String> {
        match self {
            Self::Nbd(guest) => guest.closed(),
            Self::Virtio(_) => Err("a disk of the machine has no connection".into()),
        }
    }

    fn vanish(self) -> Result<(), String> {
        match self {
            Self::Nbd(guest) => {
                guest.vanish();
                Ok(())
            }
            Self::Virtio(disk) => disk.reset().map(drop),
        }
    }
}

/// Whether a read brought this byte and nothing else.
fn check_content(data: &[u8], content: u8) -> Result<(), String> {
    if data.is_empty() {
        return Err("nothing was read".into());
    }
    match data.iter().enumerate().find(|(_, byte)| **byte != content) {
        None => Ok(()),
        Some((at, other)) => {
            Err(format!("not what was expected\n  - [{at}]: {content:#04x}\n  + [{at}]: {other:#04x}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a script that must fail.
    fn failure(text: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let script = Script::parse("scene.qmp", text, directory.path()).expect("valid");
        play(&script, directory).expect_err("it does not go like this")
    }

    #[test]
    fn a_wrong_message_is_shown_with_its_line_and_what_differs() {
        let said = failure(
            "# Scene.\n\n-> { \"execute\": \"query-status\" }\n\
             <- { \"return\": { \"running\": true,\n                 \"status\": \"paused\" } }\n",
        );
        assert_eq!(
            said,
            "scene.qmp:4: mgmt: not what was expected\n  \
               - return.status: \"paused\"\n  + return.status: \"running\"\n  \
               in {\"return\":{\"running\":true,\"status\":\"running\"}}"
        );
    }

    #[test]
    fn a_message_that_is_not_mentioned_fails_the_script() {
        let said = failure("# Scene.\n-> { \"execute\": \"stop\" }\n<- { \"event\": \"STOP\", ... }\n");
        assert!(said.starts_with("after the last step: mgmt: "), "{said}");
        assert!(said.ends_with("in {\"return\":{}}"), "{said}");
    }

    #[test]
    fn a_daemon_that_does_not_start_says_why() {
        let said = failure("# Scene.\n$ --nonsense\n");
        assert!(said.ends_with("whystop: --nonsense: invalid option\n"), "{said}");
    }
}
