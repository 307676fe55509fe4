//! Input that is none: each has an error, and the session goes on.

use std::io::Write;
use std::thread;

use serde_json::json;

use crate::client::Client;
use crate::machine::start;

/// Sends `input` and counts the errors up to the reply of a request after it.
fn errors(input: &[u8]) -> usize {
    let server = start();
    let mut client = Client::connect(&server.path);
    let mut writer = client.stream.try_clone().expect("descriptor");
    let input = [input, b"\xFF{'execute': 'query-status', 'id': 7}"].concat();
    let writing = thread::spawn(move || writer.write_all(&input));
    let mut errors = 0;
    loop {
        let message = client.receive();
        if message["id"] == json!(7) {
            assert_eq!(message["return"], json!({"running": true}));
            writing.join().expect("no panic").expect("connected");
            // One is that of the 0xFF.
            return errors - 1;
        }
        assert_eq!(message["error"]["class"], "GenericError");
        errors += 1;
    }
}

#[test]
fn a_line_of_ten_mebibytes_is_one_error() {
    assert_eq!(errors(&[b'a'; 10 << 20]), 1);
    assert_eq!(errors(&[[b'a'; 10 << 20].as_slice(), b"\n"].concat()), 1);
    assert_eq!(errors(&[[b'@'; 10 << 20].as_slice(), b"\n"].concat()), 1);
}

#[test]
fn a_string_of_ten_mebibytes_is_echoed() {
    let server = start();
    let mut client = Client::connect(&server.path);
    let id = "x".repeat(10 << 20);
    let request = json!({"execute": "query-status", "id": id}).to_string();
    let mut writer = client.stream.try_clone().expect("descriptor");
    let writing = thread::spawn(move || writer.write_all(request.as_bytes()));
    assert_eq!(client.receive()["id"].as_str().map(str::len), Some(10 << 20));
    writing.join().expect("no panic").expect("connected");
}

#[test]
fn an_id_nested_to_the_limit_is_echoed() {
    let server = start();
    let mut client = Client::connect(&server.path);
    let id = "[".repeat(1023) + &"]".repeat(1023);
    client.send(format!("{{'execute': 'query-status', 'id': {id}}}"));
    assert_eq!(client.receive_line(), format!("{{\"return\": {{\"running\": true}}, \"id\": {id}}}"));
}

#[test]
fn brackets_beyond_the_limit_are_refused_once() {
    assert_eq!(errors(&b"[".repeat(1024)), 0);
    assert_eq!(errors(&b"[".repeat(1100)), 1);
    assert_eq!(errors(&b"{'a':".repeat(1025)), 3, "and one for each token that now stands alone");
}

#[test]
fn a_flood_of_errors_is_answered_to_a_client_that_reads() {
    assert_eq!(errors(&[0; 100_000]), 100_000);
    assert_eq!(errors(&b"}".repeat(50_000)), 50_000);
}

#[test]
fn half_a_request_is_forgotten_with_its_client() {
    let server = start();
    for cut in 1..40 {
        let request = b"{'execute': 'qmp_capabilities', 'id': 1}";
        Client::greeted(&server.path).send(&request[..cut]);
    }
    let mut client = Client::connect(&server.path);
    client.request("query-status", 1);
    assert_eq!(client.until(1), ["1"]);
}
