//! Sockets: who may use them, whose they are, and how they come and go.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use monitor::{Endpoint, Server, Version};
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
fn the_file_of_a_dead_server_is_replaced() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("qmp");
    drop(UnixListener::bind(&path).expect("a free path"));
    assert!(path.exists());
    server().listen(&Endpoint::Unix(path)).expect("nobody serves it");
}

#[test]
fn the_socket_of_a_live_server_is_not_stolen() {
    let running = start();
    let refused = server().listen(&Endpoint::Unix(running.path.clone())).expect_err("it is in use");
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    let expected = format!("unix:{}: the socket is in use by another process", running.path.display());
    assert_eq!(refused.to_string(), expected);
    Client::connect(&running.path);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("file");
    fs::write(&path, "precious").expect("file");
    let refused = server().listen(&Endpoint::Unix(path.clone())).expect_err("it is a file");
    assert!(refused.to_string().ends_with("the file exists and is not a socket"), "{refused}");
    assert_eq!(fs::read(&path).expect("file"), b"precious");
}

#[test]
fn a_socket_file_that_another_server_has_made_since_is_not_removed() {
    let mut server = start();
    fs::remove_file(&server.path).expect("the first one");
    let _other = UnixListener::bind(&server.path).expect("a free path");
    server.handle.shutdown();
    server.join();
    assert!(server.path.exists());
}

#[test]
fn a_path_that_cannot_be_is_an_error_that_names_it() {
    let refused = server().listen(&Endpoint::Unix("/nonexistent/qmp".into())).expect_err("no directory");
    assert_eq!(refused.to_string(), "unix:/nonexistent/qmp: No such file or directory");
    let long = Endpoint::Unix("x".repeat(200).into());
    assert!(server().listen(&long).is_err());
}

#[test]
fn tcp_serves_loopback_on_a_port_of_its_choice_and_nothing_else() {
    let mut address = None;
    let _server = start_with(|server| {
        let bound = server.listen(&Endpoint::tcp("localhost", 0).expect("loopback")).expect("a port");
        let Endpoint::Tcp(bound) = bound else { panic!("not TCP") };
        address = Some(bound);
        let refused = server.listen(&Endpoint::Tcp(([0, 0, 0, 0], 0).into())).expect_err("everybody");
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
    let server = start_with(|server| server.connect(Endpoint::Unix(path.clone()), AT_ONCE).expect("it listens"));
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
    let _server = start_with(|server| server.connect(Endpoint::Unix(path.clone()), AT_ONCE).expect("it may come"));
    let listener = UnixListener::bind(&path).expect("a free path");
    Client::over(listener.accept().expect("a connection").0).negotiate();
}

#[test]
fn tcp_is_connected_to_again_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = Endpoint::Tcp(listener.local_addr().expect("bound"));
    let _server = start_with(|server| server.connect(endpoint, AT_ONCE).expect("it listens"));
    for _ in 0..2 {
        Client::over_tcp(listener.accept().expect("a connection").0).negotiate();
    }
}

#[test]
fn without_an_interval_there_is_one_attempt() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("client");
    let refused = server().connect(Endpoint::Unix(path.clone()), None).expect_err("nobody listens");
    assert_eq!(refused.to_string(), format!("unix:{}: No such file or directory", path.display()));

    let listener = UnixListener::bind(&path).expect("a free path");
    let mut server = start_with(|server| server.connect(Endpoint::Unix(path), None).expect("it listens"));
    drop(Client::over(listener.accept().expect("a connection").0));
    Client::connect(&server.path);
    server.handle.shutdown();
    server.join();
    listener.set_nonblocking(true).expect("flag");
    assert_eq!(listener.accept().map_err(|error| error.kind()).err(), Some(ErrorKind::WouldBlock));
}
