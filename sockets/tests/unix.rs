//! Unix sockets in the file system: who may use them, whose they are, and how they come and go.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use qapi_schema::sockets::{Accounts, SocketAccess};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Gid, Uid, getgid, getuid};
use rustix::thread::{set_thread_gid, set_thread_uid};
use sockets::{Access, Address, Listener, Objects, Remote};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("socket");
    (directory, path)
}

fn bind(path: &Path) -> io::Result<Vec<Listener>> {
    bind_for(&Address::Unix(path.to_owned()), NOBODY_ELSE)
}

const NOBODY_ELSE: SocketAccess =
    SocketAccess { mode: None, group: None, allow_uid: None, allow_gid: None, tls_creds: None };

fn bind_for(address: &Address, access: SocketAccess) -> io::Result<Vec<Listener>> {
    Listener::bind(address, &Access::new(access, address, &Objects::default()).expect("accepted"))
}

fn one(name: &str) -> Option<Accounts> {
    Some(Accounts::One(name.into()))
}

fn accepts(listener: &Listener) -> bool {
    listener.accept(SocketFlags::NONBLOCK).expect("room").is_some()
}

#[test]
fn a_socket_is_for_its_user_only_and_its_file_goes_with_it() {
    let (_directory, path) = place();
    let listeners = bind(&path).expect("listens");
    let mode = fs::symlink_metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    UnixStream::connect(&path).expect("it listens");
    assert!(accepts(&listeners[0]) && !accepts(&listeners[0]));
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
        let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None);
        let client = client.expect("a descriptor");
        let name = SocketAddrUnix::new(&path).expect("short");
        match connect(&client, &name) {
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

#[test]
fn the_file_gets_its_group() {
    let (_directory, path) = place();
    let address = Address::Unix(path.clone());
    // A group that root can give, or else the one that the file has anyway.
    let group = if getuid().is_root() { 4711 } else { getgid().as_raw() };
    let access = SocketAccess { mode: Some("0660".into()), group: Some(group.to_string()), ..NOBODY_ELSE };
    let _listeners = bind_for(&address, access).expect("listens");
    let file = fs::symlink_metadata(&path).expect("there");
    assert_eq!((file.gid(), file.permissions().mode() & 0o7777), (group, 0o660));
}

#[test]
fn a_process_of_another_user_is_not_let_in() {
    let (_directory, path) = place();
    let address = Address::Unix(path.clone());
    let (own, other) = (getuid().as_raw().to_string(), (getuid().as_raw() + 1).to_string());
    let lets_in = |access: SocketAccess| {
        let listeners = bind_for(&address, access).expect("listens");
        let mut client = UnixStream::connect(&path).expect("it listens");
        let accepted = accepts(&listeners[0]);
        // One who is refused is told by the end of the connection.
        assert!(accepted || client.read(&mut [0]).expect("closed") == 0);
        accepted
    };
    assert!(lets_in(SocketAccess { allow_uid: one(&own), ..NOBODY_ELSE }));
    assert!(!lets_in(SocketAccess { allow_uid: one(&other), ..NOBODY_ELSE }));
    let group = getgid().as_raw().to_string();
    assert!(lets_in(SocketAccess { allow_uid: one(&other), allow_gid: one(&group), ..NOBODY_ELSE }));
    assert!(!lets_in(SocketAccess { allow_gid: one(&other), ..NOBODY_ELSE }));
    assert!(!lets_in(SocketAccess { allow_uid: Some(Accounts::Several(Vec::new())), ..NOBODY_ELSE }));
}

#[test]
fn whoever_is_allowed_gets_as_far_as_the_gate_unless_the_mode_says_otherwise() {
    const USER: u32 = 65534;
    if !getuid().is_root() {
        let _ = writeln!(io::stderr(), "skipped: needs root");
        return;
    }
    let (directory, path) = place();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let address = Address::Unix(path.clone());
    let lets_in = |access: SocketAccess| {
        let listeners = bind_for(&address, access).expect("listens");
        let path = path.clone();
        // Only this thread becomes another user.
        let client = thread::spawn(move || {
            set_thread_gid(Gid::from_raw(USER))?;
            set_thread_uid(Uid::from_raw(USER))?;
            UnixStream::connect(path)
        });
        client.join().expect("no panic").map(|_client| accepts(&listeners[0])).map_err(|error| error.kind())
    };
    let nobody = SocketAccess { allow_uid: one("65534"), ..NOBODY_ELSE };
    assert_eq!(lets_in(nobody.clone()), Ok(true));
    assert_eq!(lets_in(SocketAccess { allow_gid: one("65534"), ..NOBODY_ELSE }), Ok(true));
    assert_eq!(lets_in(SocketAccess { allow_uid: one("0"), ..NOBODY_ELSE }), Ok(false));
    assert_eq!(lets_in(SocketAccess { mode: Some("0600".into()), ..nobody }), Err(ErrorKind::PermissionDenied));
    assert_eq!(lets_in(NOBODY_ELSE), Err(ErrorKind::PermissionDenied));
}

#[test]
fn an_abstract_socket_has_a_name_and_no_file() {
    let name = format!("whystop-test-{}", std::process::id());
    for tight in [true, false] {
        let address = Address::Abstract { name: name.clone(), tight };
        let listeners = bind_for(&address, NOBODY_ELSE).expect("listens");
        assert!(bind_for(&address, NOBODY_ELSE).is_err_and(|error| error.kind() == ErrorKind::AddrInUse));
        let _client = Remote::resolve(address, None).and_then(|remote| remote.connect()).expect("it listens");
        assert!(accepts(&listeners[0]));
        let padding = if tight { 0 } else { 107 - name.len() };
        let raw = SocketAddr::from_abstract_name(format!("{name}{}", "\0".repeat(padding))).expect("an address");
        UnixStream::connect_addr(&raw).expect("the same socket");
        let nobody = SocketAccess { allow_uid: Some(Accounts::Several(Vec::new())), ..NOBODY_ELSE };
        drop(listeners);
        let guarded = bind_for(&Address::Abstract { name: name.clone(), tight }, nobody).expect("listens");
        let _client = UnixStream::connect_addr(&raw).expect("it listens");
        assert!(!accepts(&guarded[0]));
    }
}

#[test]
fn a_socket_of_who_started_the_process_is_used_again_and_again() {
    let (_directory, path) = place();
    let owner = UnixListener::bind(&path).expect("listens");
    let address = Address::Inherited(owner.as_raw_fd().to_string());
    bind_for(&address, NOBODY_ELSE).expect_err("it is this process that has started it");
    fcntl_setfd(&owner, FdFlags::empty()).expect("a flag");
    for _ in 0..2 {
        let listeners = bind_for(&address, NOBODY_ELSE).expect("it is there");
        let _client = UnixStream::connect(&path).expect("it listens");
        assert!(accepts(&listeners[0]));
    }
    assert!(path.exists());
    let connected = UnixStream::connect(&path).expect("it listens");
    fcntl_setfd(&connected, FdFlags::empty()).expect("a flag");
    let refused =
        bind_for(&Address::Inherited(connected.as_raw_fd().to_string()), NOBODY_ELSE).expect_err("no listener");
    assert!(refused.to_string().ends_with("does not listen: Invalid argument"), "{refused}");
}

#[test]
fn a_socket_that_is_only_bound_is_made_to_listen() {
    let (_directory, path) = place();
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).expect("short")).expect("a free path");
    let address = Address::Inherited("s".into());
    let listener = Listener::adopt(socket, &address, &Access::default()).expect("it can listen");
    let _client = UnixStream::connect(&path).expect("it listens");
    assert!(accepts(&listener));
}

