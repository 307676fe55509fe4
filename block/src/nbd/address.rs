//! Where a server listens and a client connects.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::socket::Socket;

/// The address of an NBD server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// TCP.
    Inet {
        /// Name or address; to listen on, an empty one means all of this machine.
        host: String,
        /// Port; to listen on, 0 means one that is free.
        port: u16,
    },
}

impl Address {
    pub(super) fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => Ok(UnixStream::connect(path)?.into()),
            Self::Inet { host, port } => TcpStream::connect((host.as_str(), *port))?.try_into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Inet { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Inet { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
