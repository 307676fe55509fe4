//! A thousand clients on one socket: alone in its program, because the memory that is measured is the process's.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod memory;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use monitor::{Access, Address, Server, Version};
use qapi_schema::common::Timestamp;
use qapi_schema::run_state::event::Resume;
use qapi_schema::{CommandTable, EventSink};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CLIENTS: usize = 1_000;
const EVENTS: usize = 20;

/// Takes a line without keeping memory for it.
fn line(mut stream: &UnixStream) -> Vec<u8> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).expect("a message in time");
        line.extend(byte);
    }
    line
}

#[test]
fn a_thousand_clients_cost_little_and_get_every_event() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a higher limit");
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("qmp");
    let mut server = Server::new(&Version::of_package("test")).expect("descriptors");
    server.listen(&Address::Unix(path.clone()), &Access::default()).expect("a free path");
    let (broadcaster, handle) = (server.broadcaster(), server.handle());
    let running = server.spawn(Arc::new(CommandTable::default())).expect("a thread");

    let connect = |_| {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        assert!(line(&stream).starts_with(b"{\"QMP\""));
        stream.write_all(b"{'execute': 'qmp_capabilities'}").expect("connected");
        assert_eq!(line(&stream), b"{\"return\": {}}\r\n");
        stream
    };
    // What the first clients cost includes what is allocated once.
    let mut clients: Vec<_> = (0..CLIENTS / 10).map(connect).collect();
    let before = memory::resident();
    clients.extend((clients.len()..CLIENTS).map(connect));
    let each = memory::resident().saturating_sub(before) / (CLIENTS - CLIENTS / 10);
    assert!(each < 4 << 10, "{each} bytes per idle session");

    for number in 0..EVENTS {
        broadcaster.emit(Timestamp { seconds: 1, microseconds: number as i64 }, &Resume);
    }
    for client in &clients {
        let mut messages = BufReader::new(client).lines().take(EVENTS).map(|line| line.expect("a message in time"));
        for number in 0..EVENTS {
            let expected = format!("\"microseconds\": {number}}}, \"event\": \"RESUME\"");
            assert!(messages.next().is_some_and(|message| message.contains(&expected)));
        }
    }
    handle.shutdown();
    drop(clients);
    running.join().expect("no panic").expect("no error");
}
