//! Requests that are begun and not ended, by many clients: alone in its program, because the memory that is measured is
//! the process's.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod memory;

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use monitor::{Access, Address, Server, Version};
use qapi_schema::CommandTable;

const CLIENTS: usize = 4;

/// Takes eighty times as much memory as it has bytes.
const OBJECT: &str = "{'a':1},";
const OBJECTS: usize = 300_000;

/// What all clients may have begun, with room for how an allocator keeps it.
const BOUND: usize = (512 << 20) * 5 / 4;

#[test]
fn what_clients_have_begun_to_say_costs_bounded_memory_and_keeps_nobody_from_being_heard() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("qmp");
    let mut server = Server::new(&Version::of_package("test")).expect("descriptors");
    server.listen(&Address::Unix(path.clone()), &Access::default()).expect("a free path");
    let handle = server.handle();
    let running = server.spawn(Arc::new(CommandTable::default())).expect("a thread");

    let before = memory::resident();
    let begun = format!("[{}", OBJECT.repeat(OBJECTS));
    let clients = [(); CLIENTS].map(|()| {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        let mut told = stream.try_clone().expect("a second handle");
        // Whoever does not fit is told so, and then of each object.
        let reader = thread::spawn(move || io::copy(&mut told, &mut io::sink()));
        stream.write_all(begun.as_bytes()).expect("read");
        (stream, reader)
    });
    let grown = memory::resident().saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes for {CLIENTS} clients");

    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.write_all(b"{'execute': 'qmp_capabilities'}").expect("connected");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a message"));
    assert!(lines.next().is_some_and(|line| line.starts_with("{\"QMP\"")));
    assert_eq!(lines.next().as_deref(), Some("{\"return\": {}}"));

    handle.shutdown();
    running.join().expect("no panic").expect("no error");
    for (stream, reader) in clients {
        drop(stream);
        reader.join().expect("no panic").expect("read to the end");
    }
}
