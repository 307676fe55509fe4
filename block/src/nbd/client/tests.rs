//! Tests of the client against servers that say the wrong thing.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use super::*;
use crate::nbd::protocol::{NBD_OPT_GO, NBD_REP_ACK, NBD_REP_ERR_UNKNOWN, NBD_REP_INFO, NBD_REP_MAGIC};

const GREETING: &[u8] = b"NBDMAGICIHAVEOPT\0\x03";

fn reply(kind: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_be_bytes();
    [&NBD_REP_MAGIC.to_be_bytes()[..], &NBD_OPT_GO.to_be_bytes(), &kind.to_be_bytes(), &length, data].concat()
}

/// A handshake that chooses an export of 4 KiB.
fn accepted() -> Vec<u8> {
    let size = [&[0, 0][..], &4096_u64.to_be_bytes(), &[0, 1]].concat();
    [GREETING, &reply(NBD_REP_INFO, &size), &reply(NBD_REP_ACK, &[])].concat()
}

fn answer(cookie: u64, code: u32, data: &[u8]) -> Vec<u8> {
    [&0x6744_6698_u32.to_be_bytes()[..], &code.to_be_bytes(), &cookie.to_be_bytes(), data].concat()
}

/// Connects to a server that says this whatever it is told, and then listens until the client has gone.
fn with_server<R>(says: &[u8], client: impl FnOnce(Result<Client, ClientError>) -> R) -> R {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("listens");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = listener.accept().expect("accepts").0;
            // A client that does not like it has gone.
            let _ = stream.write_all(says);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        client(Client::connect(&Address::Unix(path.clone()), "disk"))
    })
}

fn refusal(says: &[u8]) -> String {
    with_server(says, |client| client.expect_err("is refused").to_string())
}

#[test]
fn a_request_gets_the_answer_with_its_cookie() {
    let says = [accepted(), answer(0, 0, b"data"), answer(1, 28, b""), answer(2, 0, b"")].concat();
    with_server(&says, |client| {
        let mut client = client.expect("connects");
        assert_eq!(client.terms(), Terms { size: 4096, read_only: false });
        assert_eq!(client.read(0, 4).expect("read"), b"data");
        let full = client.write(0, b"x").expect_err("is full");
        assert_eq!(full.to_string(), "NBD request failed: No space left on device (os error 28)");
        client.flush().expect("flushed");
    });
}

#[test]
fn answers_are_told_apart_in_any_order() {
    let says = [accepted(), answer(1, 0, b""), answer(0, 0, b"data")].concat();
    with_server(&says, |client| {
        let (mut submitter, mut replies) = client.expect("connects").split();
        let read = submitter.submit(&Operation::Read { offset: 0, length: 4 }).expect("submitted");
        let flush = submitter.submit(&Operation::Flush).expect("submitted");
        assert_eq!(replies.next_reply().expect("answered").cookie, flush);
        let reply = replies.next_reply().expect("answered");
        assert_eq!((reply.cookie, reply.result), (read, Ok(b"data".to_vec())));
    });
}

#[test]
fn a_server_that_refuses_is_quoted() {
    let says = [GREETING, &reply(NBD_REP_ERR_UNKNOWN, b"not here")].concat();
    assert_eq!(refusal(&says), "NBD server refused: not here");
    let says = [GREETING, &reply(NBD_REP_ERR_UNKNOWN, b"")].concat();
    assert_eq!(refusal(&says), "NBD server refused: error 6");
}

#[test]
fn a_server_that_speaks_something_else_is_recognised() {
    let broke = |what| format!("NBD server broke the protocol: {what}");
    let greetings: [&[u8]; 3] =
        [b"SSH-2.0-OpenSSH_9.6p1", b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53xx", &[&GREETING[..17], b"\0"].concat()];
    for says in greetings {
        assert_eq!(refusal(says), broke("not a server of fixed newstyle"));
    }
    assert_eq!(refusal(&[GREETING, &[0; 20]].concat()), broke("not a reply to the option"));
    let says = [GREETING, &reply(NBD_REP_ACK, b"")].concat();
    assert_eq!(refusal(&says), broke("an export without size and flags"));
    let mut long = reply(NBD_REP_INFO, b"");
    long[16] = 0xff;
    assert_eq!(refusal(&[GREETING, &long].concat()), broke("reply is too long"));
}

#[test]
fn a_reply_that_belongs_to_no_request_ends_the_session() {
    for (says, complaint) in [
        (answer(7, 0, b""), "NBD server broke the protocol: reply to no request"),
        (vec![0; 16], "NBD server broke the protocol: no magic number where a reply should start"),
        (vec![0; 3], "NBD connection failed: unexpected end of file"),
    ] {
        with_server(&[accepted(), says].concat(), |client| {
            let failed = client.expect("connects").flush().expect_err("fails");
            assert_eq!(failed.to_string(), complaint);
        });
    }
}

#[test]
fn a_server_that_breaks_off_anywhere_is_an_error() {
    let whole = accepted();
    for length in 0..whole.len() {
        assert_eq!(refusal(&whole[..length]), "NBD connection failed: unexpected end of file");
    }
}

#[test]
fn a_range_that_the_protocol_cannot_express_is_refused_here() {
    with_server(&accepted(), |client| {
        let refused = client.expect("connects").trim(0, 1 << 32).expect_err("is too long");
        assert!(matches!(refused, ClientError::Request(NbdError::Overflow)), "{refused}");
    });
}
