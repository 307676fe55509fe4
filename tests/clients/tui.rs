//! `qmp-tui` on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::daemon::{Daemon, wait};
use crate::support::{await_readable, terminal};

/// The program, and what it has shown since the last wait.
struct Screen {
    program: Child,
    master: File,
    shown: String,
}

impl Screen {
    /// Waits until all `parts` were shown since the last time. It draws when a key comes and not when a message does, so it
    /// gets keys as long as that takes: one that changes the line, and one that takes that back.
    fn await_shown(&mut self, parts: &[&str]) {
        for _ in 0..1_000 {
            for key in [b"x", b"\x7f"] {
                self.master.write_all(key).expect("writable");
                self.read();
            }
            if parts.iter().all(|part| self.shown.contains(part)) {
                self.shown.clear();
                return;
            }
        }
        panic!("not shown: {parts:?}: {:?}", self.shown);
    }

    fn read(&mut self) {
        await_readable("the screen", &self.master).expect("drawn");
        let mut bytes = [0; 1 << 16];
        let length = self.master.read(&mut bytes).expect("readable");
        self.shown += &text(&String::from_utf8_lossy(&bytes[..length]));
    }

    fn sends(&mut self, command: &str) {
        // Alt and Enter.
        write!(self.master, "{{\"execute\": \"{command}\"}}\x1b\r").expect("writable");
    }
}

/// Without what moves the cursor and gives colours, and without blanks.
fn text(bytes: &str) -> String {
    let mut text = String::new();
    let mut chars = bytes.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            if chars.next() == Some('[') {
                chars.by_ref().find(|c| ('@'..='~').contains(c));
            }
        } else if !c.is_whitespace() && !c.is_control() {
            text.push(c);
        }
    }
    text
}

#[test]
fn a_session_is_driven_on_a_terminal() {
    let Some(mut tui) = crate::python("qemu.qmp.qmp_tui") else { return };
    let mut daemon = Daemon::start(tempfile::tempdir().expect("a directory"), &[] as &[&str]).expect("a daemon");
    let (master, slave) = terminal::open();
    tcsetwinsize(&slave, Winsize { ws_row: 60, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).expect("a terminal");
    let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
    tui.args(["-m", "qemu.qmp.qmp_tui", "--num-retries", "0"]).arg(daemon.qmp_socket());
    tui.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
    let mut screen = Screen { program: tui.spawn().expect("it starts"), master, shown: String::new() };

    while !screen.shown.contains("│>") {
        screen.read();
    }
    // Down, to where it takes what is typed.
    screen.master.write_all(b"\x1b[B").expect("writable");
    screen.await_shown(&["\"QMP\":{", "\"qmp_capabilities\"", "-->{\"return\":{}}"]);
    screen.sends("query-status");
    screen.await_shown(&["\"running\":true"]);
    screen.sends("stop");
    screen.await_shown(&["\"event\":\"STOP\"", "\"reason\":\"user\""]);
    screen.sends("cont");
    screen.await_shown(&["\"event\":\"RESUME\""]);
    screen.sends("quit");
    screen.await_shown(&["\"event\":\"SHUTDOWN\"", "\"host-qmp-quit\""]);
    daemon.wait().expect("a clean end");
    // Escape.
    screen.master.write_all(b"\x1b").expect("writable");
    assert!(wait(&mut screen.program).expect("it ends").success());
}
