//! How connections, exports and servers end.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use block::nbd::client::ClientError;
use block::nbd::protocol::{NBD_CMD_DISC, NBD_CMD_READ, NBD_CMD_WRITE, NbdError};
use block::nbd::server::Limits;
use block::nbd::transmission::{ReplyHeader, RequestHeader};
use block::nbd::{Removal, RemovalError};
use block::request::Operation;

use crate::disk::{Asked, Full, Memory};
use crate::server::TestServer;

const MIB: usize = 1 << 20;

fn request(command: u16, length: u32) -> [u8; RequestHeader::SIZE] {
    RequestHeader { flags: 0, command, cookie: 1, offset: 0, length }.encode()
}

#[test]
fn a_disconnect_answers_what_is_outstanding_first() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let (mut submitter, mut replies) = server.connect().split();
    for at in 0..100 {
        submitter.submit(&Operation::Write { offset: at, data: vec![1], fua: false }).expect("submitted");
    }
    submitter.disconnect().expect("said");
    for _ in 0..100 {
        replies.next_reply().expect("answered").result.expect("written");
    }
    let end = replies.next_reply().expect_err("is closed");
    assert!(matches!(&end, ClientError::Connection(error) if error.kind() == io::ErrorKind::UnexpectedEof), "{end}");
}

#[test]
fn a_disconnect_takes_what_is_held_with_it() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::serving(&disk);
    let (mut submitter, mut replies) = server.connect().split();
    submitter.submit(&Operation::Flush).expect("submitted");
    disk.wait_for(1);
    submitter.disconnect().expect("said");
    assert_eq!(replies.next_reply().expect("answered").result, Err(NbdError::Io));
    replies.next_reply().expect_err("is closed");
}

#[test]
fn a_client_that_vanishes_takes_what_is_held_with_it() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::serving(&disk);
    let (mut submitter, replies) = server.connect().split();
    submitter.submit(&Operation::Flush).expect("submitted");
    disk.wait_for(1);
    drop((submitter, replies));
    disk.wait_for_cancel();
}

#[test]
fn a_write_cut_short_is_not_executed() {
    let disk = Memory::new(MIB);
    let server = TestServer::new();
    let gone = server.offer("disk", &disk);
    for (length, sent) in [(4096, 0), (4096, 4095), (MIB as u32, 100_000)] {
        let mut stream = server.connect_raw_to("disk");
        stream.write_all(&request(NBD_CMD_WRITE, length)).expect("sent");
        stream.write_all(&vec![1; sent]).expect("sent");
    }
    server.remove("disk", Removal::Hard).expect("removed");
    gone.wait();
    assert_eq!(disk.asked(), []);
}

#[test]
fn an_export_in_use_is_removed_only_the_hard_way() {
    let server = TestServer::new();
    let gone = server.offer("disk", &Memory::new(MIB));
    let mut client = server.connect();
    assert_eq!(server.remove("disk", Removal::Safe), Err(RemovalError::InUse));
    client.read(0, 1).expect("goes on");
    assert!(!gone.is_set());
    assert_eq!(server.remove("disk", Removal::Hard), Ok(()));
    gone.wait();
    client.read(0, 1).expect_err("is closed");
    server.connect_to("disk").expect_err("is gone");
    assert_eq!(server.remove("disk", Removal::Hard), Err(RemovalError::Unknown));
}

#[test]
fn an_export_without_clients_is_gone_at_once() {
    let server = TestServer::new();
    let gone = server.offer("disk", &Memory::new(MIB));
    assert_eq!(server.remove("disk", Removal::Safe), Ok(()));
    assert!(gone.is_set());
    server.offer("disk", &Memory::new(MIB));
    server.connect();
}

#[test]
fn an_export_is_gone_only_after_its_last_request() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::new();
    let gone = server.offer("disk", &disk);
    let (mut submitter, _replies) = server.connect().split();
    submitter.submit(&Operation::Flush).expect("submitted");
    disk.wait_for(1);
    let cancelling = disk.delay_cancel();
    server.remove("disk", Removal::Hard).expect("removed");
    assert!(!gone.is_set());
    drop(cancelling);
    gone.wait();
}

#[test]
fn a_server_stops_while_requests_are_held_and_clients_connected() {
    let disk = Full::new(MIB as u64);
    let server = TestServer::new();
    let gone = server.offer("disk", &disk);
    let path = server.path();
    let silent = server.connect_raw();
    let (mut submitter, mut replies) = server.connect().split();
    for _ in 0..200 {
        submitter.submit(&Operation::Flush).expect("submitted");
    }
    disk.wait_for(128);
    server.stop();
    assert!(gone.is_set(), "before the server has stopped");
    assert!(!path.exists());
    replies.next_reply().expect_err("is closed");
    drop(silent);
}

#[test]
fn a_server_stops_while_its_clients_are_busy() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = server.connect();
            scope.spawn(move || while client.write(0, &[1; 4096]).is_ok() {});
        }
        while disk.count(Asked::Write { fua: false }) < 1000 {
            thread::yield_now();
        }
        server.stop();
    });
}

#[test]
fn a_handshake_that_takes_too_long_is_ended() {
    let limits = Limits { handshake: Some(Duration::from_millis(1)), ..Limits::default() };
    let server = TestServer::with_limits(limits);
    let mut stream = server.connect_raw();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("is closed");
    assert_eq!(said.len(), 18);
}

#[test]
fn a_client_too_many_is_turned_away_until_another_leaves() {
    let server = TestServer::with_limits(Limits { connections: Some(2), ..Limits::default() });
    let disk = Memory::new(MIB);
    server.offer("disk", &disk);
    let (one, two) = (server.connect(), server.connect());
    server.connect_to("disk").expect_err("is turned away");
    drop(one);
    while server.connect_to("disk").is_err() {
        thread::yield_now();
    }
    drop(two);
}

#[test]
fn a_client_may_send_its_farewell_and_leave() {
    let disk = Memory::new(MIB);
    let server = TestServer::new();
    let gone = server.offer("disk", &disk);
    let mut stream = server.connect_raw_to("disk");
    for _ in 0..100 {
        stream.write_all(&request(NBD_CMD_READ, 65536)).expect("sent");
    }
    stream.write_all(&request(NBD_CMD_DISC, 0)).expect("sent");
    drop(stream);
    while server.remove("disk", Removal::Safe).is_err() {
        thread::yield_now();
    }
    assert!(gone.is_set());
}

#[test]
fn a_client_that_closes_its_side_after_the_farewell_gets_every_reply() {
    let server = TestServer::serving(&Memory::new(MIB));
    let mut stream = server.connect_raw_to("disk");
    for _ in 0..100 {
        stream.write_all(&request(NBD_CMD_READ, 65536)).expect("sent");
    }
    stream.write_all(&request(NBD_CMD_DISC, 0)).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("shut down");
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).expect("received");
    assert_eq!(replies.len(), 100 * (ReplyHeader::SIZE + 65536));
}
