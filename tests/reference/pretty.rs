//! Messages for people, byte for byte.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::pair::Pair;
use crate::support::DEADLINE;

/// Requests with the same answer on both sides, which the order of members in QEMU's tables does not change.
const REQUESTS: &[&str] = &[
    "{'execute': 'query-version', 'id': [1, {}, [], {'a': 'b, {}[\\\"'}, null, '\\u00e4']}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}, 'id': {'a': {'b': []}}}",
    "{'execute': 'query-block-exports'}",
    "{'execute': 'query-block-exports', 'id': ''}",
    "{'execute': 'nonsense', 'id': 7}",
    "{'exec-oob': 'query-version'}",
    "@@ {}",
];

/// All that a client with these requests is sent.
fn bytes(socket: &Path) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut bytes = Vec::new();
    // One by one, for what is executed out-of-band overtakes; after the greeting.
    for (answered, request) in (1..).zip(REQUESTS) {
        read_messages(&mut stream, &mut bytes, answered);
        stream.write_all(request.as_bytes()).expect("it is taken");
    }
    // One more error than requests.
    read_messages(&mut stream, &mut bytes, REQUESTS.len() + 2);
    let text = String::from_utf8(bytes).expect("ASCII");
    let package = text.split("\"package\": ").nth(1).and_then(|text| text.split("\r\n").next()).expect("a greeting");
    text.replacen(package, "...", 1)
}

/// Reads on until there are so many messages.
fn read_messages(stream: &mut UnixStream, bytes: &mut Vec<u8>, count: usize) {
    while bytes.windows(5).filter(|end| end == b"\r\n}\r\n").count() < count {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).expect("more in time");
        assert!(length > 0, "{}", String::from_utf8_lossy(bytes));
        bytes.extend_from_slice(&buffer[..length]);
    }
}

#[test]
fn pretty_messages_are_the_same_bytes() {
    let Some(pair) = Pair::start("chardev=qmp,pretty=on") else { return };
    assert_eq!(bytes(&pair.ours.qmp_socket()), bytes(&pair.reference.qmp_socket()));
    pair.end();
}
