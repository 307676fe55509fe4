//! Each client has a session of its own.

use serde_json::json;

use crate::client::Client;
use crate::machine::start;

#[test]
fn several_clients_negotiate_and_are_answered_independently() {
    let server = start();
    let mut clients: Vec<_> = (0..20).map(|_| Client::greeted(&server.path)).collect();
    for client in clients.iter_mut().skip(1) {
        client.negotiate();
    }
    for client in clients.iter_mut().skip(1) {
        assert_eq!(client.execute(&json!({"execute": "query-status", "id": 7})), {
            json!({"return": {"running": true}, "id": 7})
        });
    }
    let refused = clients[0].execute(&json!({"execute": "query-status"}));
    assert_eq!(refused["error"]["class"], "CommandNotFound");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = start();
    let mut client = Client::connect(&server.path);
    let requests: String = (0..10_000).map(|id| json!({"execute": "query-status", "id": id}).to_string()).collect();
    let mut writer = client.stream.try_clone().expect("descriptor");
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, requests.as_bytes()));
    for id in 0..10_000 {
        assert_eq!(client.receive()["id"], json!(id));
    }
    writing.join().expect("no panic").expect("connected");
}

#[test]
fn a_command_that_blocks_holds_up_its_own_session_only() {
    let server = start();
    let (mut blocked, mut other) = (Client::connect(&server.path), Client::connect(&server.path));
    blocked.request("slow", 1);
    blocked.request("stop", 2);
    blocked.request("query-status", 3);
    server.gate.wait();
    other.request("cont", 4);
    other.request("query-status", 5);
    assert_eq!(other.until(5), ["4", "5"]);

    server.gate.open();
    assert_eq!(blocked.until(3), ["1", "STOP", "2", "3"]);
    assert_eq!(other.receive()["event"], "STOP");
}

#[test]
fn a_command_that_hangs_delays_no_other_session_s() {
    let server = start();
    let (mut first, mut second) = (Client::connect(&server.path), Client::connect(&server.path));
    first.request("slow", 1);
    server.gate.wait();
    second.request("slow", 2);
    server.gate.wait();
    server.gate.open();
    server.gate.open();
    assert_eq!(first.until(1), ["1"]);
    assert_eq!(second.until(2), ["2"]);
}

#[test]
fn with_many_commands_that_hang_the_next_ones_are_run_all_the_same() {
    let server = start();
    let mut clients: Vec<_> = (0..40).map(|_| Client::connect(&server.path)).collect();
    for client in &mut clients {
        client.request("slow", 1);
    }
    for _ in 0..40 {
        server.gate.wait();
    }
    let mut other = Client::connect(&server.path);
    other.request("query-status", 2);
    assert_eq!(other.until(2), ["2"]);
    for _ in 0..40 {
        server.gate.open();
    }
    for client in &mut clients {
        assert_eq!(client.until(1), ["1"]);
    }
}

#[test]
fn a_client_that_has_said_all_gets_its_answers_and_then_the_end() {
    let server = start();
    let mut client = Client::connect(&server.path);
    for id in 0..100 {
        client.request("query-status", id);
    }
    client.request("slow", 100);
    client.request("stop", 101);
    client.end_output();
    server.gate.wait();
    server.gate.open();
    assert_eq!(client.until(99).len(), 100);
    assert_eq!(client.until(101), ["100", "STOP", "101"]);
    assert!(client.receive().is_null());
}

#[test]
fn a_client_that_leaves_while_its_command_runs_disturbs_nobody() {
    let server = start();
    let mut leaving = Client::connect(&server.path);
    leaving.request("slow", 1);
    server.gate.wait();
    drop(leaving);
    let mut other = Client::connect(&server.path);
    other.request("query-status", 2);
    assert_eq!(other.until(2), ["2"]);
    server.gate.open();
    other.request("slow", 3);
    server.gate.wait();
    server.gate.open();
    assert_eq!(other.until(3), ["3"]);
}
