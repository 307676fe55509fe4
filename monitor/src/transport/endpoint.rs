//! Addresses that a monitor can be reached at, or reaches out to.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// TCP, on loopback only: the protocol has no authentication and gives power over the host's files.
    Tcp(SocketAddr),
}

impl Endpoint {
    /// The TCP endpoint of this host, which may be a name, and port.
    ///
    /// # Errors
    /// The name cannot be resolved, or not to a loopback address.
    pub fn tcp(host: &str, port: u16) -> io::Result<Self> {
        let addresses = (host, port).to_socket_addrs().map_err(|error| within(&format!("{host}:{port}"), &error))?;
        let mut refused = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
        for address in addresses {
            let endpoint = Self::Tcp(address);
            match endpoint.check() {
                Ok(()) => return Ok(endpoint),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Refuses what must not be served.
    pub(super) fn check(&self) -> io::Result<()> {
        match self {
            Self::Unix(_) => Ok(()),
            Self::Tcp(address) if address.ip().is_loopback() => Ok(()),
            Self::Tcp(_) => {
                let message = format!("{self}: TCP is possible on loopback only");
                Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
            }
        }
    }

    /// A new socket of the right kind.
    pub(super) fn socket(&self, flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
        let family = match self {
            Self::Unix(_) => AddressFamily::UNIX,
            Self::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
        };
        socket_with(family, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None)
    }

    /// Connects `socket`.
    pub(super) fn connect(&self, socket: &OwnedFd) -> rustix::io::Result<()> {
        match self {
            Self::Unix(path) => connect(socket, &SocketAddrUnix::new(path)?),
            Self::Tcp(address) => {
                set_tcp_nodelay(socket, true)?;
                connect(socket, address)
            }
        }
    }

    /// An error at this endpoint, with its name.
    pub(super) fn error(&self, error: &io::Error) -> io::Error {
        within(&self.to_string(), error)
    }
}

/// The number of the error, which `io::Error` appends, is left out: this is for people.
fn within(place: &str, error: &io::Error) -> io::Error {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    let text = number.and_then(|number| text.strip_suffix(&number)).unwrap_or(&text);
    io::Error::new(error.kind(), format!("{place}: {text}"))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_is_possible_on_loopback_only() {
        assert!(Endpoint::tcp("127.0.0.1", 4444).is_ok());
        assert!(Endpoint::tcp("::1", 4444).is_ok());
        let refused = Endpoint::tcp("192.0.2.1", 4444).expect_err("not loopback");
        assert_eq!(refused.to_string(), "tcp:192.0.2.1:4444: TCP is possible on loopback only");
        assert!(Endpoint::tcp("0.0.0.0", 4444).is_err());
    }
}
