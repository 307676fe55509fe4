//! What a well-behaved client gets.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Barrier};

use block::disk::Disk;
use block::nbd::client::{Client, ClientError};
use block::nbd::protocol::{NBD_CMD_FLAG_FUA, NBD_CMD_TRIM, NbdError};
use block::nbd::server::{Limits, Server};
use block::nbd::transmission::{ReplyHeader, RequestHeader};
use block::nbd::{Access, Address, ExportOptions};
use block::request::{Client as Guest, Operation, Request};

use crate::disk::{Asked, Full, Memory};
use crate::server::{TestServer, writable};

const MIB: usize = 1 << 20;

#[test]
fn every_operation_reaches_the_disk_and_is_answered() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let mut client = server.connect();
    assert_eq!(client.terms().size, MIB as u64);
    client.write(4096, b"hello").expect("written");
    assert_eq!(client.read(4095, 7).expect("read"), b"\0hello\0");
    client.write_zeroes(4096, 2, true).expect("zeroed");
    client.write_zeroes(4098, 1, false).expect("zeroed");
    client.trim(0, 4096).expect("trimmed");
    client.flush().expect("flushed");
    assert_eq!(&disk.content()[4095..4102], b"\0\0\0\0lo\0");
    let zeroes = |unmap| Asked::WriteZeroes { fua: false, unmap };
    let write = Asked::Write { fua: false };
    assert_eq!(disk.asked(), [write, Asked::Read, zeroes(true), zeroes(false), Asked::Discard, Asked::Flush]);
    client.disconnect().expect("said");
}

#[test]
fn payloads_of_every_size_arrive_whole() {
    let disk = Memory::new(40 * MIB);
    let server = TestServer::serving(&disk);
    let mut client = server.connect();
    for size in [1, 511, 4096, 32 << 10, (32 << 10) + 1, 65_535, 65_537, MIB, 32 * MIB] {
        let data: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        client.write(7, &data).expect("written");
        assert!(client.read(7, size).expect("read") == data, "{size} bytes differ");
    }
}

#[test]
fn fua_reaches_the_disk_and_a_trim_with_it_is_followed_by_a_flush() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let mut client = server.connect();
    client.execute(&Operation::Write { offset: 0, data: vec![1], fua: true }).expect("written");
    client.execute(&Operation::WriteZeroes { offset: 0, length: 1, fua: true, unmap: true }).expect("zeroed");
    assert_eq!(disk.asked(), [Asked::Write { fua: true }, Asked::WriteZeroes { fua: true, unmap: true }]);

    let mut stream = server.connect_raw_to("disk");
    let trim = RequestHeader { flags: NBD_CMD_FLAG_FUA, command: NBD_CMD_TRIM, cookie: 5, offset: 0, length: 1 };
    stream.write_all(&trim.encode()).expect("sent");
    let mut reply = [0; ReplyHeader::SIZE];
    stream.read_exact(&mut reply).expect("answered");
    assert_eq!(ReplyHeader::decode(&reply), Some(ReplyHeader { cookie: 5, result: Ok(()) }));
    assert_eq!(disk.asked(), [Asked::Discard, Asked::Flush]);
}

#[test]
fn writethrough_makes_every_write_a_durable_one() {
    let disk = Memory::new(MIB);
    let server = TestServer::new();
    server.offer_as(ExportOptions { writethrough: true, ..writable("disk") }, &disk);
    let mut client = server.connect();
    client.write(0, b"x").expect("written");
    client.write_zeroes(0, 1, true).expect("zeroed");
    client.read(0, 1).expect("read");
    assert_eq!(disk.asked(), [Asked::Write { fua: true }, Asked::WriteZeroes { fua: true, unmap: true }, Asked::Read]);
}

#[test]
fn a_read_only_export_is_read_only_whatever_the_reason() {
    let server = TestServer::new();
    server.offer("read-only-disk", &Memory::read_only(MIB));
    server.offer_as(ExportOptions { writable: false, ..writable("read-only-export") }, &Memory::new(MIB));
    for name in ["read-only-disk", "read-only-export"] {
        let mut client = server.connect_to(name).expect("connects");
        assert!(client.terms().read_only);
        let refused = client.write(0, b"x").expect_err("is refused");
        assert!(matches!(refused, ClientError::Request(NbdError::Permission)), "{refused}");
        client.read(0, 1).expect("goes on");
    }
}

