//! Sockets that listen: who may connect, and what happens to the name in the file system.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use super::address::Address;
use super::socket::Socket;
use crate::error::message;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// A listening socket that never blocks.
#[derive(Debug)]
pub(super) enum Listener {
    Unix { socket: UnixListener, file: SocketFile },
    Tcp { socket: TcpListener, address: SocketAddr },
}

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// The path does not fit into an address.
    PathTooLong(PathBuf),
    /// The host name stands for no address.
    Unresolved(Address, io::Error),
    /// The address can't be had.
    Unbound(Address, io::Error),
    /// The system refuses a thread or a descriptor.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PathTooLong(path) => write!(f, "UNIX socket path '{}' is too long", path.display()),
            Self::Unresolved(address, error) => write!(f, "address resolution failed for {address}: {error}"),
            Self::Unbound(address, error) => write!(f, "Failed to bind socket to {address}: {}", message(error)),
            Self::System(error) => write!(f, "Failed to start the NBD server: {}", message(error)),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::PathTooLong(_) => None,
            Self::Unresolved(_, error) | Self::Unbound(_, error) | Self::System(error) => Some(error),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Listener {
    /// Listens on all that `address` stands for.
    pub(super) fn open(address: &Address) -> Result<Vec<Self>, StartError> {
        let unbound = |error| StartError::Unbound(address.clone(), error);
        match address {
            Address::Unix(path) => {
                let name = SocketAddrUnix::new(path).map_err(|_| StartError::PathTooLong(path.clone()))?;
                Ok(vec![Self::unix(path, &name).map_err(unbound)?])
            }
            Address::Inet { host, port } => {
                let addresses = resolve(host, *port).map_err(|error| StartError::Unresolved(address.clone(), error))?;
                Self::inet(&addresses, *port, host.is_empty()).map_err(unbound)
            }
        }
    }

    /// Only the owner may connect: the mode is that of the socket before it gets its name, so there is no moment at
    /// which others could.
    fn unix(path: &Path, name: &SocketAddrUnix) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        match bind(&socket, name) {
            Err(Errno::ADDRINUSE) if is_abandoned(path) => {
                fs::remove_file(path)?;
                bind(&socket, name)?;
            }
            result => result?,
        }
        let file = SocketFile::new(path)?;
        listen(&socket, BACKLOG)?;
        Ok(Self::Unix { socket: socket.into(), file })
    }

    /// A host name can stand for several addresses: all get the same port, and those that can be had are enough, or the
    /// `first` of them.
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
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok((Self::Tcp { socket, address }, address.port()))
    }

    /// Where it listens, with the port it was given.
    pub(super) fn address(&self) -> Address {
        match self {
            Self::Unix { file, .. } => Address::Unix(file.path.clone()),
            Self::Tcp { address, .. } => Address::Inet { host: address.ip().to_string(), port: address.port() },
        }
    }

    /// Takes a client that waits, or fails with [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub(super) fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix { socket, .. } => Ok(socket.accept()?.0.into()),
            Self::Tcp { socket, .. } => socket.accept()?.0.try_into(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix { socket, .. } => socket.as_fd(),
            Self::Tcp { socket, .. } => socket.as_fd(),
        }
    }
}

/// "" stands for all addresses, which an IPv6 socket can listen on alone; one of IPv4 is for kernels without.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        return Ok(vec![([0; 16], port).into(), ([0; 4], port).into()]);
    }
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Whether a socket file is there that nobody listens on, left by a process that was killed.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    is_socket && refused()
}

/// The name of a unix socket, removed with it unless it was replaced meanwhile.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        // Absolute, for the process may change its directory before it removes the file.
        Ok(Self { path: std::path::absolute(path)?, identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // It goes with the directory, if not now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_owner_may_connect_and_the_name_goes_with_the_listener() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("nbd.sock");
        let listeners = Listener::open(&Address::Unix(path.clone())).expect("listens");
        let mode = fs::symlink_metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listeners);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_but_a_live_one_and_other_files_are_not() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("nbd.sock");
        drop(UnixListener::bind(&path).expect("listens"));
        assert!(path.exists());
        let listeners = Listener::open(&Address::Unix(path.clone())).expect("replaces");
        let refused = Listener::open(&Address::Unix(path.clone())).expect_err("is in use");
        let expected = format!("Failed to bind socket to {}: Address already in use", path.display());
        assert_eq!(refused.to_string(), expected);
        UnixStream::connect(&path).expect("is still served");
        drop(listeners);

        fs::write(&path, "precious").expect("written");
        assert!(Listener::open(&Address::Unix(path.clone())).is_err());
        assert_eq!(fs::read(&path).expect("there"), b"precious");
    }

    #[test]
    fn a_name_that_was_replaced_is_left_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("nbd.sock");
        let listeners = Listener::open(&Address::Unix(path.clone())).expect("listens");
        fs::remove_file(&path).expect("removed");
        let successor = UnixListener::bind(&path).expect("listens");
        drop(listeners);
        assert!(path.exists());
        drop(successor);
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let long = PathBuf::from("x".repeat(200));
        let refused = Listener::open(&Address::Unix(long)).expect_err("is too long");
        assert_eq!(refused.to_string(), format!("UNIX socket path '{}' is too long", "x".repeat(200)));
        let refused = Listener::open(&Address::Unix("/nowhere/nbd.sock".into())).expect_err("has no directory");
        let expected = "Failed to bind socket to /nowhere/nbd.sock: No such file or directory";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn port_0_becomes_one_port_for_all_addresses() {
        let address = Address::Inet { host: "localhost".into(), port: 0 };
        let listeners = Listener::open(&address).expect("listens");
        let ports: Vec<_> = listeners
            .iter()
            .map(|listener| match listener.address() {
                Address::Inet { port, .. } => port,
                Address::Unix(path) => panic!("{path:?}"),
            })
            .collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }
}
