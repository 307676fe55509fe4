//! The machine of the soak: its devices, and three clients: one that acts and listens, one that only listens, one that is late.

use std::fs;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::disk::{BAD, Disk, Errors, LONGEST};
use crate::support::board::Board;
use crate::support::daemon::{Daemon, whystop};
use crate::support::emulator::Emulator;
use crate::support::qmp::{NoMessage, QmpClient};
use crate::support::qtest::Qtest;
use crate::support::virtio_blk::memory::GuestMemory;
use crate::witness::Witness;

/// The size of each disk at first, in bytes.
pub const DISK: u64 = 1 << 20;

/// What the thin disk may take at first.
const QUOTA: u64 = 64 << 10;

/// Errors of the disk that stops the VM, each of which comes once.
const STOPS: u64 = 40;

/// Rounds that are enough to come to rest.
const ROUNDS: u32 = 100_000;

/// A machine under test.
pub struct Machine {
    pub dice: Dice,
    pub qtest: Arc<Qtest>,
    pub qmp: QmpClient,
    pub witness: Witness,
    pub disks: Vec<Disk>,
    daemon: Daemon,
    listener: QmpClient,
    /// Since the events were last heard, until now.
    time: Range<u64>,
    /// What it did last, for people.
    pub acts: Vec<String>,
}

