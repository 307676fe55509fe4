//! Somebody else's listening socket, to connect to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::address::Address;
use crate::error::within;
use crate::resolve::resolve;

/// An address to connect to, with all that it stands for.
#[derive(Debug)]
pub struct Remote {
    address: Address,
    targets: Vec<Target>,
    /// Which of them is tried next, by who does not wait for the outcome.
    next: usize,
}

#[derive(Debug)]
enum Target {
    Unix(SocketAddrUnix),
    Inet(SocketAddr),
}

/// A connection that was not waited for.
#[derive(Debug)]
pub enum Attempt {
    /// It is there.
    Connected(OwnedFd),
    /// The socket becomes writable when the outcome is known.
    Begun(OwnedFd),
}

impl Remote {
    /// Finds out what `address` stands for, which may take a while if it is a name.
    ///
    /// # Errors
    /// Nothing, or something that must not be connected to.
    pub fn resolve(address: Address) -> io::Result<Self> {
        let targets = match &address {
            Address::Unix(path) => vec![Target::Unix(unix_name(path)?)],
            Address::Inet(inet) => resolve(inet)?.into_iter().map(Target::Inet).collect(),
        };
        Ok(Self { address, targets, next: 0 })
    }

    /// The address as it was given.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Connects, and waits for it.
    ///
    /// # Errors
    /// Why the last of the addresses can't be connected to.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        let mut failure = Errno::ADDRNOTAVAIL;
        for target in &self.targets {
            let connected = target.socket(SocketFlags::empty()).and_then(|socket| {
                target.connect(&socket)?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = error,
            }
        }
        Err(within(format_args!("Failed to connect to {}", self.address), &failure.into()))
    }

    /// Begins to connect to the next of the addresses.
    ///
    /// # Errors
    /// It failed at once.
    pub fn begin(&mut self) -> io::Result<Attempt> {
        let target = self.targets.get(self.next % self.targets.len().max(1)).ok_or(Errno::ADDRNOTAVAIL)?;
        self.next += 1;
        let socket = target.socket(SocketFlags::NONBLOCK)?;
        match target.connect(&socket) {
            Ok(()) => Ok(Attempt::Connected(socket)),
            Err(Errno::INPROGRESS) => Ok(Attempt::Begun(socket)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Target {
    fn socket(&self, flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
        let family = match self {
            Self::Unix(_) => AddressFamily::UNIX,
            Self::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
        };
        socket_with(family, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None)
    }

    fn connect(&self, socket: &OwnedFd) -> rustix::io::Result<()> {
        match self {
            Self::Unix(name) => connect(socket, name),
            Self::Inet(address) => {
                set_tcp_options(socket)?;
                connect(socket, address)
            }
        }
    }
}

/// What is written leaves at once, and a peer that vanished without a word is noticed some time.
pub(crate) fn set_tcp_options(socket: &OwnedFd) -> rustix::io::Result<()> {
    set_tcp_nodelay(socket, true)?;
    set_socket_keepalive(socket, true)
}

pub(crate) fn unix_name(path: &Path) -> io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(path).map_err(|error| match error {
        Errno::NAMETOOLONG => {
            let message = format!("UNIX socket path '{}' is too long", path.display());
            io::Error::new(io::ErrorKind::InvalidInput, message)
        }
        error => within(path.display(), &error.into()),
    })
}
