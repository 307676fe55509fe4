//! Unix sockets in the file system: who may use them, whose they are, and how they come and go.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::SocketFlags;
use sockets::{Address, Listener};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("socket");
    (directory, path)
}

fn bind(path: &Path) -> io::Result<Vec<Listener>> {
    Listener::bind(&Address::Unix(path.to_owned()))
}

#[test]
fn a_socket_is_for_its_user_only_and_its_file_goes_with_it() {
    let (_directory, path) = place();
    let listeners = bind(&path).expect("listens");
    let mode = fs::symlink_metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    UnixStream::connect(&path).expect("it listens");
    assert!(listeners[0].accept(SocketFlags::NONBLOCK).expect("room").is_some());
    assert!(listeners[0].accept(SocketFlags::NONBLOCK).expect("room").is_none());
    drop(listeners);
    assert!(!path.exists());
}

#[test]
fn a_dead_socket_is_replaced() {
    let (_directory, path) = place();
    drop(UnixListener::bind(&path).expect("listens"));
    assert!(path.exists());
    let _listeners = bind(&path).expect("replaces");
    UnixStream::connect(&path).expect("is served");
}

#[test]
fn a_live_socket_is_not_stolen() {
    let (_directory, path) = place();
    let _owner = bind(&path).expect("listens");
    let refused = bind(&path).expect_err("is in use");
    let message = format!("Failed to bind socket to {}: the socket is in use by another process", path.display());
    assert_eq!((refused.kind(), refused.to_string()), (ErrorKind::AddrInUse, message));
    UnixStream::connect(&path).expect("is still served");
}

/// Clients that nobody accepts fill the queue, and the next one is told to try again.
#[test]
fn a_live_socket_that_is_too_busy_to_answer_is_not_stolen() {
    let (_directory, path) = place();
    let _owner = UnixListener::bind(&path).expect("listens");
    let mut waiting = Vec::new();
    loop {
        let client = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            SocketFlags::NONBLOCK,
            None,
        );
        let client = client.expect("a descriptor");
        let name = rustix::net::SocketAddrUnix::new(&path).expect("short");
        match rustix::net::connect(&client, &name) {
            Ok(()) => waiting.push(client),
            Err(error) => break assert_eq!(error, rustix::io::Errno::AGAIN),
        }
    }
    assert_eq!(bind(&path).expect_err("is in use").kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let (_directory, path) = place();
    fs::write(&path, "precious").expect("written");
    let refused = bind(&path).expect_err("is a file");
    assert!(refused.to_string().ends_with(": the file exists and is not a socket"), "{refused}");
    assert_eq!(fs::read(&path).expect("there"), b"precious");
}

#[test]
fn a_file_that_was_replaced_is_not_removed() {
    let (_directory, path) = place();
    let listeners = bind(&path).expect("listens");
    fs::remove_file(&path).expect("removed");
    let _successor = UnixListener::bind(&path).expect("listens");
    drop(listeners);
    assert!(path.exists());
}

#[test]
fn a_path_that_cannot_be_is_named() {
    let long = "x".repeat(200);
    let refused = bind(Path::new(&long)).expect_err("is too long");
    assert_eq!(refused.to_string(), format!("UNIX socket path '{long}' is too long"));
    let refused = bind(Path::new("/nowhere/socket")).expect_err("has no directory");
    assert_eq!(refused.to_string(), "Failed to bind socket to /nowhere/socket: No such file or directory");
}