#[test]
fn a_socket_that_listens_is_not_taken_for_a_connected_one() {
    let (_directory, path) = place();
    let listener = UnixListener::bind(&path).expect("listens");
    let client = UnixStream::connect(&path).expect("it listens");
    let resolve = |socket: &dyn AsFd| {
        fcntl_setfd(socket.as_fd(), FdFlags::empty()).expect("a flag");
        Remote::resolve(Address::Inherited(socket.as_fd().as_raw_fd().to_string()), None)
    };
    let refused = resolve(&listener).expect_err("nobody is connected");
    assert_eq!(refused.to_string(), format!("socket '{}' listens: it takes server=on", listener.as_raw_fd()));
    resolve(&client).and_then(|remote| remote.connect()).expect("connected");
}

#[test]
fn an_accepted_socket_is_where_the_listener_is_and_its_peer_nowhere() {
    let (_directory, path) = place();
    let name = format!("whystop-ends-{}", std::process::id());
    let hidden = |tight| Address::Abstract { name: name.clone(), tight };
    for address in [Address::Unix(path), hidden(true), hidden(false)] {
        let listeners = bind_for(&address, NOBODY_ELSE).expect("listens");
        let _client = Remote::resolve(address.clone(), None).and_then(|remote| remote.connect()).expect("it listens");
        let server = listeners[0].accept(SocketFlags::empty()).expect("room").expect("a client");
        assert_eq!((Address::own(&server), Address::peer(&server)), (Some(address), None));
    }
}
