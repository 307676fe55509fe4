//! A server in a process that has run out of descriptors. In a process of its own, because all threads share them.

#![allow(clippy::expect_used, clippy::panic, reason = "a test panics to say what is wrong")]

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use block::disk::Disk;
use block::nbd::client::Client;
use block::nbd::server::{Limits, Server};
use block::nbd::{Access, Address, ExportOptions};
use block::request::{Client as Guest, Request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

struct Nothing;

impl Disk for Nothing {
    fn submit(&self, request: Request) {
        request.complete(Ok(Vec::new()));
    }

    fn cancel(&self, _: &Guest) {}

    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_only(&self) -> bool {
        false
    }
}

#[test]
fn clients_are_served_again_when_descriptors_are_free_again() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("nbd.sock");
    let address = Address::Unix(path.clone());
    let server =
        Server::start(&address, &Access::default(), Limits { connections: None, ..Limits::default() }).expect("starts");
    let options = ExportOptions { name: "disk".into(), description: None, writable: true, writethrough: false };
    assert!(server.add(options, Arc::new(Nothing), || ()));
    let limit = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("limited");

    let mut clients = Vec::new();
    let exhausted = loop {
        match UnixStream::connect(&path) {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(exhausted.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    drop(clients);
    let mut client = loop {
        // Until the others have been dismissed.
        if let Ok(client) = Client::connect(&address, "disk") {
            break client;
        }
        thread::yield_now();
    };
    client.flush().expect("is served");
}
