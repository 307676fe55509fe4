//! The run state beside QEMU's: the same commands to both, and the same events, replies and states from both.
//!
//! Compared are the events in their order, each with its data but for what is new, the kind of every reply and the class
//! of an error, and the state after it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::daemon::whystop;
use support::emulator::{Emulator, Reference};

/// A command and its arguments.
type Step = (&'static str, &'static str);

/// The machines that both have.
const MACHINES: &[&str] = &["none", "microvm"];

/// What is said to a machine with these options; the last command ends it.
const SCENES: &[(&[&str], &[Step])] = &[
    (
        &[],
        &[
            ("stop", "{}"),
            ("stop", "{}"),
            ("system_powerdown", "{}"),
            ("cont", "{}"),
            ("cont", "{}"),
            ("system_powerdown", "{}"),
            ("system_reset", "{}"),
            ("stop", "{}"),
            ("system_reset", "{}"),
            ("system_reset", "{}"),
            ("cont", "{}"),
            ("system_wakeup", "{}"),
            ("inject-nmi", "{}"),
            ("quit", "{}"),
        ],
    ),
    (
        &[],
        &[
            ("set-action", "{}"),
            ("set-action", r#"{"reboot": "nonsense"}"#),
            ("set-action", r#"{"shutdown": "pause", "panic": 1}"#),
            ("set-action", r#"{"watchdog": "nonsense"}"#),
            ("set-action", r#"{"debug": "pause"}"#),
            ("set-action", r#"{"panic": "exit-failure", "watchdog": "inject-nmi"}"#),
            ("watchdog-set-action", "{}"),
            ("watchdog-set-action", r#"{"action": "nonsense"}"#),
            ("watchdog-set-action", r#"{"action": "debug"}"#),
            ("system_reset", "{}"),
            ("quit", "{}"),
        ],
    ),
    (
        &["-no-shutdown", "-no-reboot"],
        &[
            ("system_reset", "{}"),
            ("cont", "{}"),
            ("stop", "{}"),
            ("system_powerdown", "{}"),
            ("system_reset", "{}"),
            ("set-action", r#"{"reboot": "reset"}"#),
            ("system_reset", "{}"),
            ("cont", "{}"),
            ("stop", "{}"),
            ("set-action", r#"{"reboot": "shutdown"}"#),
            ("system_reset", "{}"),
            ("cont", "{}"),
            ("quit", "{}"),
        ],
    ),
    (
        &["-S", "-action", "shutdown=pause,reboot=shutdown,reboot=reset"],
        &[("system_reset", "{}"), ("cont", "{}"), ("quit", "{}")],
    ),
    (&["-S", "-action", "reboot=shutdown", "-no-shutdown"], &[("system_reset", "{}"), ("cont", "{}"), ("quit", "{}")]),
    (&["-no-reboot"], &[("system_reset", "{}")]),
];

/// One machine's side of a scene, line by line.
fn play(machine: Result<Emulator, String>, steps: &[Step]) -> Vec<String> {
    // Its hardware is left alone.
    let Emulator { mut daemon, qmp: mut client, qtest: _qtest } = machine.expect("a machine");
    let mut said = Vec::new();
    let (&(end, _), steps) = steps.split_last().expect("an end");
    for &(command, arguments) in steps {
        said.push(format!("-> {command} {arguments}"));
        let request = format!(r#"{{"execute": "{command}", "arguments": {arguments}, "id": 1}}"#);
        client.send(request.as_bytes()).expect("it lives");
        client.send(br#"{"execute": "query-status", "id": 2}"#).expect("it lives");
        let mut reply = None;
        loop {
            let message = client.receive().unwrap_or_else(|error| panic!("{command}: {error}"));
            match message["id"].as_u64() {
                None => said.push(told(&message)),
                Some(1) => reply = Some(kind(&message)),
                Some(_) => break said.extend(reply.into_iter().chain([message["return"].to_string()])),
            }
        }
    }
    said.push(format!("-> {end}"));
    client.send(format!(r#"{{"execute": "{end}"}}"#).as_bytes()).expect("it lives");
    while let Ok(message) = client.receive() {
        // Whether the reply comes first, or at all, is up to who is faster.
        said.extend(message.get("event").is_some().then(|| told(&message)));
    }
    daemon.wait().expect("a clean end");
    said
}

/// What a command returned, or the class of its error.
fn kind(reply: &Value) -> String {
    reply.get("return").unwrap_or(&reply["error"]["class"]).to_string()
}

/// An event, but for what is new.
fn told(event: &Value) -> String {
    let data = event.get("data").filter(|_| event["event"] != "STOP").cloned().unwrap_or_else(|| json!({}));
    format!("{} {data}", event["event"])
}

fn assert_same(reference: &Reference, options: &[&str], steps: &[Step]) {
    assert_eq!(play(Emulator::start(whystop(), options), steps), play(reference.start(options), steps), "{options:?}");
}

#[test]
fn both_say_the_same_of_the_run_state() {
    let Some(reference) = Reference::find() else { return };
    for machine in MACHINES {
        for (options, steps) in SCENES {
            assert_same(&reference, &[&["-M", machine], *options].concat(), steps);
        }
    }
    // Ours has a sleep button where QEMU's microvm has none.
    assert_same(&reference, &["-M", "none"], &[("query-current-machine", "{}"), ("quit", "{}")]);
}
