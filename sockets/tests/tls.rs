//! TLS connections on sockets that take little at a time.

#![cfg(feature = "tls")]
#![allow(dead_code, clippy::expect_used, reason = "a test fails by a panic; no test needs all certificates")]

#[path = "../../tests/support/certificates.rs"]
mod certificates;
#[path = "../../tests/support/log.rs"]
mod log;

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use qapi_schema::crypto::{QCryptoTLSCredsEndpoint as Endpoint, TlsCredsX509Properties};
use rustix::net::sockopt::{set_socket_linger, set_socket_send_buffer_size};
use sockets::Objects;
use sockets::tls::{Credentials, Session};

fn load(directory: &Path, endpoint: Endpoint, verify_peer: bool) -> Credentials {
    let objects = Objects::default();
    let properties = TlsCredsX509Properties {
        dir: Some(directory.display().to_string()),
        endpoint: Some(endpoint),
        verify_peer: Some(verify_peer),
    };
    objects.add("tls0", properties).expect("good files");
    objects.tls_creds("tls0", endpoint).expect("just added")
}

/// One end of a connection.
struct End {
    session: Session,
    socket: UnixStream,
}

impl End {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.receive(self.socket.as_fd(), buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (one, other) = bytes.split_at(bytes.len() / 3);
        self.session.send(self.socket.as_fd(), &[IoSlice::new(one), IoSlice::new(other)])
    }
}

fn would_block<T>(outcome: io::Result<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            None
        }
    }
}

/// A server and a client with narrow sockets, before their handshake.
fn pair(server: &Credentials, client: &Credentials, name: &str) -> (End, End) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    let end = |session: io::Result<Session>, socket: UnixStream| {
        socket.set_nonblocking(true).expect("flag");
        set_socket_send_buffer_size(&socket, 1).expect("size");
        End { session: session.expect("the right side"), socket }
    };
    (end(server.accept(), ours), end(client.connect(name), theirs))
}

/// What the server makes of a client, and the client of the server.
fn shake(server: &mut End, client: &mut End) -> (io::Result<()>, io::Result<()>) {
    let mut outcomes = (Ok(()), Ok(()));
    // A client sends first, when it is asked to send.
    for _ in 0..100 {
        for (end, outcome) in [(&mut *client, &mut outcomes.1), (&mut *server, &mut outcomes.0)] {
            for error in [end.send(b"").err(), end.receive(&mut [0; 8]).err()].into_iter().flatten() {
                if error.kind() != ErrorKind::WouldBlock && outcome.is_ok() {
                    *outcome = Err(error);
                }
            }
        }
    }
    outcomes
}

#[test]
fn what_is_sent_arrives_in_order_however_little_the_sockets_take() {
    let directory = certificates::directory();
    let server = load(directory.path(), Endpoint::Server, true);
    let client = load(directory.path(), Endpoint::Client, true);
    let (mut server, mut client) = pair(&server, &client, "localhost");
    let data: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut sent, mut received) = (0, Vec::new());
    let (mut refused, mut hidden) = (0, 0);
    while received.len() < data.len() {
        match would_block(client.send(&data[sent..])) {
            Some(length) => sent += length,
            None => refused += 1,
        }
        // Nothing but the handshake.
        assert!(would_block(client.receive(&mut [0; 8])).is_none());
        // Buffers of many sizes, so that some records do not fit.
        let mut buffer = vec![0; 1 + received.len() % 20_011];
        if let Some(length) = would_block(server.receive(&mut buffer)) {
            received.extend_from_slice(&buffer[..length]);
        }
        hidden += usize::from(server.session.has_input());
    }
    assert!(received == data && sent == data.len());
    assert!(refused > 100 && hidden > 100, "the sockets were not narrow: {refused}, {hidden}");

    client.session.close(client.socket.as_fd());
    assert_eq!(server.receive(&mut [0; 8]).expect("a farewell"), 0);
}

#[test]
fn nothing_is_sent_before_it_is_known_to_whom() {
    let directory = certificates::directory();
    let server = load(directory.path(), Endpoint::Server, true);
    let client = load(directory.path(), Endpoint::Client, true);
    let (mut server, mut client) = pair(&server, &client, "localhost");
    assert!(would_block(server.send(b"secret")).is_none());
    assert!(server.session.is_handshaking() && !server.session.wants_to_send());
    let (of_server, of_client) = shake(&mut server, &mut client);
    of_server.expect("a good client");
    of_client.expect("a good server");
    assert!(!server.session.is_handshaking());
    assert_eq!(server.send(b"secret").expect("room"), 6);
}

