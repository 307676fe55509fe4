//! Bytes on a QMP socket that are no requests.

use std::io::Write;
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::support::daemon::Daemon;
use crate::support::qmp::QmpClient;

const MIB: usize = 1 << 20;

fn daemon() -> Daemon {
    Daemon::start(tempfile::tempdir().expect("a directory"), &[""; 0]).expect("a daemon")
}

/// A client that has negotiated says `input`. Returns the descriptions of the errors that it gets before the answer to
/// a request after it, which must come.
fn say(daemon: &Daemon, input: &[u8]) -> Vec<String> {
    let mut client = QmpClient::connect(&daemon.qmp_socket()).expect("a client");
    client.send(input).expect("it is taken");
    client.send(b"{\"execute\": \"query-status\", \"id\": \"after\"}").expect("it is taken");
    let mut errors = Vec::new();
    loop {
        let message = client.receive().expect("an answer");
        let Some(desc) = message["error"]["desc"].as_str() else {
            assert_eq!(message, json!({"return": {"running": true, "status": "running"}, "id": "after"}));
            return errors;
        };
        errors.push(desc.to_owned());
    }
}

/// Another client, who said nothing wrong, is served.
fn goes_on(daemon: Daemon) {
    assert_eq!(say(&daemon, b""), [""; 0]);
    let mut daemon = daemon;
    daemon.terminate();
    daemon.wait().expect("a clean end");
}

#[test]
fn each_malformed_request_is_one_error() {
    let daemon = daemon();
    for (input, desc) in [
        ("nonsense\n", "JSON parse error, invalid keyword 'nonsense'"),
        ("{\"execute\": }", "JSON parse error, expecting value"),
        ("{\"execute\" \"stop\"}", "JSON parse error, missing : in object pair"),
        ("{1: 2}", "JSON parse error, key is not a string in object"),
        ("\"stop\"", "QMP input must be a JSON object"),
    ] {
        assert_eq!(say(&daemon, input.as_bytes()), [desc], "{input}");
    }
    goes_on(daemon);
}

#[test]
fn brackets_nested_too_deeply_are_refused() {
    let daemon = daemon();
    for bracket in ["[", "{\"a\":"] {
        // What is left of them is closed by a byte that can't be in JSON.
        let errors = say(&daemon, format!("{}\u{1}", bracket.repeat(1_100)).as_bytes());
        assert_eq!(errors.first().map(String::as_str), Some("JSON nesting depth limit exceeded"), "{errors:?}");
    }
    goes_on(daemon);
}

#[test]
fn ten_mebibytes_without_an_end_are_refused_or_waited_out() {
    let daemon = daemon();
    let word = "a".repeat(10 * MIB);
    assert_eq!(say(&daemon, (word.clone() + "\n").as_bytes()).len(), 1);
    assert_eq!(say(&daemon, " ".repeat(10 * MIB).as_bytes()), [""; 0]);
    assert_eq!(say(&daemon, format!("{{\"execute\": \"{word}\"}}").as_bytes()).len(), 1);
    assert_eq!(say(&daemon, format!("{{\"{word}\": 1}}").as_bytes()).len(), 1);
    goes_on(daemon);
}

#[test]
fn a_request_beyond_the_limit_of_size_is_refused_and_what_follows_understood() {
    let daemon = daemon();
    for (before, after) in [("{\"execute\": \"", "\"}"), ("[", ""), ("{\"a\": [\"", "\"]}")] {
        let mut input = before.as_bytes().to_vec();
        input.resize(65 * MIB, b'7');
        input.extend_from_slice(after.as_bytes());
        // Whatever is left open is forgotten.
        input.extend_from_slice(b"\n\xff\n");
        let errors = say(&daemon, &input);
        assert_eq!(errors.first().map(String::as_str), Some("JSON token size limit exceeded"), "{before}");
    }
    goes_on(daemon);
}

#[test]
fn garbage_is_refused_and_what_follows_understood() {
    let daemon = daemon();
    for seed in 0..16 {
        let mut garbage = noise(seed, 4096);
        // Closes strings and brackets that it may have opened: a control character, and a byte that is never in JSON.
        garbage.extend_from_slice(b"\n\xff");
        assert!(!say(&daemon, &garbage).is_empty(), "seed {seed}");
    }
    goes_on(daemon);
}

#[test]
fn a_client_that_leaves_in_the_middle_takes_nothing_with_it() {
    let daemon = daemon();
    for input in ["", "{", "{\"execute\": \"stop\"", "{\"execute\": \"sto", "\u{0}\u{1}", "\"\\u"] {
        let mut stream = UnixStream::connect(daemon.qmp_socket()).expect("a connection");
        stream.write_all(input.as_bytes()).expect("it is taken");
    }
    goes_on(daemon);
}

#[test]
fn a_client_that_asks_and_does_not_read_harms_nobody() {
    let daemon = daemon();
    let mut deaf = UnixStream::connect(daemon.qmp_socket()).expect("a connection");
    deaf.set_nonblocking(true).expect("a socket");
    let mut told = 0;
    // Until nothing more is taken from it.
    while let Ok(taken) = deaf.write(b"{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"query-commands\"}\n") {
        told += taken;
        assert!(told < 64 * MIB, "{told} bytes of a client that does not read were taken");
    }
    goes_on(daemon);
}

/// Bytes that repeat nothing and are the same in each run (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}