#[test]
fn a_refused_request_is_answered_and_its_payload_taken_off_the_stream() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let mut client = server.connect();
    for (offset, size) in [(MIB as u64, 1), (0, MIB + 1), (u64::MAX, 100_000)] {
        let refused = client.write(offset, &vec![1; size]).expect_err("is refused");
        assert!(matches!(refused, ClientError::Request(NbdError::NoSpace)), "{refused}");
    }
    let refused = client.read(MIB as u64, 1).expect_err("is refused");
    assert!(matches!(refused, ClientError::Request(NbdError::Invalid)), "{refused}");
    let refused = client.write(0, &vec![1; 33 * MIB]).expect_err("is refused");
    assert!(matches!(refused, ClientError::Request(NbdError::Invalid)), "{refused}");
    assert_eq!(disk.asked(), []);
    client.write(0, b"x").expect("goes on");
}

#[test]
fn an_unknown_export_is_refused_with_a_reason() {
    let server = TestServer::new();
    let refused = server.connect_to("disk").expect_err("is refused");
    assert!(matches!(&refused, ClientError::Refused(reason) if reason.contains("export")), "{refused}");
    server.offer("disk", &Memory::new(MIB));
    server.connect_to("disk").expect("is seen once it is there");
}

#[test]
fn connections_share_the_disk() {
    let server = TestServer::serving(&Memory::new(MIB));
    let (mut one, mut other) = (server.connect(), server.connect());
    one.write(0, b"shared").expect("written");
    assert_eq!(other.read(0, 6).expect("read"), b"shared");
}

#[test]
fn several_exports_are_kept_apart() {
    let server = TestServer::new();
    let disks = ["a", "b", ""].map(|name| {
        let disk = Memory::new(MIB);
        server.offer(name, &disk);
        server.connect_to(name).expect("connects").write(0, format!("<{name}>").as_bytes()).expect("written");
        disk
    });
    let starts = disks.map(|disk| disk.content()[..3].to_vec());
    assert_eq!(starts, [b"<a>".to_vec(), b"<b>".to_vec(), b"<>\0".to_vec()]);
}

#[test]
fn tcp_clients_are_served_on_the_port_that_was_free() {
    let address = Address::inet("127.0.0.1", 0);
    let server = Server::start(&address, &Access::default(), Limits::default()).expect("starts");
    let disk: Arc<dyn Disk> = Memory::new(MIB);
    assert!(server.add(writable("disk"), disk, || ()));
    let [bound] = server.addresses() else { panic!("one address: {:?}", server.addresses()) };
    let mut client = Client::connect(bound, "disk").expect("connects");
    client.write(0, &vec![7; 100_000]).expect("written");
    assert_eq!(client.read(99_999, 2).expect("read"), [7, 0]);
}

#[test]
fn replies_come_in_the_order_of_the_answers_and_each_to_its_request() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let (mut submitter, mut replies) = server.connect().split();
    let mut expected = HashMap::new();
    for at in 0..100 {
        disk_write(&disk, at);
        let cookie = submitter.submit(&Operation::Read { offset: at, length: 1 }).expect("submitted");
        expected.insert(cookie, vec![at as u8]);
    }
    for _ in 0..100 {
        let reply = replies.next_reply().expect("answered");
        assert_eq!(Some(reply.result.expect("read")), expected.remove(&reply.cookie));
    }
}

fn disk_write(disk: &Arc<Memory>, at: u64) {
    let operation = Operation::Write { offset: at, data: vec![at as u8], fua: false };
    disk.submit(Request::new(Guest::default(), operation, |answer| assert!(answer.is_ok())));
}

/// A disk that does nothing before it has 16 requests to do at once.
struct Slow(Barrier);

impl Disk for Slow {
    fn submit(&self, request: Request) {
        self.0.wait();
        request.complete(Ok(Vec::new()));
    }

    fn cancel(&self, _: &Guest) {}

    fn length(&self) -> io::Result<u64> {
        Ok(MIB as u64)
    }

    fn read_only(&self) -> bool {
        false
    }
}

#[test]
fn a_slow_disk_gets_sixteen_requests_at_once() {
    let server = TestServer::serving(&Arc::new(Slow(Barrier::new(16))));
    let (mut submitter, mut replies) = server.connect().split();
    for at in 0..160 {
        submitter.submit(&Operation::Write { offset: at, data: vec![0], fua: false }).expect("submitted");
    }
    for _ in 0..160 {
        replies.next_reply().expect("answered").result.expect("written");
    }
}

#[test]
fn a_request_that_is_held_does_not_keep_others_from_being_answered() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::serving(&disk);
    let (mut submitter, mut replies) = server.connect().split();
    let held = submitter.submit(&Operation::Write { offset: 0, data: vec![1], fua: false }).expect("submitted");
    disk.wait_for(1);
    for _ in 0..100 {
        let read = submitter.submit(&Operation::Read { offset: 0, length: 1 }).expect("submitted");
        assert_eq!(replies.next_reply().expect("answered").cookie, read);
    }
    disk.answer();
    assert_eq!(replies.next_reply().expect("answered").cookie, held);
}
