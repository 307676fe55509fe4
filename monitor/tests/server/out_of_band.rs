//! While a command hangs, a client can still ask.

use std::io::{ErrorKind, Read, pipe};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::client::Client;
use crate::machine::start;

#[test]
fn a_client_asks_while_its_command_hangs() {
    let server = start();
    let mut client = Client::connect_with_oob(&server.path);
    client.request("slow", 1);
    server.gate.wait();
    client.request("query-status", 2);
    client.send("{'execute' 'x'}");
    client.request_oob("query-status", 3);
    assert_eq!(client.receive(), json!({"return": {"running": true}, "id": 3}));
    server.machine.set_running(false);
    client.request_oob("query-status", 4);
    assert_eq!(client.until(4), ["STOP", "4"]);
    client.request_oob("stop", 5);
    assert_eq!(client.receive()["error"]["desc"], "The command stop does not support OOB");

    server.gate.open();
    assert_eq!(client.until(2), ["1", "2"]);
    assert_eq!(client.receive()["error"]["desc"], "JSON parse error, missing : in object pair");
}

#[test]
fn with_eight_in_flight_it_is_still_read_and_with_nine_not() {
    let server = start();
    let mut client = Client::connect_with_oob(&server.path);
    client.request("slow", 0);
    server.gate.wait();
    for id in 1..8 {
        client.request("query-status", id);
    }
    client.request_oob("query-status", 100);
    assert_eq!(client.until(100), ["100"]);

    client.request("query-status", 8);
    client.request_oob("query-status", 101);
    // Whatever else the server serves, it does not read this client. It has seen the requests when others are answered.
    let mut other = Client::connect(&server.path);
    other.request("query-status", 1);
    other.until(1);
    client.stream.set_nonblocking(true).expect("flag");
    let nothing = client.stream.read(&mut [0]).expect_err("no answer");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).expect("flag");

    server.gate.open();
    let expected = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "101"];
    let answered = client.until(101);
    assert_eq!(answered.len(), expected.len());
    let in_band: Vec<_> = answered.iter().filter(|id| *id != "101").collect();
    assert_eq!(in_band, &expected[..9]);
}

#[test]
fn what_waits_is_run_for_a_client_that_has_said_all() {
    let server = start();
    let mut client = Client::connect_with_oob(&server.path);
    client.request("slow", 1);
    client.request("stop", 2);
    client.request("slow", 3);
    client.request("cont", 4);
    client.request_oob("query-status", 5);
    client.end_output();
    assert_eq!(client.until(5), ["5"]);
    for _ in 0..2 {
        server.gate.wait();
        server.gate.open();
    }
    assert_eq!(client.until(4), ["1", "STOP", "2", "3", "RESUME", "4"]);
    assert!(client.receive().is_null());
}

#[test]
fn a_server_that_ends_answers_what_runs_and_forgets_what_waits() {
    let mut server = start();
    let mut client = Client::connect_with_oob(&server.path);
    client.request("slow", 1);
    client.request("stop", 2);
    client.request_oob("query-status", 3);
    assert_eq!(client.until(3), ["3"]);
    server.gate.wait();
    server.handle.shutdown();
    server.gate.open();
    assert_eq!(client.until(1), ["1"]);
    assert!(client.receive().is_null());
    server.join();
    assert!(server.machine.is_running());
}

/// Keeps a descriptor under this name.
fn getfd(name: &str) -> String {
    json!({"execute": "getfd", "arguments": {"fdname": name}, "id": name}).to_string()
}

/// A client that does not wait for its answers hands over one descriptor with each request, and each keeps its own.
#[test]
fn descriptors_are_those_of_the_request_that_they_came_with() {
    let server = start();
    let mut client = Client::connect_with_oob(&server.path);
    client.request("slow", 0);
    server.gate.wait();
    let names = ["a", "b", "c", "d"];
    let mut readers: Vec<_> = names
        .iter()
        .map(|name| {
            let (reader, writer) = pipe().expect("a pipe");
            client.send_with(&getfd(name), writer.into());
            reader
        })
        .collect();
    client.send(getfd("without"));
    client.request_oob("query-status", 1);
    assert_eq!(client.until(1), ["1"]);
    server.gate.open();
    for id in [json!(0), json!("a"), json!("b"), json!("c"), json!("d")] {
        assert_eq!(client.receive(), json!({"return": {}, "id": id}));
    }
    let refused = client.receive();
    assert_eq!(refused["error"]["desc"], "No file descriptor supplied via SCM_RIGHTS", "{refused}");

    for name in names {
        let request = json!({"execute": "closefd", "arguments": {"fdname": name}});
        assert_eq!(client.execute(&request), json!({"return": {}}));
        // Now the other end of this pipe is closed, and of none that is still kept.
        assert_eq!(readers.remove(0).read(&mut [0]).expect("the end"), 0);
        for reader in &readers {
            let mut fds = [PollFd::new(reader, PollFlags::IN)];
            assert_eq!(poll(&mut fds, Some(&Timespec::default())), Ok(0), "closed with {name}");
        }
    }
}
