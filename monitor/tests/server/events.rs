//! What clients hear, and in which order.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use serde_json::json;

use crate::client::Client;
use crate::machine::start;

#[test]
fn every_client_that_has_negotiated_gets_every_event_and_no_other_does() {
    let server = start();
    let mut silent = Client::greeted(&server.path);
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(&server.path)).collect();
    server.machine.emit("WAKEUP", None);
    server.machine.emit("RESET", Some(json!({"guest": false})));
    let timestamp = json!({"seconds": 1, "microseconds": 2});
    for client in &mut clients {
        assert_eq!(client.receive(), json!({"event": "WAKEUP", "timestamp": timestamp}));
        let expected = json!({"event": "RESET", "timestamp": timestamp, "data": {"guest": false}});
        assert_eq!(client.receive(), expected);
    }
    silent.negotiate();
    server.machine.emit("SUSPEND", None);
    assert_eq!(silent.receive()["event"], "SUSPEND");
}

#[test]
fn the_event_of_a_command_precedes_its_reply() {
    let server = start();
    let mut client = Client::connect(&server.path);
    for (id, command) in (0..).zip(["stop", "cont"].repeat(500)) {
        client.request(command, id);
        let event = if command == "stop" { "STOP" } else { "RESUME" };
        assert_eq!(client.until(id), [event, &id.to_string()]);
    }
}

/// Invariant: a query agrees with the events that the session has been sent before its answer.
#[test]
fn a_query_never_contradicts_the_events_before_its_answer() {
    let server = start();
    let mut client = Client::connect(&server.path);
    let (machine, (start_toggling, toggle)) = (Arc::clone(&server.machine), channel());
    let toggling = thread::spawn(move || {
        for () in toggle {
            // Few enough for a client that reads to miss none.
            for running in [false, true].repeat(20) {
                machine.set_running(running);
                thread::yield_now();
            }
        }
    });
    let mut told = true;
    let mut events = 0;
    for _ in 0..200 {
        start_toggling.send(()).expect("it toggles");
        client.send(json!({"execute": "query-status"}).to_string().repeat(20));
        let mut replies = 0;
        while replies < 20 {
            let message = client.receive();
            match message["event"].as_str() {
                Some("STOP") => (told, events) = (false, events + 1),
                Some("RESUME") => (told, events) = (true, events + 1),
                Some(other) => panic!("unexpected {other}"),
                None => {
                    let answer = message["return"]["running"].as_bool().expect("a reply");
                    assert!(answer == told, "after {events} events the answer is {answer}");
                    replies += 1;
                }
            }
        }
    }
    drop(start_toggling);
    toggling.join().expect("no panic");
}

#[test]
fn an_event_that_the_rate_limit_delays_is_delivered_when_its_time_has_come() {
    let server = start();
    let mut client = Client::connect(&server.path);
    for device in ["1", "2"] {
        let data = json!({"qom-path": "/disk", "device": device, "reason": "eio", "action": "report"});
        server.machine.emit("BLOCK_IO_ERROR", Some(data));
    }
    assert_eq!(client.receive()["data"]["device"], "1");
    assert_eq!(client.receive()["data"]["device"], "2");
}
