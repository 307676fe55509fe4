//! What a client costs that asks for more than is answered, or does not listen.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use block::nbd::protocol::{NBD_CMD_DISC, NBD_CMD_FLUSH, NBD_CMD_READ};
use block::nbd::transmission::{ReplyHeader, RequestHeader};
use block::request::Operation;

use crate::disk::{Asked, Full, Memory};
use crate::server::TestServer;

const MIB: usize = 1 << 20;
/// Limits of one connection.
const REQUESTS: usize = 128;
const PAYLOAD: usize = 64 * MIB;

fn flush(cookie: u64) -> [u8; RequestHeader::SIZE] {
    RequestHeader { flags: 0, command: NBD_CMD_FLUSH, cookie, offset: 0, length: 0 }.encode()
}

fn disconnect() -> [u8; RequestHeader::SIZE] {
    RequestHeader { flags: 0, command: NBD_CMD_DISC, cookie: 0, offset: 0, length: 0 }.encode()
}

fn read(cookie: u64, length: usize) -> [u8; RequestHeader::SIZE] {
    RequestHeader { flags: 0, command: NBD_CMD_READ, cookie, offset: 0, length: length as u32 }.encode()
}

#[test]
fn no_more_than_128_requests_are_unanswered() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::serving(&disk);
    let (mut submitter, mut replies) = server.connect().split();
    for _ in 0..2 * REQUESTS {
        submitter.submit(&Operation::Flush).expect("submitted");
    }
    disk.wait_for(REQUESTS);
    for _ in 0..2 * REQUESTS {
        disk.answer();
        replies.next_reply().expect("answered").result.expect("flushed");
    }
    assert_eq!(disk.most(), REQUESTS);
}

/// It says farewell with more outstanding than may be unanswered, and listens only then.
#[test]
fn a_client_that_has_said_all_it_has_to_say_is_answered() {
    const LENGTH: usize = 64 << 10;
    let disk = Memory::new(LENGTH);
    let server = TestServer::serving(&disk);
    let mut stream = server.connect_raw_to("disk");
    for cookie in 0..2 * REQUESTS as u64 {
        stream.write_all(&read(cookie, LENGTH)).expect("sent");
    }
    stream.write_all(&disconnect()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("received");
    assert_eq!(received.len(), 2 * REQUESTS * (ReplyHeader::SIZE + LENGTH));
}

#[test]
fn no_more_than_64_mib_are_unanswered() {
    let disk = Full::new(PAYLOAD as u64);
    let server = TestServer::serving(&disk);
    let (mut submitter, mut replies) = server.connect().split();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..4 {
                let write = Operation::Write { offset: 0, data: vec![1; PAYLOAD / 2], fua: false };
                submitter.submit(&write).expect("submitted");
            }
        });
        disk.wait_for(2);
        for _ in 0..4 {
            disk.answer();
            replies.next_reply().expect("answered").result.expect("written");
        }
    });
    assert_eq!(disk.most(), 2);
}

#[test]
fn a_client_that_leaves_is_noticed_although_nothing_is_read_from_it() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::new();
    let gone = server.offer("disk", &disk);
    let mut stream = server.connect_raw_to("disk");
    for cookie in 0..2 * REQUESTS as u64 {
        stream.write_all(&flush(cookie)).expect("sent");
    }
    disk.wait_for(REQUESTS);
    drop(stream);
    disk.wait_for_cancel();
    server.remove("disk", block::nbd::Removal::Hard).expect("removed");
    gone.wait();
}

#[test]
fn a_client_that_does_not_read_its_replies_costs_bounded_memory_and_no_other_client() {
    let size = MIB;
    let many = 3 * PAYLOAD / size;
    let disk = Memory::new(size);
    let server = TestServer::serving(&disk);
    let mut deaf = server.connect_raw_to("disk");
    for cookie in 0..many as u64 {
        deaf.write_all(&read(cookie, size)).expect("sent");
    }
    let mut other = server.connect();
    while disk.count(Asked::Read) < PAYLOAD / size {
        other.flush().expect("flushed");
    }
    for _ in 0..1000 {
        other.flush().expect("flushed");
    }
    assert_eq!(disk.count(Asked::Read), PAYLOAD / size);

    let mut reply = vec![0; ReplyHeader::SIZE + size];
    let answered: HashSet<_> = (0..many)
        .map(|_| {
            deaf.read_exact(&mut reply).expect("answered");
            let header = reply.first_chunk().and_then(ReplyHeader::decode).expect("a reply");
            assert_eq!(header.result, Ok(()));
            header.cookie
        })
        .collect();
    assert_eq!(answered, (0..many as u64).collect());
}

#[test]
fn a_client_that_does_not_read_its_replies_does_not_keep_the_server_from_stopping() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let mut deaf = server.connect_raw_to("disk");
    for cookie in 0..200 {
        deaf.write_all(&read(cookie, MIB)).expect("sent");
    }
    let mut other = server.connect();
    while disk.count(Asked::Read) < PAYLOAD / MIB {
        other.flush().expect("flushed");
    }
    server.stop();
}

#[test]
fn a_client_that_does_not_read_does_not_delay_who_answers_it() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::serving(&disk);
    let mut deaf = server.connect_raw_to("disk");
    deaf.write_all(&flush(0)).expect("sent");
    disk.wait_for(1);
    for cookie in 1..=100 {
        deaf.write_all(&read(cookie, MIB)).expect("sent");
    }
    // As `cont` would, from a thread that has others to answer.
    disk.answer();
    let mut replies = 0;
    let mut header = [0; ReplyHeader::SIZE];
    let mut data = vec![0; MIB];
    while replies < 101 {
        deaf.read_exact(&mut header).expect("answered");
        if ReplyHeader::decode(&header).expect("a reply").cookie > 0 {
            deaf.read_exact(&mut data).expect("answered");
        }
        replies += 1;
    }
}
