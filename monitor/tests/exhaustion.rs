//! A process without descriptors left: alone in its program, because the limit is the process's.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use monitor::{Access, Address, Server, Version};
use qapi_schema::CommandTable;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than the harness and the server need for themselves.
const DESCRIPTORS: u64 = 64;

fn round_trip(client: &UnixStream) -> String {
    let mut stream = client;
    stream.write_all(b"{'execute': 'nonsense'}").expect("connected");
    line(client)
}

fn line(client: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, client).read_line(&mut line).expect("an answer");
    line
}

#[test]
fn a_server_without_descriptors_serves_those_it_has_and_later_those_who_wait() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum }).expect("a lower limit");
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("qmp");
    let mut server = Server::new(&Version::of_package("test")).expect("descriptors");
    server.listen(&Address::Unix(path.clone()), &Access::default()).expect("a free path");
    let handle = server.handle();
    let running = server.spawn(Arc::new(CommandTable::default())).expect("a thread");

    let connect = || UnixStream::connect(&path).ok();
    let served = connect().expect("descriptors");
    assert!(line(&served).contains("QMP"));

    // No descriptor is left for the server's side of the last of these.
    let mut clients: Vec<_> = std::iter::from_fn(connect).collect();
    let waiting = clients.pop().expect("at least one");
    assert!(round_trip(&served).contains("Expecting capabilities negotiation"));

    drop(clients);
    assert!(line(&waiting).contains("QMP"));
    assert!(round_trip(&waiting).contains("Expecting capabilities negotiation"));
    assert!(round_trip(&served).contains("Expecting capabilities negotiation"));
    handle.shutdown();
    running.join().expect("no panic").expect("no error");
}
