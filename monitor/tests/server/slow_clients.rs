//! Clients that do not read: they cost bounded memory, and nobody else any time.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::client::Client;
use crate::machine::start;

#[test]
fn a_client_that_only_writes_delays_no_other() {
    let server = start();
    let mut writer = Client::connect(&server.path);
    writer.stream.set_nonblocking(true).expect("flag");
    let requests = json!({"execute": "query-text", "arguments": {"length": 10_000}}).to_string().repeat(100);
    let refused = (0..10_000).find_map(|_| writer.stream.write_all(requests.as_bytes()).err());
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::WouldBlock), "its requests are not read any more");

    let mut other = Client::connect(&server.path);
    for id in 0..100 {
        other.request("query-status", id);
        assert_eq!(other.until(id), [id.to_string()]);
    }
}

#[test]
fn a_client_that_reads_late_misses_one_stretch_of_events_and_is_told() {
    let server = start();
    let (mut late, mut prompt) = (Client::connect(&server.path), Client::connect(&server.path));
    let machine = Arc::clone(&server.machine);
    let emit = move |number: u32| machine.emit("NUMBER", Some(json!({"number": number, "padding": "x".repeat(900)})));
    let number = |message: &Value| message["data"]["number"].as_u64();

    let emitted = 10_000;
    let emitting = thread::spawn(move || {
        for number in 0..emitted {
            emit(number);
        }
        emit
    });
    let mut heard = 0;
    while heard < 2_000 {
        heard += u64::from(number(&prompt.receive()).is_some());
    }
    let emit = emitting.join().expect("no panic");

    let mut seen = 0;
    late.request("query-status", 1);
    loop {
        let message = late.receive();
        match number(&message) {
            Some(number) => {
                assert_eq!(number, seen, "before the gap, every event");
                seen += 1;
            }
            None => {
                assert_eq!(message["event"], "MONITOR_EVENTS_LOST");
                assert_eq!(message["data"], json!({"count": u64::from(emitted) - seen, "names": ["NUMBER"]}));
                break;
            }
        }
    }
    assert_eq!(late.receive()["id"], 1);
    emit(emitted);
    assert!((500..5_000).contains(&seen), "{seen} events were kept");
    assert_eq!(number(&late.receive()), Some(emitted.into()));
}

#[test]
fn a_reply_larger_than_any_buffer_arrives_whole() {
    let server = start();
    let mut client = Client::connect(&server.path);
    for length in [0, 100_000, 5_000_000] {
        let reply = client.execute(&json!({"execute": "query-text", "arguments": {"length": length}}));
        assert_eq!(reply["return"].as_str().map(str::len), Some(length));
    }
}
