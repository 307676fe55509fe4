//! Bytes that make no sense, and connections that break off.

use std::io::{Read, Write};
use std::net::Shutdown;

use block::nbd::protocol::{NBD_FLAG_C_FIXED_NEWSTYLE, NBD_OPT_GO, NBD_OPTS_MAGIC};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::disk::Memory;
use crate::server::TestServer;

const MIB: usize = 1 << 20;

/// Says it and listens until the server has closed the connection, which it must at the end of the stream at the latest.
fn say(mut stream: std::os::unix::net::UnixStream, bytes: &[u8]) -> Vec<u8> {
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn a_handshake_cut_short_at_any_byte_ends_quietly() {
    let server = TestServer::serving(&Memory::new(MIB));
    let mut handshake = NBD_FLAG_C_FIXED_NEWSTYLE.to_be_bytes().to_vec();
    handshake.extend(NBD_OPTS_MAGIC.to_be_bytes());
    handshake.extend(NBD_OPT_GO.to_be_bytes());
    handshake.extend(10_u32.to_be_bytes());
    handshake.extend(b"\0\0\0\x04disk\0\0");
    for length in 0..handshake.len() {
        assert_eq!(say(server.connect_raw(), &handshake[..length]).len(), 18, "only the greeting");
    }
    assert!(say(server.connect_raw(), &handshake).len() > 18);
    server.connect().read(0, 1).expect("others are served");
}

#[test]
fn a_request_without_its_magic_number_ends_the_connection() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let mut stream = server.connect_raw_to("disk");
    stream.write_all(&[0x25; 28]).expect("sent");
    assert_eq!(stream.read(&mut [0]).expect("is closed"), 0);
    assert_eq!(disk.asked(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_server_survives_any_bytes(handshake in vec(any::<u8>(), 0..200), requests in vec(any::<u8>(), 0..200)) {
        let server = TestServer::serving(&Memory::new(MIB));
        say(server.connect_raw(), &handshake);
        say(server.connect_raw_to("disk"), &requests);
        server.connect().read(0, 1).expect("others are served");
    }
}
