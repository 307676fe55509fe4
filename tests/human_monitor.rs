//! The human monitor as people and scripts meet it: on a terminal, on a socket, and fed from a pipe.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::termios::{LocalModes, tcgetattr};
use support::daemon::{Daemon, wait, whystop};
use support::{DEADLINE, await_readable, terminal};

const PROMPT: &str = "(qemu) ";

/// A person, who reads what comes and has seen it up to here.
struct Person<S> {
    stream: S,
    seen: String,
}

impl<S: Read + Write + AsFd> Person<S> {
    fn new(stream: S) -> Self {
        let mut person = Self { stream, seen: String::new() };
        let banner = person.read_up_to(PROMPT);
        assert!(banner.ends_with(" monitor - type 'help' for more information\n"), "{banner}");
        person
    }

    /// What comes before `end`.
    fn read_up_to(&mut self, end: &str) -> String {
        loop {
            if let Some((text, rest)) = self.seen.split_once(end) {
                let (text, rest) = (text.replace('\r', ""), rest.to_owned());
                self.seen = rest;
                return text;
            }
            await_readable(&format!("{end:?} after {:?}", self.seen), &self.stream).expect("more");
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).expect("readable");
            assert!(length > 0, "it ended with {:?}", self.seen);
            self.seen += str::from_utf8(&buffer[..length]).expect("ASCII");
        }
    }

    /// Types, and returns the last line that was drawn and the answer to it.
    fn types(&mut self, keys: &str) -> (String, String) {
        self.stream.write_all(keys.as_bytes()).expect("writable");
        let text = self.read_up_to(PROMPT);
        let (drawn, answer) = text.split_once('\n').expect("a line");
        let line = drawn.rsplit("\x1b[D").next().unwrap_or_default().trim_end_matches("\x1b[K");
        (line.to_owned(), answer.to_owned())
    }

    fn is_told(&mut self, line: &str) -> String {
        self.types(&format!("{line}\r")).1
    }
}

fn daemon() -> Daemon {
    let directory = tempfile::tempdir().expect("a directory");
    let options = ["--blockdev", "null-co,node-name=disk0,size=1M", "-monitor", "unix:hmp.sock,server=on,wait=off"];
    Daemon::start(directory, &options).expect("a daemon")
}

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.directory().join("hmp.sock")).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

#[test]
fn on_a_socket_several_people_are_answered() {
    let daemon = daemon();
    let (mut first, mut second) = (Person::new(connect(&daemon)), Person::new(connect(&daemon)));
    assert_eq!(first.is_told("info status"), "VM status: running\n");
    assert_eq!(second.is_told("stop"), "");
    assert_eq!(first.is_told("info status"), "VM status: paused\n");
    assert!(second.is_told("help").lines().any(|line| line == "stop|s  -- stop the guest"));
    assert_eq!(
        second.types("info block -n d\t\r"),
        ("info block -n disk0 ".into(), { "disk0: null-co:// (null-co)\n    Cache mode:       writeback\n".into() })
    );
}

#[test]
fn what_a_script_sends_at_once_is_carried_out_line_by_line_and_all_of_it() {
    let daemon = daemon();
    let mut stream = connect(&daemon);
    stream.write_all(&b"stop\ninfo status\ncont\ninfo status\n".repeat(100)).expect("writable");
    stream.shutdown(Shutdown::Write).expect("connected");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the end");
    let answers: Vec<_> = text.lines().filter(|line| line.starts_with("VM status")).collect();
    assert_eq!(answers, ["VM status: paused", "VM status: running"].repeat(100));
}

#[test]
fn whatever_is_typed_it_is_still_there() {
    let daemon = daemon();
    let mut garbage: Vec<u8> = (0..=255).filter(|byte| !b"\r\n".contains(byte)).collect::<Vec<_>>().repeat(50);
    garbage.extend(b"\x1b[\x1b[999999999999~\xff\xfe\xc3\x15");
    let mut person = Person::new(connect(&daemon));
    person.stream.write_all(&garbage).expect("writable");
    person.stream.write_all(b"\x05\x15info status\r").expect("writable");
    while !person.read_up_to(PROMPT).ends_with("\nVM status: running\n") {}
    person.stream.write_all(&vec![b'x'; 5000]).expect("writable");
    assert_eq!(person.is_told(""), "the line is too long\n");
    for (line, answer) in [
        ("nonsense", "unknown command: 'nonsense'\n"),
        ("block_resize", "block_resize: block device name expected\nTry \"help block_resize\" for more information\n"),
        (
            "block_resize disk0 1 2",
            "block_resize: extraneous characters at the end of line\nTry \"help block_resize\" for more information\n",
        ),
        ("info \"status", "unknown command: 'info \"status'\n"),
        ("", ""),
    ] {
        assert_eq!(person.is_told(line), answer);
    }
}

/// The daemon on a terminal of its own, which is returned with what stays of it when the daemon has left.
fn on_a_terminal() -> (Child, File, OwnedFd) {
    let (master, slave) = terminal::open();
    let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
    let mut command: Command = whystop();
    let child = command.args(["-monitor", "stdio"]).stdin(end()).stdout(end()).spawn().expect("the daemon");
    (child, master, slave)
}

fn echoes(terminal: &OwnedFd) -> bool {
    tcgetattr(terminal).expect("a terminal").local_modes.contains(LocalModes::ECHO | LocalModes::ICANON)
}

#[test]
fn on_a_terminal_lines_are_edited_completed_and_recalled_and_it_is_left_as_it_was() {
    let (mut child, master, slave) = on_a_terminal();
    let mut person = Person::new(master);
    assert!(!echoes(&slave));
    assert_eq!(
        person.types("info stas\x08tux\x1b[D\x1b[D\x1b[C\x04\x05s\r"),
        ("info status".into(), "VM status: running\n".into())
    );
    assert_eq!(person.types("inf\t stat\t\r"), ("info  status ".into(), "VM status: running\n".into()));
    assert_eq!(person.types("xyz\x15stop\r"), ("stop".into(), String::new()));
    assert_eq!(person.types("\x1b[A\x1b[A\r").1, "VM status: paused\n");
    person.stream.write_all(b"quit\r").expect("writable");
    assert!(wait(&mut child).expect("it ends").success());
    assert!(echoes(&slave));
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let (mut child, master, slave) = on_a_terminal();
    let person = Person::new(master);
    assert!(!echoes(&slave));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("not reaped yet");
    assert!(wait(&mut child).expect("it ends").success());
    assert!(echoes(&slave));
    drop(person);
}

#[test]
fn a_character_device_can_be_for_people_and_none_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = ["-monitor", "none", "--chardev", "socket,id=h,path=hmp.sock,server=on,wait=off"];
    let daemon = Daemon::start(directory, &[&options[..], &["-mon", "chardev=h,mode=readline"]].concat());
    let daemon = daemon.expect("a daemon");
    let mut person = Person::new(connect(&daemon));
    assert_eq!(person.is_told("info stop-reason"), "VM is running\n");
}
