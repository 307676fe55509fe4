//! TCP: which addresses are listened on, and how they are connected to.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::io::ErrorKind;
use std::net::TcpListener;

use rustix::net::SocketFlags;
use sockets::{Address, Listener, Remote};

fn port(address: &Address) -> u16 {
    match address {
        Address::Inet(inet) => inet.port,
        Address::Unix(path) => panic!("{path:?}"),
    }
}

#[test]
fn port_0_becomes_one_port_for_all_addresses() {
    let listeners = Listener::bind(&Address::inet("localhost", 0)).expect("listens");
    let ports: Vec<_> = listeners.iter().map(|listener| port(listener.address())).collect();
    assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
}

#[test]
fn all_interfaces_are_too_many() {
    for host in ["", "0.0.0.0", "::"] {
        let refused = Listener::bind(&Address::inet(host, 0)).expect_err("everybody");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    }
    assert!(Remote::resolve(Address::inet("192.0.2.1", 7)).is_err());
}

#[test]
fn a_remote_is_connected_to_at_any_of_its_addresses() {
    // On IPv4 only: where localhost is IPv6 first, that one is refused.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = Address::inet("localhost", listener.local_addr().expect("bound").port());
    let mut remote = Remote::resolve(address).expect("loopback");
    remote.connect().expect("it listens");
    listener.accept().expect("a connection");

    let _attempts: Vec<_> = (0..2).filter_map(|_| remote.begin().ok()).collect();
    listener.accept().expect("one of them succeeds");
}

#[test]
fn nobody_there_is_an_error_that_names_the_address() {
    let mut listeners = Listener::bind(&Address::inet("127.0.0.1", 0)).expect("listens");
    let address = listeners.remove(0).address().clone();
    let refused = Remote::resolve(address.clone()).expect("loopback").connect().expect_err("nobody listens");
    assert_eq!(refused.to_string(), format!("Failed to connect to {address}: Connection refused"));
}

#[test]
fn a_client_is_accepted_without_waiting() {
    let listeners = Listener::bind(&Address::inet("127.0.0.1", 0)).expect("listens");
    assert!(listeners[0].accept(SocketFlags::empty()).expect("room").is_none());
    let _client = Remote::resolve(listeners[0].address().clone()).expect("loopback").connect().expect("it listens");
    assert!(listeners[0].accept(SocketFlags::empty()).expect("room").is_some());
}
