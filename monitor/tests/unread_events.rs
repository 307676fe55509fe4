//! A million events while nobody reads: alone in its program, because the memory that is measured is the process's.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod memory;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use monitor::{Access, Address, Options, Server, Version};
use qapi_schema::common::Timestamp;
use qapi_schema::run_state::event::Resume;
use qapi_schema::{CommandTable, EventSink};
use serde_json::Value;

const CLIENTS: usize = 4;
const EVENTS: u64 = 1_000_000;

#[test]
fn a_million_events_that_nobody_reads_cost_bounded_memory_and_are_counted() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("qmp");
    let mut server = Server::new(&Version::of_package("test")).expect("descriptors");
    server.listen(&Address::Unix(path.clone()), &Access::default()).expect("a free path");
    let (broadcaster, handle) = (server.broadcaster(), server.handle());
    let running = server.spawn(Arc::new(CommandTable::default())).expect("a thread");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).expect("it listens");
            stream.write_all(b"{'execute': 'qmp_capabilities'}").expect("connected");
            let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a message"));
            assert!(lines.next().is_some_and(|line| line.starts_with("{\"QMP\"")));
            assert_eq!(lines.next().as_deref(), Some("{\"return\": {}}"));
            lines
        })
        .collect();

    let before = memory::resident();
    for number in 0..EVENTS {
        broadcaster.emit(Timestamp { seconds: 0, microseconds: number as i64 }, &Resume);
    }
    // What is queued, and what is taken to be written, each with room to grow.
    let bound = CLIENTS * 4 * Options::default().outbuf;
    let grown = memory::resident().saturating_sub(before);
    assert!(grown < bound, "{grown} bytes for {CLIENTS} clients");

    for lines in clients {
        let mut accounted = 0;
        for line in lines {
            let message: Value = serde_json::from_str(&line).expect("JSON");
            match message["data"]["count"].as_u64() {
                None => {
                    assert_eq!(message["timestamp"]["microseconds"], accounted, "every event before the gap");
                    accounted += 1;
                }
                Some(lost) => {
                    assert_eq!(message["event"], "MONITOR_EVENTS_LOST");
                    accounted += lost;
                }
            }
            if accounted == EVENTS {
                break;
            }
        }
        assert_eq!(accounted, EVENTS);
    }
    handle.shutdown();
    running.join().expect("no panic").expect("no error");
}
