//! Somebody else's listening socket, to connect to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_nodelay, socket_acceptconn};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, ipproto, socket_with};

use crate::address::{Address, Inet};
use crate::error::{invalid, within};
use crate::inherited;
use crate::resolve::{abstract_name, resolve, unix_name};
use crate::tls::Credentials;

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
    Inet {
        address: SocketAddr,
        mptcp: bool,
        options: TcpOptions,
    },
    /// One that is connected already.
    Inherited(OwnedFd),
}

/// What a TCP socket is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpOptions {
    pub(crate) keep_alive: bool,
    pub(crate) nodelay: bool,
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
    /// Nothing, or something that must not be connected to without `credentials`.
    pub fn resolve(address: Address, credentials: Option<&Credentials>) -> io::Result<Self> {
        let targets = match &address {
            Address::Unix(path) => vec![Target::Unix(unix_name(path)?)],
            Address::Abstract { name, tight } => vec![Target::Unix(abstract_name(name, *tight)?)],
            Address::Inet(inet) => {
                if inet.last_port != inet.port {
                    return Err(invalid("'to' is for sockets that listen"));
                }
                let Inet { mptcp, keep_alive, nodelay, .. } = *inet;
                let options = TcpOptions { keep_alive, nodelay };
                let target = |address| Target::Inet { address, mptcp, options };
                resolve(inet, credentials)?.into_iter().map(target).collect()
            }
            Address::Inherited(name) => vec![Target::Inherited(connected(name)?)],
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
            match target.connect(SocketFlags::empty()) {
                Ok(Attempt::Connected(socket) | Attempt::Begun(socket)) => return Ok(socket),
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
        Ok(target.connect(SocketFlags::NONBLOCK)?)
    }
}

/// A copy of the socket of this name. On one that listens nothing would ever arrive, and nobody be told why.
fn connected(name: &str) -> io::Result<OwnedFd> {
    let socket = inherited::socket(name)?;
    if socket_acceptconn(&socket)? {
        return Err(invalid(&format!("socket '{name}' listens: it takes server=on")));
    }
    Ok(socket)
}

impl Target {
    fn connect(&self, flags: SocketFlags) -> rustix::io::Result<Attempt> {
        let flags = flags | SocketFlags::CLOEXEC;
        let (socket, outcome) = match self {
            Self::Unix(name) => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                let outcome = connect(&socket, name);
                (socket, outcome)
            }
            Self::Inet { address, mptcp, options } => {
                let socket = tcp_socket(address, *mptcp, flags)?;
                options.set(&socket)?;
                let outcome = connect(&socket, address);
                (socket, outcome)
            }
            Self::Inherited(socket) => (fcntl_dupfd_cloexec(socket, 0)?, Ok(())),
        };
        match outcome {
            Ok(()) => Ok(Attempt::Connected(socket)),
            Err(Errno::INPROGRESS) => Ok(Attempt::Begun(socket)),
            Err(error) => Err(error),
        }
    }
}

/// A new socket for this address.
pub(crate) fn tcp_socket(address: &SocketAddr, mptcp: bool, flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket_with(family, SocketType::STREAM, flags, mptcp.then_some(ipproto::MPTCP))
}

impl TcpOptions {
    pub(crate) fn set(self, socket: &OwnedFd) -> rustix::io::Result<()> {
        set_tcp_nodelay(socket, self.nodelay)?;
        set_socket_keepalive(socket, self.keep_alive)
    }
}
