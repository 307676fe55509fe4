//! More clients than are served.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use monitor::Options;
use serde_json::{Value, json};

use crate::client::{Client, PATIENCE};
use crate::machine::{start, start_limited};

/// What a client is told before it says anything, and whether it is left then.
fn first_words(stream: UnixStream) -> (Value, bool) {
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream));
    let words = lines.next().expect("words").expect("in time");
    let words: Value = serde_json::from_str(&words).expect("JSON");
    let is_left = words["error"].is_object() && lines.next().is_none();
    (words, is_left)
}

#[test]
fn a_client_too_many_is_told_and_left_and_the_others_are_served() {
    let server = start_limited(Options { max_clients: 3, ..Options::default() });
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(&server.path)).collect();
    for _ in 0..50 {
        let mut refused = UnixStream::connect(&server.path).expect("it listens");
        // What it says at once is not in the way of what it is told.
        let _ = refused.write_all(b"{'execute': 'qmp_capabilities'}");
        let desc = "Too many clients: this monitor serves 3 at a time";
        let expected = json!({"error": {"class": "GenericError", "desc": desc}});
        assert_eq!(first_words(refused), (expected, true));
    }
    for (id, client) in (0..).zip(&mut clients) {
        client.request("query-status", id);
        assert_eq!(client.until(id), [id.to_string()]);
    }

    // Once the server has seen a client leave, there is room for another.
    let leaving = clients.pop().expect("a client");
    leaving.stream.shutdown(Shutdown::Both).expect("connected");
    loop {
        let stream = UnixStream::connect(&server.path).expect("it listens");
        if first_words(stream.try_clone().expect("descriptor")).0["QMP"].is_object() {
            break;
        }
    }
}

#[test]
fn clients_that_send_byte_by_byte_or_nothing_delay_no_other() {
    let server = start();
    let mut slow: Vec<_> = (0..100).map(|_| Client::greeted(&server.path)).collect();
    let mut prompt = Client::connect(&server.path);
    let request = b"{'execute': 'qmp_capabilities'}";
    for (id, byte) in (0..).zip(request) {
        for client in &mut slow {
            client.send([*byte]);
        }
        prompt.request("query-status", id);
        assert_eq!(prompt.until(id), [id.to_string()]);
    }
    for client in &mut slow {
        assert_eq!(client.receive(), json!({"return": {}}));
    }
}

#[test]
fn clients_that_vanish_in_a_command_or_a_reply_leave_room_for_others() {
    let server = start_limited(Options { max_clients: 30, ..Options::default() });
    let mut vanishing = Vec::new();
    for id in 0..10 {
        let mut in_a_reply = Client::connect(&server.path);
        let text = json!({"execute": "query-text", "arguments": {"length": 500_000}});
        in_a_reply.send(text.to_string());
        let mut half_said = Client::connect(&server.path);
        half_said.send("{'execute': 'query-sta");
        let mut in_a_command = Client::connect(&server.path);
        in_a_command.request("slow", id);
        server.gate.wait();
        vanishing.extend([in_a_reply, half_said, in_a_command]);
    }
    drop(vanishing);
    for _ in 0..10 {
        server.gate.open();
    }

    // The server has seen all of them leave when there is room for as many as ever.
    let mut clients = Vec::new();
    while clients.len() < 30 {
        let stream = UnixStream::connect(&server.path).expect("it listens");
        if first_words(stream.try_clone().expect("descriptor")).0["QMP"].is_object() {
            clients.push(stream);
        }
    }
}
