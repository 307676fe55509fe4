//! The Python library `qemu.qmp` as the management: it connects, negotiates, runs commands and receives the events of a
//! disk that fills up. `qemu_qmp.py` beside this file is its side.

#![allow(clippy::expect_used)]

mod support;

use std::env;
use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Command, Stdio};

use block::request::Operation;
use support::daemon::{Daemon, wait};
use support::guest::Guest;
use support::peer;

#[test]
fn the_python_library_sees_a_vm_stop_and_resumes_it() {
    let python = env::var_os("WHYSTOP_PYTHON").unwrap_or_else(|| "python3".into());
    if !peer::is_there("qemu.qmp", Command::new(&python).args(["-c", "import qemu.qmp"])) {
        return;
    }
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

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/qemu_qmp.py");
    let mut management = Command::new(&python);
    management.arg(script).arg(daemon.qmp_socket()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut management = management.spawn().expect("it starts");
    let mut said = BufReader::new(management.stdout.take().expect("piped")).lines();

    expect_line(&mut said, "write");
    guest.start(&Operation::Write { offset: 0, data: vec![0x11; 2 << 20], fua: false }).expect("it is taken");
    expect_line(&mut said, "resumed");
    guest.answer().expect("an answer").expect("success");

    // It says quit.
    assert!(wait(&mut management).expect("it ends").success());
    daemon.wait().expect("a clean end");
}

/// The management has come this far. It gives up by itself if it does not.
fn expect_line(said: &mut Lines<BufReader<ChildStdout>>, expected: &str) {
    let line = said.next().expect("the management goes on").expect("UTF-8");
    assert_eq!(line, expected);
}
