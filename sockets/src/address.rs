//! Where a server listens and a client connects.

use std::fmt;
use std::path::PathBuf;

/// The address of a stream socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// TCP.
    Inet(Inet),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inet {
    /// Name or address; to listen on, an empty one means all of this machine.
    pub host: String,
    /// Port; to listen on, 0 means one that is free.
    pub port: u16,
}

impl Address {
    /// TCP at this host, which may be a name, and port.
    pub fn inet(host: impl Into<String>, port: u16) -> Self {
        Self::Inet(Inet { host: host.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Inet(inet) => inet.fmt(f),
        }
    }
}

impl fmt::Display for Inet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
