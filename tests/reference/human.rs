//! The human monitor beside QEMU's: byte for byte what a terminal is sent.
//!
//! Every key is followed by one that clears the screen and draws the line anew. So it makes no difference how many keys
//! a read brings: QEMU draws the line with each of them, ours what was pasted at once.
//!
//! Other departures, all on purpose, are left out: the name in the banner; the words of the help, which has other commands;
//! names of nodes are good for `block_resize` and completed, too; `info block` of an unknown device, a word that is not
//! properly quoted, and what follows a command in `help` are errors; a line feed after a carriage return ends no second
//! line; going down from the latest line of the history returns to what was being typed; Ctrl-B, -F and -K and the sequences
//! of Home and End are known; a character of several bytes is one; and a line of more than 4,095 characters is refused.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::daemon::whystop;
use crate::support::{DEADLINE, await_readable, peer};

/// Lines, and what they are answered.
const LINES: &[&str] = &[
    "info status",
    "  info   status ",
    "stop",
    "stop",
    "info status",
    "s",
    "c",
    "cont",
    "info status",
    "",
    "   ",
    "nonsense",
    "  nonsense x",
    "info nonsense",
    "info   nonsense y",
    "stop x",
    "s x",
    "stop/x",
    "quit x",
    "info status x",
    " info  status x",
    "info \"status\"",
    "\"info\" status",
    "block_resize",
    "block_resize d",
    "block_resize d x",
    "block_resize d 1M 2",
    "block_resize d 1Q",
    "block_resize d 1kx",
    "block_resize d 1e3",
    "block_resize d -1",
    "block_resize d 99999999999999999999",
    "block_resize d 8E",
    "block_resize d 1M",
    "block_resize d 0x10",
    "block_resize d 1.5k",
    "block_resize \"a\\\"b\" 1M",
    "block_resize \"d\"1M",
    "info block",
    "info block -x",
    "info block -x d",
    "info block d -v",
    "info block d e",
    "info block -n",
    "info block -n n0",
    "info block -n -v n0",
    "info block -nv n0",
    "info block n0",
    "info block -v n0",
    "info blockstats",
    "info name",
    "info name x",
    "info uuid",
    "system_reset x",
    "system_reset",
    "info status",
    "help nonsense",
    "help info nonsense",
];

/// Keys that edit a line, up to and with the one that ends it.
const KEYS: &[&[&str]] = &[
    &["abc", "\x1b[D", "\x1b[D", "X", "\x1b[C", "\x1b[C", "\x1b[C", "Y"],
    &["abc", "\x01", "X", "\x05", "Y", "\x08", "\x7f", "\x04"],
    &["abc", "\x01", "\x04", "\x1b[3~", "\x1b[4~", "z", "\x1b[1~", "q", "\x1bOH", "p", "\x1bOF", "o"],
    &["\x08", "\x04", "\x1b[D", "\x1b[C", "\x15", "\x17", "ok"],
    &["abc def", "\x17", "z"],
    &["abc def   ", "\x17"],
    &["abc def", "\x17", "\x17", "zz"],
    &["abc def", "\x1b[D", "\x1b[D", "\x15"],
    &["a\"b", "\x03", "\x1b[5~", "\x1b[2~", "\x1bx"],
    &["one", "\r", "two", "\r", "\x1b[A", "\x1b[A", "\x1b[B"],
    &["\x10", "\x10", "\x10", "\x0e"],
    &["one", "\r", "one", "\r", "\x1b[A", "\x1b[A"],
    &["one", "\r", "two", "\r", "one", "\r", "\x1b[A", "\x1b[A", "\x1b[A", "!"],
    &["one", "\r", "\r", "\x1b[A"],
    &["hel", "\t", "nonsense"],
    &["info statu", "\t"],
    &["info  statu", "\t"],
    &["qui", "\t", "\x15"],
    &["quit", "\x1b[D", "\x1b[D", "\t", "\x15"],
    &["xyzzy", "\t"],
    &["info xyzzy", "\t"],
    &["xyzzy ", "\t", "z"],
    &["block_resi", "\t", "d 1M"],
    &["block_resize d 1", "\t"],
    &["info status", "\t"],
    &["info status ", "\t"],
    &["help info statu", "\t", "\x15"],
    &["help qui", "\t", "\x15"],
    &["? qui", "\t", "\x15"],
    &["\"info", "\t"],
];

/// Lines before the machine is built.
const PRECONFIG: &[&str] = &[
    "info status",
    "info name",
    "info uuid",
    "system_reset",
    "system_powerdown",
    "info block",
    "info blockstats",
    "  info  block",
    "stop",
    "cont",
    "c",
    "nonsense",
    "block_resize d 1M",
    "exit_preconfig x",
    "exit_preconfig",
    "info status",
    "stop",
    "info block",
    "exit_preconfig",
];

