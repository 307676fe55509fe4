//! Clients that are killed at any moment while storage runs out, grows, and runs out again: nothing of them stays behind.
//!
//! A few rounds by default; `WHYSTOP_ENDURANCE_SECONDS=60 cargo test --test endurance -- --nocapture` goes on for a minute.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use block::request::Operation;
use rustix::param::page_size;
use serde_json::{Value, json};
use support::DEADLINE;
use support::daemon::Daemon;
use support::guest::Guest;
use support::qmp::QmpClient;

/// What the guest writes at a time, and what its storage grows by.
const STEP: u64 = 64 << 10;

/// How many rounds precede the first look at the memory, and how many follow it, at least.
const ROUNDS: u32 = 8;

/// How much more memory may be resident in the end: what a few of those who do not read would leave.
const SLACK: usize = 4 << 20;

/// Says to a process of this test what kind of client it is, and where the daemon is.
const KIND: &str = "WHYSTOP_ENDURANCE_CLIENT";
const DIRECTORY: &str = "WHYSTOP_ENDURANCE_DIRECTORY";

/// What a client does until it is killed.
type Life = fn(&Path);

/// The kinds of clients.
const CLIENTS: [(&str, Life); 4] =
    [("asks", asks), ("does-not-read", does_not_read), ("changes", changes), ("guest", is_guest)];

#[test]
fn clients_that_are_killed_leave_nothing_behind() {
    let seconds = env::var("WHYSTOP_ENDURANCE_SECONDS").map_or(0, |text| text.parse().expect("a number of seconds"));
    let half = Duration::from_secs(seconds) / 2;
    let mut scene = Scene::new();
    // The first half shows what an allocator keeps for as many clients as there are at a time.
    let first = scene.rounds(half);
    let before = scene.rest();
    let second = scene.rounds(half);
    let after = scene.rest();
    println!("{first} rounds: {before} bytes; {second} more: {after} bytes");
    assert!(after < before + SLACK, "{before} bytes, then {after}");
    scene.daemon.terminate();
    scene.daemon.wait().expect("a clean end");
}

#[test]
#[ignore = "is the process that is killed"]
fn client() {
    let kind = env::var(KIND).expect("a kind");
    let directory = PathBuf::from(env::var_os(DIRECTORY).expect("a directory"));
    let (_, live) = CLIENTS.into_iter().find(|(name, _)| *name == kind).expect("a kind");
    live(&directory);
}

/// The daemon, with a guest that fills its disk and a manager that adds space.
struct Scene {
    daemon: Daemon,
    manager: QmpClient,
    guest: Guest,
    written: u64,
    /// Without any other client.
    descriptors: usize,
}

impl Scene {
    fn new() -> Self {
        let quota = |name: &str, limit: u64| format!("quota,node-name={name},limit={limit},file={name}-disk");
        let disk = |name: &str| format!("null-co,node-name={name}-disk,size=1T,read-zeroes=on");
        let export = |name: &str| format!("nbd,id={name},node-name={name},writable=on");
        let options = [
            ["--blockdev".to_owned(), disk("thin")],
            ["--blockdev".to_owned(), quota("thin", 0)],
            ["--export".to_owned(), export("thin")],
            ["--blockdev".to_owned(), disk("other")],
            ["--blockdev".to_owned(), quota("other", STEP)],
            ["--export".to_owned(), export("other")],
        ];
        let daemon = Daemon::start(tempfile::tempdir().expect("a directory"), &options.concat()).expect("a daemon");
        let manager = QmpClient::connect(&daemon.qmp_socket()).expect("a manager");
        let guest = Guest::connect(&daemon.nbd_socket(), "thin").expect("a guest");
        let descriptors = entries(&daemon, "fd").len();
        Self { daemon, manager, guest, written: 0, descriptors }
    }

    /// Plays for some time, but not too short. Returns how many rounds that was.
    fn rounds(&mut self, time: Duration) -> u32 {
        let (start, mut rounds) = (Instant::now(), 0);
        while rounds < ROUNDS || start.elapsed() < time {
            self.round();
            rounds += 1;
        }
        rounds
    }

    /// The RFC's scene: the guest's write does not fit, the VM stops and says why, space is added, and the guest never
    /// knew. Meanwhile clients come, and half of them die before the VM goes on, half after.
    fn round(&mut self) {
        let victims: Vec<_> = CLIENTS.iter().map(|(kind, _)| Victim::start(kind, self.daemon.directory())).collect();
        let data = vec![0x5a; STEP as usize];
        self.guest.start(&Operation::Write { offset: self.written, data, fua: false }).expect("it is taken");
        self.written += STEP;
        let stop = self.manager.event("STOP").expect("the VM stops");
        assert_eq!(stop["reason"], "ioerror");
        let reason = self.manager.execute("query-stop-reason", Value::Null).expect("an answer");
        assert_eq!((&reason["reason"], &reason["last-stop"]["id"]), (&json!("ioerror"), &stop["stop-id"]));

        let mut victims = victims.into_iter();
        victims.by_ref().take(CLIENTS.len() / 2).for_each(Victim::kill);
        let more = json!({"driver": "quota", "node-name": "thin", "limit": self.written, "file": "thin-disk"});
        self.manager.execute("blockdev-reopen", json!({"options": [more]})).expect("more space");
        self.manager.execute("cont", Value::Null).expect("the VM runs");
        self.manager.event("RESUME").expect("the VM runs");
        self.guest.answer().expect("an answer").expect("the guest's write succeeds");
        victims.for_each(Victim::kill);
        self.manager.event("BLOCK_IO_ERROR").expect("it came before STOP");
    }

