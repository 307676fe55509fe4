//! A socket that clients connect to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with,
};

use crate::address::Address;
use crate::error::within;
use crate::remote::{set_tcp_options, unix_name};
use crate::resolve::resolve;
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
    _file: Option<SocketFile>,
}

impl Listener {
    /// Listens at all that `address` stands for: a host name can stand for several addresses, which get the same port.
    /// Those that can be had are enough.
    ///
    /// The file of a unix socket is created for this user only, replaces one that nobody serves, and is removed with the
    /// listener unless it was replaced meanwhile.
    ///
    /// # Errors
    /// The address can't be had, or not safely, with its name.
    pub fn bind(address: &Address) -> io::Result<Vec<Self>> {
        let unbound = |error| within(format_args!("Failed to bind socket to {address}"), &error);
        match address {
            Address::Unix(path) => {
                let name = unix_name(path)?;
                Ok(vec![Self::unix(path, &name).map_err(unbound)?])
            }
            Address::Inet(inet) => {
                let addresses = resolve(inet)?;
                Self::inet(&addresses, inet.port, inet.host.is_empty()).map_err(unbound)
            }
        }
    }

    fn unix(path: &Path, name: &SocketAddrUnix) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        let file = SocketFile::bind(&socket, path, name)?;
        listen(&socket, BACKLOG)?;
        Ok(Self { socket, address: Address::Unix(path.to_owned()), _file: Some(file) })
    }

    /// All of the addresses, or the `first` that can be had.
    fn inet(addresses: &[SocketAddr], mut port: u16, first: bool) -> io::Result<Vec<Self>> {
        let mut listeners = Vec::new();
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match Self::tcp(SocketAddr::new(address.ip(), port)) {
                Ok((listener, _)) if first => return Ok(vec![listener]),
                Ok((listener, bound)) => {
                    port = bound;
                    listeners.push(listener);
                }
                Err(error) => failure = error,
            }
        }
        if listeners.is_empty() { Err(failure) } else { Ok(listeners) }
    }

    fn tcp(address: SocketAddr) -> io::Result<(Self, u16)> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        let bound = SocketAddr::try_from(getsockname(&socket)?)?;
        let address = Address::inet(bound.ip().to_string(), bound.port());
        Ok((Self { socket, address, _file: None }, bound.port()))
    }

    /// Where it listens, with the port it was given.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Takes a client that waits, if there is one; its socket gets `flags`.
    ///
    /// # Errors
    /// There is no room for a client, who will wait on.
    pub fn accept(&self, flags: SocketFlags) -> io::Result<Option<OwnedFd>> {
        match retry_on_intr(|| accept_with(&self.socket, flags | SocketFlags::CLOEXEC)) {
            Ok(socket) => {
                if let Address::Inet(_) = self.address {
                    set_tcp_options(&socket)?;
                }
                Ok(Some(socket))
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
