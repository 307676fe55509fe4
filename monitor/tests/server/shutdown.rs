//! The end: what was said still arrives.

use serde_json::json;

use crate::client::Client;
use crate::machine::start;

#[test]
fn quit_is_answered_then_everybody_hears_of_the_end_and_then_it_is() {
    let mut server = start();
    let (mut quitter, mut other) = (Client::connect(&server.path), Client::connect(&server.path));
    let mut silent = Client::greeted(&server.path);
    quitter.request("quit", 1);
    assert_eq!(quitter.until(1), ["1"]);
    for client in [&mut quitter, &mut other] {
        let event = client.receive();
        assert_eq!(event["event"], "SHUTDOWN");
        assert_eq!(event["data"]["reason"], "host-qmp-quit");
        assert!(client.receive().is_null());
    }
    assert!(silent.receive().is_null());
    server.join();
}

#[test]
fn what_is_queued_arrives_although_more_was_sent_than_is_ever_run() {
    let mut server = start();
    let mut client = Client::connect(&server.path);
    client.request("slow", 1);
    server.gate.wait();
    client.send(json!({"execute": "query-status"}).to_string().repeat(100));
    server.machine.emit("SHUTDOWN", None);
    server.handle.shutdown();
    server.gate.open();
    assert_eq!(client.until(1), ["SHUTDOWN", "1"]);
    assert!(client.receive().is_null());
    server.join();
}

#[test]
fn clients_that_do_not_read_do_not_prevent_the_end() {
    let mut server = start();
    let _late = Client::connect(&server.path);
    for _ in 0..1_000 {
        server.machine.emit("TEXT", Some(json!({"text": "x".repeat(1_000)})));
    }
    server.handle.shutdown();
    server.join();
}

#[test]
fn a_command_that_never_ends_does_not_prevent_the_end() {
    let mut server = start();
    let mut client = Client::connect(&server.path);
    client.request("slow", 1);
    server.gate.wait();
    server.handle.shutdown();
    server.join();
    assert!(client.receive().is_null());
    server.gate.open();
}