impl Machine {
    /// A machine that runs.
    pub fn start(seed: u64) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut options: Vec<String> =
            ["-M", "microvm", "-nodefaults", "-m", "16", "-no-shutdown", "-action", "panic=pause"]
                .into_iter()
                .chain(["-device", "pvpanic", "-device", "ib700", "-watchdog-action", "pause", "--monitor", "more"])
                .map(str::to_owned)
                .collect();
        let more = format!("socket,id=more,path={},server=on,wait=off", path("qmp.sock"));
        let before_monitor = options.len() - 2;
        options.splice(before_monitor..before_monitor, ["--chardev".into(), more]);
        for (name, filter, policy) in disks() {
            let image = fs::File::create(path(name)).and_then(|file| file.set_len(DISK));
            image.map_err(|error| error.to_string())?;
            let protocol = format!("{name}-file");
            let file = json!({"driver": "file", "node-name": protocol, "filename": path(name), "discard": "unmap"});
            let device = json!({"driver": "virtio-blk-device", "id": name, "drive": name, "num-queues": 2});
            let device = merged(device, policy);
            let filter = merged(filter, json!({"node-name": name}));
            for (option, value) in [("--blockdev", file), ("--blockdev", filter), ("-device", device)] {
                options.extend([option.to_owned(), value.to_string()]);
            }
        }
        let Emulator { mut daemon, qtest, qmp } = Emulator::start_with(whystop(), directory, &options, "qtest")?;
        daemon.await_greeting()?;
        let listener = QmpClient::connect(&daemon.qmp_socket())?;
        let board = Board::microvm();
        let memory = GuestMemory::new(board.ram.clone());
        let transports = board.disks(&qtest)?;
        let errors = [Errors::Hidden, Errors::Hidden, Errors::Reported, Errors::Ignored, Errors::Hidden];
        let disks = disks().into_iter().zip(errors).zip(transports);
        let disks = disks.map(|(((name, ..), errors), transport)| Disk::new(name, errors, transport, &memory));
        let mut machine = Self {
            dice: Dice::new(seed),
            qtest,
            qmp,
            witness: Witness::default(),
            disks: disks.collect(),
            daemon,
            listener,
            time: 0..0,
            acts: Vec::new(),
        };
        machine.start_disks()?;
        Ok(machine)
    }

    /// The virtual time.
    pub fn now(&self) -> u64 {
        self.time.end
    }

    /// The id of the stop that the machine is in.
    pub fn stop(&self) -> Option<u64> {
        self.witness.stop.as_ref().map(|(id, _)| *id).filter(|_| self.witness.stopped)
    }

    /// Lets time pass.
    pub fn pass(&mut self, nanoseconds: u64) -> Result<(), String> {
        self.time.end = self.qtest.clock_step(nanoseconds)?;
        Ok(())
    }

    /// Carries out a command; the error's description if it is refused.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        self.qmp.execute(command, arguments)
    }

    /// Asks for the status, and hears what was told before the answer. Returns both. A machine that was reset has its disks
    /// taken into service again.
    pub fn hear(&mut self) -> Result<(Value, Vec<Value>), String> {
        self.qmp.send(br#"{"execute": "query-status"}"#).map_err(|error| error.to_string())?;
        let mut events = Vec::new();
        let answer = loop {
            let message = self.qmp.receive().map_err(|error| format!("query-status: {error}"))?;
            if message.get("event").is_none() {
                break message;
            }
            self.witness.hear(&message, &self.time)?;
            events.push(message);
        };
        self.time.start = self.time.end;
        let status = answer["return"].clone();
        // What was told while the answer was on its way may be later than it.
        if events.is_empty() {
            self.witness.agrees(&status)?;
        }
        if events.iter().any(|event| event["event"] == "RESET") {
            self.start_disks()?;
        }
        Ok((status, events))
    }

    /// The same, until nothing is told meanwhile.
    pub fn settle(&mut self) -> Result<Value, String> {
        for _ in 0..ROUNDS {
            let (status, events) = self.hear()?;
            if events.is_empty() {
                return Ok(status);
            }
        }
        Err("events without an end".into())
    }

    /// A client that is late asks why.
    pub fn ask_why(&mut self) -> Result<(), String> {
        let status = self.settle()?;
        let mut late = QmpClient::connect(&self.daemon.qmp_socket())?;
        let why = late.execute("query-stop-reason", Value::Null)?;
        let again = late.execute("query-status", Value::Null)?;
        // It is of no use if something happened meanwhile.
        if !self.hear()?.1.is_empty() {
            return Ok(());
        }
        if again != status {
            return Err(format!("{again} for a late client, {status} for another"));
        }
        self.witness.agrees_why(&why, &status)
    }

    fn start_disks(&mut self) -> Result<(), String> {
        self.disks.iter_mut().try_for_each(|disk| disk.start(&mut self.dice))
    }

    /// Looks for answers.
    pub fn look(&mut self) -> Result<(), String> {
        // What is answered now may have been before a stop that was not heard of yet, but not the other way round.
        let stop = self.stop();
        self.disks.iter_mut().try_for_each(|disk| disk.look(stop))
    }

    /// Whatever the machine is in, it runs.
    pub fn go_on(&mut self) -> Result<(), String> {
        let status = self.settle()?;
        if status["status"] == "shutdown" {
            self.execute("system_reset", Value::Null)?;
        }
        self.execute("cont", Value::Null)?;
        self.wake_up()
    }

    /// Wakes up a guest that sleeps; another can't be.
    pub fn wake_up(&mut self) -> Result<(), String> {
        let status = self.settle()?;
        let outcome = self.execute("system_wakeup", Value::Null);
        let events = self.hear()?.1;
        let slept = status["status"] == "suspended";
        let right = match &outcome {
            Ok(_) => slept && events.iter().any(|event| event["event"] == "WAKEUP"),
            // Unless it was stopped in its sleep meanwhile.
            Err(_) => !slept || !events.is_empty(),
        };
        if right { Ok(()) } else { Err(format!("{outcome:?} and {events:?} while {status}")) }
    }

    /// Lets it run until each request is answered.
    pub fn come_to_rest(&mut self) -> Result<(), String> {
        self.set_quota(2 * DISK)?;
        for _ in 0..ROUNDS {
            self.go_on()?;
            self.look()?;
            if self.disks.iter().all(|disk| disk.unanswered() == 0) && !self.witness.stopped && !self.witness.asleep {
                return Ok(());
            }
        }
        let waits: Vec<_> = self.disks.iter().map(|disk| (disk.name, disk.unanswered())).collect();
        Err(format!("not answered: {waits:?}"))
    }

    /// Moves the limit of the thin disk.
    pub fn set_quota(&mut self, limit: u64) -> Result<(), String> {
        let options = json!([{"driver": "quota", "node-name": "thin", "limit": limit, "file": "thin-file"}]);
        self.execute("blockdev-reopen", json!({"options": options})).map(drop)
    }

    /// Brings it to rest, compares what there is with what there should be, and ends it.
    pub fn end(mut self) -> Result<(), String> {
        self.come_to_rest()?;
        let longest = self.disks.iter().map(Disk::capacity).collect::<Result<Vec<_>, _>>()?.into_iter().max();
        for start in (0..longest.unwrap_or(0)).step_by(LONGEST as usize) {
            self.disks.iter_mut().try_for_each(|disk| disk.ask_for(&mut self.dice, start))?;
            self.come_to_rest()?;
        }
        self.ask_why()?;
        let infos = self.execute("query-block", Value::Null)?;
        for info in infos.as_array().into_iter().flatten() {
            if info.get("io-status").is_some_and(|status| status != "ok") {
                return Err(format!("a disk is not well: {info}"));
            }
        }
        self.finish()?;
        // The end may take time.
        hear_the_end(&mut self.qmp, &mut self.witness, &(self.time.start..u64::MAX))?;
        let mut other = Witness::default();
        hear_the_end(&mut self.listener, &mut other, &(0..u64::MAX))?;
        if self.witness.history != other.history {
            return Err("two clients heard different things".into());
        }
        self.daemon.wait()?;
        for disk in &self.disks {
            let image = fs::read(self.daemon.directory().join(disk.name)).map_err(|error| error.to_string())?;
            disk.is_kept_in(&image)?;
        }
        Ok(())
    }

    /// Ends it in one of the ways there are.
    fn finish(&mut self) -> Result<(), String> {
        self.execute("set-action", json!({"shutdown": "poweroff", "watchdog": "poweroff", "panic": "shutdown"}))?;
        let closed = |error: String| if error.contains("closed") { Ok(()) } else { Err(error) };
        match self.dice.number(0..5) {
            0 => self.execute("quit", Value::Null).map(drop),
            1 => self.qtest.writeb(super::acts::SLEEP_CONTROL, super::acts::S5).or_else(closed),
            2 => self.qtest.outb(super::acts::PVPANIC, 1).or_else(closed),
            3 => {
                self.qtest.outb(super::acts::WATCHDOG, 14)?;
                self.qtest.clock_step(2_000_000_000).map(drop).or_else(closed)
            }
            _ => {
                self.daemon.terminate();
                Ok(())
            }
        }
    }
}

