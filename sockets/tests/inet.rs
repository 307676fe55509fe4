//! TCP: which addresses are listened on, and how they are connected to.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;

use rustix::net::sockopt::socket_protocol;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use sockets::{Access, Address, Inet, Listener, Remote};

fn bind(address: &Address) -> io::Result<Vec<Listener>> {
    Listener::bind(address, &Access::default())
}

fn port(address: &Address) -> u16 {
    match address {
        Address::Inet(inet) => inet.port,
        other @ (Address::Unix(_) | Address::Abstract { .. } | Address::Inherited(_)) => panic!("{other:?}"),
    }
}

#[test]
fn port_0_becomes_one_port_for_all_addresses() {
    let listeners = bind(&Address::inet("localhost", 0)).expect("listens");
    let ports: Vec<_> = listeners.iter().map(|listener| port(listener.address())).collect();
    assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
}

#[test]
fn all_interfaces_are_too_many() {
    for host in ["", "0.0.0.0", "::"] {
        let refused = bind(&Address::inet(host, 0)).expect_err("everybody");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    }
    assert!(Remote::resolve(Address::inet("192.0.2.1", 7), None).is_err());
}

#[test]
fn a_remote_is_connected_to_at_any_of_its_addresses() {
    // On IPv4 only: where localhost is IPv6 first, that one is refused.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = Address::inet("localhost", listener.local_addr().expect("bound").port());
    let mut remote = Remote::resolve(address, None).expect("loopback");
    remote.connect().expect("it listens");
    listener.accept().expect("a connection");

    let _attempts: Vec<_> = (0..2).filter_map(|_| remote.begin().ok()).collect();
    listener.accept().expect("one of them succeeds");
}

#[test]
fn nobody_there_is_an_error_that_names_the_address() {
    let mut listeners = bind(&Address::inet("127.0.0.1", 0)).expect("listens");
    let address = listeners.remove(0).address().clone();
    let refused = Remote::resolve(address.clone(), None).expect("loopback").connect().expect_err("nobody listens");
    assert_eq!(refused.to_string(), format!("Failed to connect to {address}: Connection refused"));
}

#[test]
fn a_client_is_accepted_without_waiting() {
    let listeners = bind(&Address::inet("127.0.0.1", 0)).expect("listens");
    assert!(listeners[0].accept(SocketFlags::empty()).expect("room").is_none());
    let _client =
        Remote::resolve(listeners[0].address().clone(), None).expect("loopback").connect().expect("it listens");
    assert!(listeners[0].accept(SocketFlags::empty()).expect("room").is_some());
}

#[test]
fn a_port_in_use_is_passed_over_up_to_the_last() {
    let first = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = first.local_addr().expect("bound").port();
    let one = Inet::new("127.0.0.1".into(), taken);
    let refused = bind(&Address::Inet(one.clone())).expect_err("in use");
    assert_eq!(refused.to_string(), format!("Failed to bind socket to 127.0.0.1:{taken}: Address already in use"));
    let range = Inet { last_port: taken.saturating_add(100), ..one };
    let found = bind(&Address::Inet(range)).expect("one of them is free");
    assert!(port(found[0].address()) > taken);
}

#[test]
fn a_family_that_is_off_is_not_listened_on() {
    let inet = Inet { ipv6: false, ..Inet::new("localhost".into(), 0) };
    let listeners = bind(&Address::Inet(inet)).expect("127.0.0.1");
    let hosts: Vec<_> = listeners.iter().map(|listener| listener.address().to_string()).collect();
    assert!(hosts.iter().all(|host| host.starts_with("127.0.0.1:")) && hosts.len() == 1, "{hosts:?}");
}

#[test]
fn an_option_of_the_other_side_is_refused() {
    let inet = Inet::new("127.0.0.1".into(), 7);
    let refused = bind(&Address::Inet(Inet { keep_alive: false, ..inet.clone() })).expect_err("for connecting");
    assert!(refused.to_string().contains("keep-alive"), "{refused}");
    let refused = Remote::resolve(Address::Inet(Inet { last_port: 9, ..inet }), None).expect_err("for listening");
    assert!(refused.to_string().contains("'to'"), "{refused}");
}

#[test]
fn multipath_tcp_is_for_both_sides_and_only_if_asked_for() {
    let inet = Inet { mptcp: true, ..Inet::new("127.0.0.1".into(), 0) };
    let probe = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::MPTCP));
    if let Err(error) = probe {
        let refused = bind(&Address::Inet(inet)).expect_err("no such protocol");
        assert_eq!(refused.kind(), io::Error::from(error).kind());
        let _ = writeln!(io::stderr(), "skipped: needs a kernel with MPTCP: {error}");
        return;
    }
    for (mptcp, protocol) in [(true, ipproto::MPTCP), (false, ipproto::TCP)] {
        let listeners = bind(&Address::Inet(Inet { mptcp, ..inet.clone() })).expect("listens");
        assert_eq!(socket_protocol(&listeners[0]), Ok(Some(protocol)));
        let port = port(listeners[0].address());
        let there = Address::Inet(Inet { mptcp, ..Inet::new("127.0.0.1".into(), port) });
        let client = Remote::resolve(there, None).and_then(|remote| remote.connect()).expect("it listens");
        assert_eq!(socket_protocol(&client), Ok(Some(protocol)));
        assert!(listeners[0].accept(SocketFlags::empty()).expect("room").is_some());
    }
}

#[test]
fn both_ends_of_a_connection_are_known_by_their_addresses() {
    let listeners = bind(&Address::inet("127.0.0.1", 0)).expect("listens");
    let there = listeners[0].address().clone();
    let client = Remote::resolve(there.clone(), None).and_then(|remote| remote.connect()).expect("it listens");
    let server = listeners[0].accept(SocketFlags::empty()).expect("room").expect("a client");
    assert_eq!((Address::own(&server), Address::peer(&client)), (Some(there.clone()), Some(there)));
    assert_eq!(Address::peer(&server), Address::own(&client));
}
