//! Sockets: who may use them, whose they are, and how they come and go.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use monitor::{Access, Address, Server, Version};
use serde_json::json;

use crate::client::Client;
use crate::machine::{start, start_with};

const AT_ONCE: Option<Duration> = Some(Duration::from_millis(1));

fn server() -> Server {
    Server::new(&Version::of_package("test")).expect("descriptors")
}

#[test]
fn a_socket_file_is_for_its_user_only_and_is_removed_at_the_end() {
    let mut server = start();
    let metadata = fs::symlink_metadata(&server.path).expect("a file");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    server.handle.shutdown();
    server.join();
    assert!(!server.path.exists());
}

#[test]
fn the_socket_of_a_live_server_is_not_stolen() {
    let running = start();
    let refused = server().listen(&Address::Unix(running.path.clone()), &Access::default()).expect_err("it is in use");
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    let expected =
        format!("Failed to bind socket to {}: the socket is in use by another process", running.path.display());
    assert_eq!(refused.to_string(), expected);
    Client::connect(&running.path);
}

#[test]
fn a_path_that_cannot_be_is_an_error_that_names_it() {
    let refused =
        server().listen(&Address::Unix("/nonexistent/qmp".into()), &Access::default()).expect_err("no directory");
    assert_eq!(refused.to_string(), "Failed to bind socket to /nonexistent/qmp: No such file or directory");
    let long = Address::Unix("x".repeat(200).into());
    assert!(server().listen(&long, &Access::default()).is_err());
}

#[test]
fn tcp_serves_loopback_on_a_port_of_its_choice_and_nothing_else() {
    let mut address = None;
    let _server = start_with(|server| {
        let bound = server.listen(&Address::inet("localhost", 0), &Access::default()).expect("a port");
        let [Address::Inet(bound), ..] = &bound[..] else { panic!("not TCP") };
        address = Some((bound.host.clone(), bound.port));
        let refused = server.listen(&Address::inet("0.0.0.0", 0), &Access::default()).expect_err("everybody");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    });
    let stream = TcpStream::connect(address.expect("set")).expect("it listens");
    let mut client = Client::over_tcp(stream);
    client.negotiate();
    assert_eq!(client.execute(&json!({"execute": "query-status"}))["return"]["running"], true);
}

#[test]
fn a_client_that_listens_is_connected_to_again_and_again() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("client");
    let mut listener = UnixListener::bind(&path).expect("a free path");
    let server = start_with(|server| server.connect(Address::Unix(path.clone()), None, AT_ONCE).expect("it listens"));
    for round in 0..3 {
        let mut client = Client::over(listener.accept().expect("a connection").0);
        client.negotiate();
        server.machine.emit("WAKEUP", None);
        assert_eq!(client.receive()["event"], "WAKEUP");
        if round == 1 {
            drop((client, listener));
            fs::remove_file(&path).expect("the first one");
            listener = UnixListener::bind(&path).expect("a free path");
        }
    }
}

#[test]
fn a_client_that_does_not_listen_yet_is_waited_for() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("client");
    let _server = start_with(|server| server.connect(Address::Unix(path.clone()), None, AT_ONCE).expect("it may come"));
    let listener = UnixListener::bind(&path).expect("a free path");
    Client::over(listener.accept().expect("a connection").0).negotiate();
}

#[test]
fn tcp_is_connected_to_again_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = Address::inet("127.0.0.1", listener.local_addr().expect("bound").port());
    let _server = start_with(|server| server.connect(address, None, AT_ONCE).expect("it listens"));
    for _ in 0..2 {
        Client::over_tcp(listener.accept().expect("a connection").0).negotiate();
    }
}

#[test]
fn without_an_interval_there_is_one_attempt() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("client");
    let refused = server().connect(Address::Unix(path.clone()), None, None).expect_err("nobody listens");
    assert_eq!(refused.to_string(), format!("Failed to connect to {}: No such file or directory", path.display()));

    let listener = UnixListener::bind(&path).expect("a free path");
    let mut server = start_with(|server| server.connect(Address::Unix(path), None, None).expect("it listens"));
    drop(Client::over(listener.accept().expect("a connection").0));
    Client::connect(&server.path);
    server.handle.shutdown();
    server.join();
    listener.set_nonblocking(true).expect("flag");
    assert_eq!(listener.accept().map_err(|error| error.kind()).err(), Some(ErrorKind::WouldBlock));
}
