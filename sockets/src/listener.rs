//! A socket that clients connect to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, socket_acceptconn, socket_type};
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, getsockname, listen, shutdown,
    socket_with,
};

use crate::access::Access;
use crate::address::{Address, Inet};
use crate::error::{invalid, within};
use crate::gate::Gate;
use crate::inherited;
use crate::remote::{TcpOptions, tcp_socket};
use crate::resolve::{abstract_name, check, resolve, unix_name};
use crate::socket_file::SocketFile;

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 128;

/// Listening never blocks.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: Address,
    gate: Gate,
    /// What accepted sockets are to have.
    tcp: Option<TcpOptions>,
    file: Option<SocketFile>,
}

impl Listener {
    /// Listens at all that `address` stands for: a host name can stand for several addresses, which get the same port.
    /// Those that can be had are enough.
    ///
    /// The file of a unix socket replaces one that nobody serves, and is removed with the listener unless it was
    /// replaced meanwhile.
    ///
    /// # Errors
    /// The address can't be had, or not safely, with its name.
    pub fn bind(address: &Address, access: &Access) -> io::Result<Vec<Self>> {
        let unbound = |error| within(format_args!("Failed to bind socket to {address}"), &error);
        let one = |socket, file| Self::one(socket, file, address, access);
        match address {
            Address::Unix(path) => {
                let name = unix_name(path)?;
                let (socket, file) = unix(path, &name, access).map_err(unbound)?;
                Ok(vec![one(socket, Some(file))])
            }
            Address::Abstract { name, tight } => {
                let name = abstract_name(name, *tight)?;
                Ok(vec![one(hidden(&name).map_err(unbound)?, None)])
            }
            Address::Inet(inet) => {
                if !inet.keep_alive {
                    return Err(unbound(invalid("keep-alive=off is for sockets that connect")));
                }
                let addresses = resolve(inet, access.credentials())?;
                Self::inet(&addresses, inet).map_err(unbound)
            }
            Address::Inherited(name) => Ok(vec![Self::adopt(inherited::socket(name)?, address, access)?]),
        }
    }

    /// Listens on a socket that others have made, which goes by the name `address`.
    ///
    /// # Errors
    /// It is not a socket that can listen, or not a safe one.
    pub fn adopt(socket: OwnedFd, address: &Address, access: &Access) -> io::Result<Self> {
        let tcp = examine(&socket, address, access)?;
        Ok(Self { tcp, ..Self::one(socket, None, address, access) })
    }

    /// Nobody connects any more, and the socket's file is gone, whoever still waits at this: his wait ends.
    pub fn close(&self) {
        // One that does not listen any more is as it should be.
        let _ = shutdown(&self.socket, Shutdown::Both);
        if let Some(file) = &self.file {
            file.remove();
        }
    }

    fn one(socket: OwnedFd, file: Option<SocketFile>, address: &Address, access: &Access) -> Self {
        Self { socket, address: address.clone(), gate: Gate::new(address, access), tcp: None, file }
    }

    /// On the first port that is free.
    fn inet(addresses: &[SocketAddr], inet: &Inet) -> io::Result<Vec<Self>> {
        let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
        for port in inet.port..=inet.last_port {
            outcome = Self::inet_at(addresses, port, inet);
            if !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
        }
        outcome
    }

    /// All of the addresses, or, of those that stand for all of this machine, the first that can be had.
    fn inet_at(addresses: &[SocketAddr], mut port: u16, inet: &Inet) -> io::Result<Vec<Self>> {
        let mut listeners = Vec::new();
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match Self::tcp(SocketAddr::new(address.ip(), port), inet) {
                Ok((listener, _)) if inet.host.is_empty() => return Ok(vec![listener]),
                Ok((listener, bound)) => {
                    port = bound;
                    listeners.push(listener);
                }
                Err(error) => failure = error,
            }
        }
        if listeners.is_empty() { Err(failure) } else { Ok(listeners) }
    }

    fn tcp(address: SocketAddr, inet: &Inet) -> io::Result<(Self, u16)> {
        let socket = tcp_socket(&address, inet.mptcp, FLAGS)?;
        set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() && !inet.ipv4 {
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        let bound = SocketAddr::try_from(getsockname(&socket)?)?;
        let address = Address::inet(bound.ip().to_string(), bound.port());
        let tcp = Some(TcpOptions { keep_alive: true, nodelay: inet.nodelay });
        Ok((Self { socket, address, gate: Gate::Open, tcp, file: None }, bound.port()))
    }

    /// Where it listens, with the port it was given.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Takes a client that waits; its socket gets `flags`. `None` if there is none, or it was not let in.
    ///
    /// # Errors
    /// There is no room for a client, who will wait on.
    pub fn accept(&self, flags: SocketFlags) -> io::Result<Option<OwnedFd>> {
        match retry_on_intr(|| accept_with(&self.socket, flags | SocketFlags::CLOEXEC)) {
            Ok(socket) => {
                if let Some(Err(error)) = self.tcp.map(|tcp| tcp.set(&socket)) {
                    // It has left already: that is no reason to let others wait.
                    tracing::debug!(address = %self.address, %error, "cannot serve client");
                    return Ok(None);
                }
                Ok(self.gate.admits(&socket, &self.address).then_some(socket))
            }
            Err(Errno::AGAIN | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn unix(path: &Path, name: &SocketAddrUnix, access: &Access) -> io::Result<(OwnedFd, SocketFile)> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    let file = SocketFile::bind(&socket, path, name)?;
    file.admit(access.file_mode(), access.group)?;
    listen(&socket, BACKLOG)?;
    file.check()?;
    Ok((socket, file))
}

/// One without a file.
fn hidden(name: &SocketAddrUnix) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    bind(&socket, name)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Whether a socket that others have made is a safe one. What sockets accepted there are to have.
fn examine(socket: &OwnedFd, address: &Address, access: &Access) -> io::Result<Option<TcpOptions>> {
    let name = match address {
        Address::Inherited(name) => name.clone(),
        Address::Unix(_) | Address::Abstract { .. } | Address::Inet(_) => address.to_string(),
    };
    let refused = |why: &str| invalid(&format!("socket '{name}' {why}"));
    if socket_type(socket).ok() != Some(SocketType::STREAM) {
        return Err(refused("is not a stream socket"));
    }
    let own = getsockname(socket)?;
    let tcp = match own.address_family() {
        AddressFamily::UNIX => None,
        AddressFamily::INET | AddressFamily::INET6 => {
            check(SocketAddr::try_from(own)?.ip(), &name, access.credentials())?;
            Some(TcpOptions { keep_alive: true, nodelay: true })
        }
        _ => return Err(refused("is neither a unix nor a TCP socket")),
    };
    // Who has bound it may have left the rest to us.
    if !socket_acceptconn(socket)? {
        let unable = |error: Errno| within(format_args!("socket '{name}' does not listen"), &error.into());
        listen(socket, BACKLOG).map_err(unable)?;
    }
    // Shared with whoever else has the socket, who will have expected it.
    fcntl_setfl(socket, fcntl_getfl(socket)? | OFlags::NONBLOCK)?;
    Ok(tcp)
}