    /// Waits until no descriptor and no session is left of those who were killed. Returns how much memory is resident.
    fn rest(&self) -> usize {
        let start = Instant::now();
        loop {
            let descriptors = entries(&self.daemon, "fd").len();
            let connections = self.guest_connections();
            if (descriptors, connections) == (self.descriptors, 1) {
                break;
            }
            let left = format!("{descriptors} descriptors of {}, {connections} guests of 1", self.descriptors);
            assert!(start.elapsed() < DEADLINE, "left behind: {left}");
            thread::yield_now();
        }
        let statm = fs::read_to_string(of_process(&self.daemon, "statm")).expect("procfs");
        let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
        pages * page_size()
    }

    /// Each has a thread of this name.
    fn guest_connections(&self) -> usize {
        let threads = entries(&self.daemon, "task");
        let names = threads.iter().filter_map(|thread| fs::read_to_string(thread.join("comm")).ok());
        names.filter(|name| name.trim_end() == "nbd-client").count()
    }
}

fn of_process(daemon: &Daemon, what: &str) -> PathBuf {
    Path::new("/proc").join(daemon.pid().to_string()).join(what)
}

fn entries(daemon: &Daemon, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(of_process(daemon, folder)).expect("procfs");
    entries.map(|entry| entry.expect("procfs").path()).collect()
}

/// A client in a process of its own, which is killed when it is dropped.
struct Victim(Child);

impl Victim {
    /// Starts a client, and waits until it is connected.
    fn start(kind: &str, directory: &Path) -> Self {
        let mut command = Command::new(env::current_exe().expect("this test"));
        command.args(["--ignored", "--exact", "client", "--nocapture"]).env(KIND, kind).env(DIRECTORY, directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut victim = Self(command.spawn().expect("it starts"));
        let stderr = victim.0.stderr.as_mut().expect("a pipe");
        let mut byte = [0];
        stderr.read_exact(&mut byte).expect("it is connected");
        assert_eq!(byte, *CONNECTED.as_bytes(), "{kind} failed");
        victim
    }

    /// SIGKILL, by being dropped.
    fn kill(self) {
        let mut victim = self;
        let ended = victim.0.try_wait().expect("a child");
        assert_eq!(ended, None, "it was to live until it is killed");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // They fail only for one that has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client says to this test once it is connected.
const CONNECTED: &str = "!";

fn connect(directory: &Path) -> QmpClient {
    let client = QmpClient::connect(&directory.join("qmp.sock")).expect("a monitor");
    eprint!("{CONNECTED}");
    client
}

/// Asks and reads, in pieces, so that it dies in the middle of a request and of a reply.
fn asks(directory: &Path) {
    let mut client = connect(directory);
    loop {
        client.send(b"{'execute': 'query-named-block-nodes'} {'execute': 'query-stop-reason'} {'exec").expect("taken");
        client.receive().expect("a message");
        client.send(b"ute': 'query-block'}").expect("taken");
        client.receive().expect("a message");
        client.receive().expect("a message");
    }
}

/// Asks on and on.
fn does_not_read(directory: &Path) {
    let mut client = connect(directory);
    loop {
        client.send(b"{'execute': 'query-named-block-nodes'}").expect("taken");
    }
}

/// Runs commands that block, on a disk of its own.
fn changes(directory: &Path) {
    let mut client = connect(directory);
    let same = json!({"driver": "quota", "node-name": "other", "limit": STEP, "file": "other-disk"});
    loop {
        client.execute("blockdev-reopen", json!({"options": [same]})).expect("an answer");
    }
}

/// Reads and writes on that disk. While the VM is stopped this waits.
fn is_guest(directory: &Path) {
    let mut guest = Guest::connect(&directory.join("nbd.sock"), "other").expect("a disk");
    eprint!("{CONNECTED}");
    loop {
        guest.start(&Operation::Read { offset: 0, length: STEP as usize }).expect("taken");
        guest.start(&Operation::Write { offset: 0, data: vec![1; 512], fua: true }).expect("taken");
        guest.start(&Operation::Flush).expect("taken");
        for _ in 0..3 {
            guest.answer().expect("an answer").expect("it fits");
        }
    }
}
