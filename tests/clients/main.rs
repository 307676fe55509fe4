//! Clients of QMP that nobody here wrote, each with a session of its own: the Python library `qemu.qmp`, its `qmp-shell`
//! and `qmp-tui`, and the crate `qapi`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "../support/mod.rs"]
mod support;

mod qapi;
mod qemu_qmp;
mod shell;
mod tui;

use std::env;
use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Command, Stdio};

use block::request::Operation;
use support::daemon::{Daemon, wait};
use support::guest::Guest;
use support::peer;

/// The Python that has the library; `None` if it lacks `module`.
fn python(module: &str) -> Option<Command> {
    let python = env::var_os("WHYSTOP_PYTHON").unwrap_or_else(|| "python3".into());
    let import = format!("import {module}");
    peer::is_there(module, Command::new(&python).args(["-c", &import])).then(|| Command::new(&python))
}

/// The scene of a disk that fills up, with this program as the management, whose last argument is the socket. When it says
/// `write` the guest writes more than there is room for. If it `resumes` the VM it says so, and must not end it before the
/// guest has its answer, when the management's standard input ends.
fn fill_a_disk(mut management: Command, resumes: bool) {
    let options = [
        "--blockdev",
        "null-co,node-name=disk,size=8388608",
        "--blockdev",
        "quota,node-name=thin,limit=1048576,file=disk",
        "--export",
        "nbd,id=thin,node-name=thin,writable=on",
    ];
    let mut daemon = Daemon::start(tempfile::tempdir().expect("a directory"), &options).expect("a daemon");
    let mut guest = Guest::connect(&daemon.nbd_socket(), "thin").expect("a guest");

    management.arg(daemon.qmp_socket()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut management = management.spawn().expect("it starts");
    let mut said = BufReader::new(management.stdout.take().expect("piped")).lines();

    expect_line(&mut said, "write");
    guest.start(&Operation::Write { offset: 0, data: vec![0x11; 2 << 20], fua: false }).expect("it is taken");
    if resumes {
        expect_line(&mut said, "resumed");
        guest.answer().expect("an answer").expect("success");
    }
    drop(management.stdin.take());

    // It says quit.
    assert!(wait(&mut management).expect("it ends").success());
    daemon.wait().expect("a clean end");
}

/// The management has come this far. It gives up by itself if it does not.
fn expect_line(said: &mut Lines<BufReader<ChildStdout>>, expected: &str) {
    let line = said.next().expect("the management goes on").expect("UTF-8");
    assert_eq!(line, expected);
}