#[test]
fn a_client_without_a_certificate_of_ours_is_refused() {
    let (directory, other) = (certificates::directory(), certificates::directory());
    let server = load(directory.path(), Endpoint::Server, true);
    // It trusts the server, but proves itself by another authority, or not at all.
    for name in ["client-cert.pem", "client-key.pem"] {
        std::fs::copy(other.path().join(name), directory.path().join(name)).expect("copied");
    }
    let stranger = load(directory.path(), Endpoint::Client, true);
    std::fs::remove_file(directory.path().join("client-cert.pem")).expect("removed");
    let nobody = load(directory.path(), Endpoint::Client, true);
    for client in [&stranger, &nobody] {
        let (mut server, mut client) = pair(&server, client, "localhost");
        shake(&mut server, &mut client).0.expect_err("refused");
        assert_eq!(server.send(b"secret").expect_err("no more").kind(), ErrorKind::BrokenPipe);
    }
    let lenient = load(directory.path(), Endpoint::Server, false);
    let (mut server, mut client) = pair(&lenient, &nobody, "localhost");
    shake(&mut server, &mut client).0.expect("whoever it is");
}

#[test]
fn a_server_must_be_the_one_that_was_meant() {
    let directory = certificates::directory();
    let server = load(directory.path(), Endpoint::Server, true);
    let client = load(directory.path(), Endpoint::Client, true);
    let (mut server, mut client) = pair(&server, &client, "example.org");
    shake(&mut server, &mut client).1.expect_err("another server");
}

#[test]
fn garbage_and_silence_end_a_handshake() {
    let directory = certificates::directory();
    let credentials = load(directory.path(), Endpoint::Server, true);
    let client = load(directory.path(), Endpoint::Client, true);
    let (mut server, client_end) = pair(&credentials, &client, "localhost");
    (&client_end.socket).write_all(b"GET / HTTP/1.0\r\n\r\n").expect("room");
    assert_ne!(server.receive(&mut [0; 8]).expect_err("no TLS").kind(), ErrorKind::WouldBlock);

    let (mut server, client_end) = pair(&credentials, &client, "localhost");
    drop(client_end);
    assert_eq!(server.receive(&mut [0; 8]).expect_err("gone").kind(), ErrorKind::UnexpectedEof);
}

/// A socket that was reset does not know its peer any more.
#[test]
fn a_client_that_breaks_off_its_handshake_is_named_in_the_log() {
    let directory = certificates::directory();
    let mut session = load(directory.path(), Endpoint::Server, true).accept().expect("a server's");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = TcpStream::connect(address).expect("it listens");
    let (socket, peer) = listener.accept().expect("a client");
    assert!(would_block(session.send(socket.as_fd(), &[IoSlice::new(b"greeting")])).is_none());

    set_socket_linger(&client, Some(Duration::ZERO)).expect("a flag");
    drop(client);
    let told = log::logged(|| {
        let gone = session.receive(socket.as_fd(), &mut [0; 8]).expect_err("gone");
        assert_eq!(gone.kind(), ErrorKind::ConnectionReset);
    });
    assert!(told.contains(&format!("address={address} peer={peer} error=")), "{told}");
}

#[test]
fn credentials_that_are_removed_serve_those_who_have_them() {
    let directory = certificates::directory();
    let objects = Objects::default();
    let add = || {
        let dir = Some(directory.path().display().to_string());
        let properties = TlsCredsX509Properties { dir, endpoint: Some(Endpoint::Server), verify_peer: None };
        objects.add("tls0", properties)
    };
    add().expect("good files");
    assert_eq!(add().expect_err("twice").desc(), "Duplicate object 'tls0'");
    let held = objects.tls_creds("tls0", Endpoint::Server).expect("just added");
    objects.tls_creds("tls0", Endpoint::Client).expect_err("for the other side");
    objects.remove("tls0").expect("just added");
    assert_eq!(objects.remove("tls0").expect_err("gone").desc(), "object 'tls0' not found");
    objects.tls_creds("tls0", Endpoint::Server).expect_err("gone");
    held.accept().expect("still usable");
    add().expect("the id is free again");
}