/// Hears what a client is told until the end, of which SHUTDOWN is the last.
fn hear_the_end(client: &mut QmpClient, witness: &mut Witness, time: &Range<u64>) -> Result<(), String> {
    loop {
        match client.receive() {
            Ok(message) if message.get("event").is_some() => witness.hear(&message, time)?,
            Ok(_) => {}
            Err(NoMessage::Closed) => break,
            Err(error) => return Err(format!("until the end: {error}")),
        }
    }
    let last = witness.history.last().map(|event| &event["event"]);
    if last.is_some_and(|name| name == "SHUTDOWN") { Ok(()) } else { Err(format!("{last:?} came last")) }
}

/// The disks: their names, what lies on their files, and their policies.
fn disks() -> [(&'static str, Value, Value); 5] {
    let bad = |name: &str, rules: Vec<Value>| json!({"driver": "blkdebug", "image": format!("{name}-file"), "inject-error": rules});
    let sectors = || (0..2 * DISK / 512).step_by(BAD as usize);
    let rule = |sector: u64| json!({"event": "none", "iotype": "write", "errno": 5, "sector": sector});
    let zeroes = |sector: u64| json!({"event": "none", "iotype": "write-zeroes", "errno": 5, "sector": sector});
    let always: Vec<Value> = sectors().map(rule).chain(sectors().map(zeroes)).collect();
    let once = |number: u64| json!({"event": "none", "errno": 5, "sector": number * 48, "once": true});
    [
        ("thin", json!({"driver": "quota", "limit": QUOTA, "file": "thin-file"}), json!({})),
        ("stops", bad("stops", (0..STOPS).map(once).collect()), json!({"werror": "stop", "rerror": "stop"})),
        ("reports", bad("reports", always.clone()), json!({"werror": "report", "rerror": "report"})),
        ("ignores", bad("ignores", always), json!({"werror": "ignore", "rerror": "ignore"})),
        ("well", json!({"driver": "raw", "file": "well-file"}), json!({"werror": "stop"})),
    ]
}

fn merged(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}
