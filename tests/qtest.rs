//! The daemon as QEMU's test library starts it: it connects to two sockets, and the test drives it over both.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use block::request::Operation;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::daemon::{wait, whystop};
use support::guest::Guest;
use support::qmp::QmpClient;
use support::{DEADLINE, await_readable};
use tempfile::TempDir;

/// A daemon, and both connections. Dropping it kills it.
struct Machine {
    child: Child,
    directory: TempDir,
    qtest: BufReader<UnixStream>,
    qmp: QmpClient,
}

impl Machine {
    /// Nothing is read from the monitor before the first command of qtest is answered.
    fn start(extra: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listen = |name: &str| UnixListener::bind(directory.path().join(name)).expect("a free path");
        let (qtest, qmp) = (listen("a"), listen("b"));
        let mut command = whystop();
        command
            .args(["-qtest", "unix:a", "-qtest-log", "/dev/null", "-chardev", "socket,path=b,id=char0"])
            .args(["-mon", "chardev=char0,mode=control"])
            .args(extra)
            .args(["-accel", "qtest"])
            .current_dir(directory.path())
            .stdin(Stdio::null());
        let child = command.spawn().expect("it starts");
        let qtest = BufReader::new(accept(&qtest));
        let qmp = QmpClient::over(accept(&qmp)).expect("a socket");
        let mut machine = Self { child, directory, qtest, qmp };
        assert_eq!(machine.say("endianness"), "OK little");
        machine
    }

    fn say(&mut self, line: &str) -> String {
        self.send(line);
        let mut answer = String::new();
        self.qtest.read_line(&mut answer).expect("an answer");
        answer.trim_end().to_owned()
    }

    fn send(&mut self, line: &str) {
        self.qtest.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// How many errors have been reported since the last time.
    fn errors(&mut self) -> usize {
        self.qmp.send(br#"{"execute": "query-status"}"#).expect("it reads");
        // What was emitted before the answer stands before it.
        let before =
            |qmp: &mut QmpClient| Some(qmp.receive().expect("a message")).filter(|it| it.get("return").is_none());
        std::iter::from_fn(|| before(&mut self.qmp)).filter(|message| message["event"] == "BLOCK_IO_ERROR").count()
    }

    /// SIGTERM, and a clean end.
    fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it was not reaped yet");
        assert!(wait(&mut self.child).expect("an end").success());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only for one that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn accept(listener: &UnixListener) -> UnixStream {
    await_readable("a connection", listener).expect("it connects");
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream
}

#[test]
fn it_connects_qtest_then_qmp_and_ends_with_status_0_on_sigterm() {
    let mut machine = Machine::start(&[]);
    machine.qmp.receive().expect("a greeting");
    machine.qmp.execute("qmp_capabilities", Value::Null).expect("an answer");
    assert_eq!(machine.say("clock_step 5"), "OK 5");
    machine.terminate();
}

/// As QEMU's Python library `qemu.machine` starts it: sockets that are connected already, and QMP is read first.
#[test]
fn it_takes_two_connections_that_it_was_started_with() {
    let ([qtest, of_qtest], [qmp, of_qmp]) = (pair(), pair());
    // The shell puts the descriptors in their places.
    let mut child = Command::new("sh")
        .args(["-c", "exec 3<&0 4<&1 </dev/null >&2; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_whystop")])
        .args(["-display", "none", "-vga", "none", "-chardev", "socket,id=mon,fd=4"])
        .args(["-mon", "chardev=mon,mode=control", "-machine", "microvm"])
        .args(["-chardev", "socket,id=qtest,fd=3", "-qtest", "chardev:qtest", "-accel", "qtest", "-qtest-log", "none"])
        .stdin(OwnedFd::from(of_qtest))
        .stdout(OwnedFd::from(of_qmp))
        .spawn()
        .expect("a shell");
    let mut qmp = QmpClient::over(qmp).expect("a socket").negotiate().expect("a monitor");
    let mut qtest = BufReader::new(qtest);
    qtest.get_mut().write_all(b"clock_step 5\n").expect("it reads");
    let mut answer = String::new();
    qtest.read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "OK 5\n");
    qmp.execute("quit", Value::Null).expect("an answer");
    assert!(wait(&mut child).expect("an end").success());
}

fn pair() -> [UnixStream; 2] {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    ours.set_read_timeout(Some(DEADLINE)).expect("a socket");
    [ours, theirs]
}

#[test]
fn it_ends_promptly_while_a_command_is_carried_out() {
    let mut machine = Machine::start(&[]);
    // Where nothing is, piece by piece: far longer than the deadline of an end.
    for _ in 0..100 {
        machine.send("memset 0x100000000000 0x100000000 1");
    }
    machine.terminate();
}

#[test]
fn in_preconfig_qtest_is_answered() {
    let mut machine = Machine::start(&["--preconfig"]);
    assert_eq!(machine.say("readl 0x1000000000000"), "OK 0x0000000000000000");
    machine.terminate();
}

#[test]
fn it_goes_on_without_its_qtest_client() {
    let mut machine = Machine::start(&[]);
    machine.qtest.get_ref().shutdown(std::net::Shutdown::Both).expect("a socket");
    machine.qmp.receive().expect("a greeting");
    machine.qmp.execute("qmp_capabilities", Value::Null).expect("an answer");
    machine.qmp.execute("query-status", Value::Null).expect("an answer");
    machine.terminate();
}

#[test]
fn delayed_events_come_exactly_when_the_clock_is_stepped_there() {
    let mut machine = Machine::start(&[
        "--nbd-server",
        "addr.type=unix,addr.path=nbd",
        "--blockdev",
        r#"{"driver": "blkdebug", "node-name": "disk", "image": {"driver": "null-co", "size": 4096},
            "inject-error": [{"event": "none", "iotype": "write", "errno": 5}]}"#,
        "--export",
        "nbd,id=exp,node-name=disk,writable=on,werror=report",
    ]);
    machine.qmp.receive().expect("a greeting");
    machine.qmp.execute("qmp_capabilities", Value::Null).expect("an answer");
    let mut guest = Guest::connect(&machine.path().join("nbd"), "disk").expect("an export");
    for _ in 0..3 {
        guest.start(&Operation::Write { offset: 0, data: vec![1; 512], fua: false }).expect("sent");
        guest.answer().expect("an answer").expect_err("an error");
    }
    assert_eq!(machine.errors(), 1);
    let deadline = machine.say("clock_step");
    assert_eq!(deadline, "OK 1000000000");
    assert_eq!(machine.errors(), 1);
    assert!(machine.say("clock_step").starts_with("FAIL cannot advance clock"), "nothing else is late");
    assert_eq!(machine.errors(), 0);
    machine.terminate();
}
