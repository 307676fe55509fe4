//! Bytes on an NBD socket that are no handshake, or no requests.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use block::request::Operation;

use crate::support::DEADLINE;
use crate::support::daemon::Daemon;
use crate::support::guest::Guest;

const OPTION: &[u8] = b"IHAVEOPT";
const GO: u32 = 7;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const EINVAL: u32 = 22;

fn daemon() -> Daemon {
    let options =
        ["--blockdev", "null-co,node-name=disk,size=1048576,read-zeroes=on", "--export", "nbd,id=d,node-name=disk"];
    Daemon::start(tempfile::tempdir().expect("a directory"), &options).expect("a daemon")
}

/// A connection that has read the server's greeting and sent its flags.
fn connect(daemon: &Daemon) -> UnixStream {
    let mut stream = open(daemon);
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
    stream.write_all(&3_u32.to_be_bytes()).expect("it is taken");
    stream
}

fn open(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.nbd_socket()).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream
}

fn option(option: u32, length: u32, data: &[u8]) -> Vec<u8> {
    [OPTION, &option.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

/// NBD_OPT_GO for an export of this name.
fn go(name: &str) -> Vec<u8> {
    let data = [&(name.len() as u32).to_be_bytes(), name.as_bytes(), &[0, 0]].concat();
    option(GO, data.len() as u32, &data)
}

fn request(magic: u32, command: u16, offset: u64, length: u32) -> Vec<u8> {
    let cookie = 7_u64.to_be_bytes();
    let (magic, command) = (magic.to_be_bytes(), command.to_be_bytes());
    [&magic[..], &[0, 0], &command, &cookie, &offset.to_be_bytes(), &length.to_be_bytes()].concat()
}

/// A connection to the export `disk` on which requests can be sent.
fn in_transmission(daemon: &Daemon) -> UnixStream {
    let mut stream = connect(daemon);
    stream.write_all(&go("disk")).expect("it is taken");
    while option_reply(&mut stream) != 1 {}
    stream
}

/// The type of the next reply to an option.
fn option_reply(stream: &mut UnixStream) -> u32 {
    let mut header = [0; 20];
    stream.read_exact(&mut header).expect("a reply");
    let [.., a, b, c, d, e, f, g, h] = header;
    let mut data = vec![0; u32::from_be_bytes([e, f, g, h]) as usize];
    stream.read_exact(&mut data).expect("its data");
    u32::from_be_bytes([a, b, c, d])
}

/// The error of the reply to [`request`].
fn error(stream: &mut UnixStream) -> u32 {
    let mut reply = [0; 16];
    stream.read_exact(&mut reply).expect("a reply");
    assert_eq!(reply[..4], REPLY.to_be_bytes());
    assert_eq!(reply[8..], 7_u64.to_be_bytes());
    let [_, _, _, _, a, b, c, d, ..] = reply;
    u32::from_be_bytes([a, b, c, d])
}

/// What the server still says before it closes the connection.
fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => rest,
        // What it had not read when it did.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => rest,
        Err(error) => panic!("{error}"),
    }
}

/// Another guest, who did nothing wrong, is served.
fn goes_on(mut daemon: Daemon) {
    let mut guest = Guest::connect(&daemon.nbd_socket(), "disk").expect("a guest");
    guest.start(&Operation::Read { offset: 0, length: 4096 }).expect("it is taken");
    assert_eq!(guest.answer().expect("an answer").expect("success"), [0; 4096]);
    daemon.terminate();
    daemon.wait().expect("a clean end");
}

#[test]
fn a_handshake_that_is_none_ends_the_connection() {
    let daemon = daemon();
    for flags in [0xffff_ffff_u32, 0x8000_0000] {
        let mut stream = open(&daemon);
        stream.read_exact(&mut [0; 18]).expect("a greeting");
        stream.write_all(&flags.to_be_bytes()).expect("it is taken");
        assert_eq!(rest(&mut stream), b"", "flags {flags:#x}");
    }
    let mut stream = connect(&daemon);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is taken");
    assert_eq!(rest(&mut stream), b"");
    goes_on(daemon);
}

#[test]
fn an_option_that_makes_no_sense_is_refused_and_the_next_one_understood() {
    let daemon = daemon();
    let mut stream = connect(&daemon);
    for (message, refusal) in
        [(option(4711, 3, b"abc"), 1), (go("nonsense"), 6), (option(GO, 2, b"ab"), 3), (option(GO, 6, &[0xff; 6]), 3)]
    {
        stream.write_all(&message).expect("it is taken");
        assert_eq!(option_reply(&mut stream), 1 << 31 | refusal, "{message:?}");
    }
    stream.write_all(&go("disk")).expect("it is taken");
    assert_eq!(option_reply(&mut stream) & 1 << 31, 0);
    goes_on(daemon);
}

#[test]
fn an_option_of_four_gibibytes_is_not_waited_for() {
    let daemon = daemon();
    let mut stream = connect(&daemon);
    stream.write_all(&option(GO, u32::MAX, b"")).expect("it is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("a socket");
    rest(&mut stream);
    goes_on(daemon);
}

#[test]
fn a_request_without_its_magic_number_ends_the_connection() {
    let daemon = daemon();
    let mut stream = in_transmission(&daemon);
    stream.write_all(&request(0xdead_beef, 0, 0, 4096)).expect("it is taken");
    assert_eq!(rest(&mut stream), b"");
    goes_on(daemon);
}

#[test]
fn a_request_that_makes_no_sense_is_refused_and_the_next_one_served() {
    const READ: u16 = 0;
    let daemon = daemon();
    let mut stream = in_transmission(&daemon);
    for (message, expected) in [
        (request(REQUEST, 4711, 0, 0), EINVAL),
        (request(REQUEST, READ, 1 << 20, 1), EINVAL),
        (request(REQUEST, READ, u64::MAX, 4096), EINVAL),
        (request(REQUEST, READ, 0, u32::MAX), EINVAL),
        (request(REQUEST, READ, 0, 0), EINVAL),
    ] {
        stream.write_all(&message).expect("it is taken");
        assert_eq!(error(&mut stream), expected, "{message:?}");
    }
    stream.write_all(&request(REQUEST, READ, 0, 1)).expect("it is taken");
    assert_eq!(error(&mut stream), 0);
    goes_on(daemon);
}

#[test]
fn a_guest_that_leaves_in_the_middle_takes_nothing_with_it() {
    const WRITE: u16 = 1;
    let daemon = daemon();
    drop(open(&daemon));
    drop(connect(&daemon));
    connect(&daemon).write_all(&go("disk")[..9]).expect("it is taken");
    let mut stream = in_transmission(&daemon);
    stream.write_all(&request(REQUEST, WRITE, 0, 4096)[..20]).expect("it is taken");
    let mut stream = in_transmission(&daemon);
    stream.write_all(&[&request(REQUEST, WRITE, 0, 4096)[..], &[0; 100]].concat()).expect("it is taken");
    goes_on(daemon);
}
