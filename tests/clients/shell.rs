//! `qmp-shell` with each of its options, fed with lines.

use std::io::{Read, Write};
use std::process::Stdio;

use crate::support::daemon::{Daemon, wait};

/// What the shell shows, with these options, of these lines; `None` without a shell. The last line is `quit`.
fn told(options: &[&str], lines: &str) -> Option<String> {
    let mut shell = crate::python("qemu.qmp.qmp_shell")?;
    let mut daemon = Daemon::start(tempfile::tempdir().expect("a directory"), &[] as &[&str]).expect("a daemon");
    shell.args(["-m", "qemu.qmp.qmp_shell"]).args(options).arg(daemon.qmp_socket());
    // It keeps its history there.
    shell.env("HOME", daemon.directory()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = shell.spawn().expect("it starts");
    shell.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let mut text = String::new();
    shell.stdout.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
    // The daemon leaves first, of which the shell may complain.
    wait(&mut shell).expect("it ends");
    daemon.wait().expect("a clean end");
    Some(text)
}

/// `parts` are in `text` in this order.
fn assert_in_order(text: &str, parts: &[&str]) {
    parts.iter().fold(text, |rest, part| {
        let found = rest.split_once(part).map(|(_, after)| after);
        found.unwrap_or_else(|| panic!("{part:?} is not in {rest:?} of {text:?}"))
    });
}

#[test]
fn a_session_is_driven_and_its_events_are_shown() {
    // An empty line shows what has happened.
    let lines = "query-status\nstop\n\nquery-status\ncont\n\nblockdev-del node-name=x\nnonsense\nquit\n";
    let Some(text) = told(&[], lines) else { return };
    assert_in_order(
        &text,
        &[
            "Connected to QEMU 10.",
            "\"status\": \"running\"",
            "{\"return\": {}}",
            "'STOP', 'data': {'reason': 'user', 'stop-id': 1}",
            "\"status\": \"paused\"",
            "{\"return\": {}}",
            "'RESUME'",
            "\"class\": \"GenericError\"",
            "\"class\": \"CommandNotFound\"",
            "{\"return\": {}}",
        ],
    );
}

#[test]
fn a_session_is_driven_verbosely_and_pretty() {
    let Some(text) = told(&["-v", "-p"], "query-status\nstop\n\nquit\n") else { return };
    assert_in_order(&text, &["    \"execute\": \"query-status\"", "        \"status\": \"running\"", "'STOP'", "{}"]);
}

#[test]
fn a_session_is_driven_without_negotiation() {
    let Some(text) = told(&["-N"], "query-status\nqmp_capabilities\nquery-status\nquit\n") else { return };
    assert_in_order(&text, &["\"class\": \"CommandNotFound\"", "{\"return\": {}}", "\"running\": true"]);
}

#[test]
fn a_session_is_driven_by_the_human_monitor() {
    let Some(text) = told(&["-H"], "info status\nstop\ninfo status\nnonsense\ncont\nquit\n") else { return };
    assert_in_order(&text, &["VM status: running", "VM status: paused", "unknown command: 'nonsense'"]);
}