/// One person at the terminal of a machine, which ends with it.
struct Person {
    stream: UnixStream,
    machine: Child,
}

impl Person {
    /// A machine that finds the person at its monitor's socket.
    fn at(mut machine: Command, directory: &Path, options: &[&str]) -> Self {
        let path = directory.join("hmp.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let monitor = format!("unix:{}", path.display());
        machine.args(["-monitor", &monitor]).args(options).current_dir(directory).stdin(Stdio::null());
        let machine = machine.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        await_readable("the machine", &listener).expect("it connects");
        let (stream, _) = listener.accept().expect("it waits");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        std::fs::remove_file(path).expect("ours");
        Self { stream, machine }
    }

    /// Types, and ends that by a line that both refuse, another one for each `scene`. Returns what is shown up to its answer.
    fn types(&mut self, keys: &[&str], scene: usize) -> String {
        let end = format!("end-{scene}");
        self.stream.write_all(&one_by_one(keys)).expect("it is taken");
        self.stream.write_all(&one_by_one(&["\r", &end, "\r"])).expect("it is taken");
        let mut read = Vec::new();
        let end = format!("unknown command: '{end}'\r\n(qemu) \x1b[2J\x1b[1;1H(qemu) ");
        while !read.ends_with(end.as_bytes()) {
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).expect("more in time");
            assert!(length > 0, "it left after {:?}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(read).expect("ASCII")
    }

    /// What is shown after the last line, which ends the machine.
    fn leaves_by(mut self, line: &str) -> String {
        self.types(&[], 0);
        self.stream.write_all(format!("{line}\r").as_bytes()).expect("it is taken");
        let mut shown = String::new();
        self.stream.read_to_string(&mut shown).expect("the end");
        shown.split_once("\r\n").map_or(shown.clone(), |(_, after)| after.to_owned())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

/// The bytes of these keys, of which a text has many, and the screen is drawn anew after each.
fn one_by_one(keys: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for key in keys {
        let length = if key.starts_with('\x1b') { key.len() } else { 1 };
        for key in key.as_bytes().chunks(length) {
            bytes.extend_from_slice(key);
            bytes.push(b'\x0c');
        }
    }
    bytes
}

/// Ours and QEMU's, if that is there.
fn machines() -> Option<[Command; 2]> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "none", "-display", "none", "-nodefaults"]);
    peer::is_there("qemu-system-x86_64 10 or later", Command::new("sh").args(["-c", PROBE])).then(|| [whystop(), qemu])
}

/// Both say the same in each of these scenes.
fn compare(options: &[&str], scenes: &[Vec<&str>]) {
    let Some(machines) = machines() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("image"), [0; 1536]).expect("an image");
    // One after the other, for both write to the image.
    let [ours, reference] = machines.map(|machine| {
        let mut person = Person::at(machine, directory.path(), options);
        scenes.iter().enumerate().map(|(scene, keys)| person.types(keys, scene)).collect::<Vec<_>>()
    });
    let without_name = |said: &str| said.split_once(" monitor - ").map_or(said.to_owned(), |(_, said)| said.to_owned());
    let differences: Vec<_> = (scenes.iter().zip(ours.iter().zip(&reference)))
        .filter(|(_, (ours, reference))| without_name(ours) != without_name(reference))
        .map(|(keys, (ours, reference))| format!("{keys:?}\n  ours: {ours:?}\n  QEMU: {reference:?}"))
        .collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), scenes.len(), differences.join("\n"));
}

const PROBE: &str = "qemu-system-x86_64 --version | grep -Eq 'version [1-9][0-9]+'";

#[test]
fn people_are_answered_in_the_same_bytes() {
    let scenes: Vec<_> = LINES.iter().map(|&line| vec![line]).chain(KEYS.iter().map(|keys| keys.to_vec())).collect();
    compare(&["-blockdev", "file,node-name=n0,filename=image"], &scenes);
}

#[test]
fn before_the_machine_is_built_people_may_do_the_same() {
    let scenes: Vec<_> = PRECONFIG.iter().map(|&line| vec![line]).collect();
    compare(&["--preconfig"], &scenes);
}

#[test]
fn drives_that_no_device_uses_look_the_same() {
    let drives = ["-drive", "if=none,id=d0,node-name=n0,file=image,format=raw", "-drive", "if=none,id=d1"];
    compare(&drives, &["info block", "info block d0"].map(|line| vec![line]));
}

#[test]
fn whoever_quits_sees_the_end_of_the_line_and_nothing_after_it() {
    let Some(machines) = machines() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let shown = machines.map(|machine| Person::at(machine, directory.path(), &[]).leaves_by("quit"));
    assert_eq!(shown, ["", ""]);
}
