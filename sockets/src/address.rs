//! Where a server listens and a client connects.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use qapi_schema::Error;
use qapi_schema::sockets::{
    FdSocketAddress, InetSocketAddress, SocketAddress, SocketAddressKind, SocketAddressLegacy, SocketAddressLegacyKind,
    UnixSocketAddress,
};
use rustix::net::{SocketAddrAny, SocketAddrUnix, getpeername, getsockname};

/// The address of a stream socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// A unix socket that has a name and no file.
    Abstract {
        /// The name.
        name: String,
        /// It ends where it ends, and is not filled up with zeroes.
        tight: bool,
    },
    /// TCP.
    Inet(Inet),
    /// A socket that the process was started with, by its name in `LISTEN_FDNAMES` or its number.
    Inherited(String),
}

/// A host and a port, and how to use them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inet {
    /// Name or address; to listen on, an empty one means all of this machine.
    pub host: String,
    /// Port; to listen on, 0 means one that is free.
    pub port: u16,
    /// To listen on, the last port to try.
    pub last_port: u16,
    /// The host is an address, and no name is looked up.
    pub numeric: bool,
    /// Addresses of this family are used.
    pub ipv4: bool,
    /// Addresses of this family are used.
    pub ipv6: bool,
    /// A peer that vanishes without a word is noticed some time. Sockets that are accepted always have it.
    pub keep_alive: bool,
    /// What is written leaves at once.
    pub nodelay: bool,
    /// Over several paths at once (RFC 8684), if the peer can.
    pub mptcp: bool,
}

impl Address {
    /// TCP at this host, which may be a name, and port.
    pub fn inet(host: impl Into<String>, port: u16) -> Self {
        Self::Inet(Inet::new(host.into(), port))
    }

    /// Where this socket is: one that was accepted, where the listener is that it came in at.
    pub fn own(socket: impl AsFd) -> Option<Self> {
        Self::of(getsockname(socket).ok()?)
    }

    /// Where the peer of this socket is, if it has a name; clients on unix sockets seldom do.
    pub fn peer(socket: impl AsFd) -> Option<Self> {
        Self::of(getpeername(socket).ok()??)
    }

    fn of(name: SocketAddrAny) -> Option<Self> {
        if let Ok(address) = SocketAddr::try_from(name.clone()) {
            return Some(Self::inet(address.ip().to_string(), address.port()));
        }
        let name = SocketAddrUnix::try_from(name).ok()?;
        if let Some(path) = name.path() {
            return Some(Self::Unix(OsStr::from_bytes(path.to_bytes()).into()));
        }
        let name = name.abstract_name().filter(|name| !name.is_empty()).map(String::from_utf8_lossy)?;
        let bare = name.trim_end_matches('\0');
        Some(Self::Abstract { name: bare.to_owned(), tight: bare.len() == name.len() })
    }
}

impl Inet {
    /// The usual way to use this host and port.
    pub const fn new(host: String, port: u16) -> Self {
        let (last_port, numeric, mptcp) = (port, false, false);
        Self { host, port, last_port, numeric, ipv4: true, ipv6: true, keep_alive: true, nodelay: true, mptcp }
    }
}

impl TryFrom<SocketAddress> for Address {
    type Error = Error;

    fn try_from(address: SocketAddress) -> Result<Self, Error> {
        match address.r#type {
            SocketAddressKind::Inet(inet) => Inet::try_from(inet).map(Self::Inet),
            SocketAddressKind::Unix(unix) => Ok(unix.into()),
            SocketAddressKind::Fd(FdSocketAddress { str }) => Ok(Self::Inherited(str)),
        }
    }
}

impl TryFrom<SocketAddressLegacy> for Address {
    type Error = Error;

    fn try_from(address: SocketAddressLegacy) -> Result<Self, Error> {
        let r#type = match address.r#type {
            SocketAddressLegacyKind::Inet(wrapper) => SocketAddressKind::Inet(wrapper.data),
            SocketAddressLegacyKind::Unix(wrapper) => SocketAddressKind::Unix(wrapper.data),
            SocketAddressLegacyKind::Fd(wrapper) => SocketAddressKind::Fd(wrapper.data),
        };
        SocketAddress { r#type }.try_into()
    }
}

/// `tight` says nothing of a socket with a file, but QEMU lets it be said.
impl From<UnixSocketAddress> for Address {
    fn from(UnixSocketAddress { path, r#abstract, tight }: UnixSocketAddress) -> Self {
        if r#abstract.unwrap_or(false) {
            Self::Abstract { name: path, tight: tight.unwrap_or(true) }
        } else {
            Self::Unix(path.into())
        }
    }
}

impl TryFrom<InetSocketAddress> for Inet {
    type Error = Error;

    fn try_from(address: InetSocketAddress) -> Result<Self, Error> {
        let InetSocketAddress { host, port, numeric, to, ipv4, ipv6, keep_alive, mptcp } = address;
        let Ok(number) = port.parse() else {
            return Err(Error::generic(format!(
                "address resolution failed for {host}:{port}: port must be a number from 0 to 65535"
            )));
        };
        // What is not mentioned is the opposite of what is.
        let (ipv4, ipv6) = (ipv4.unwrap_or(ipv6 != Some(true)), ipv6.unwrap_or(ipv4 != Some(true)));
        if !ipv4 && !ipv6 {
            return Err(Error::generic("Parameters 'ipv4' and 'ipv6' are both off"));
        }
        let last_port = to.unwrap_or(number);
        if last_port < number {
            return Err(Error::generic(format!("Parameter 'to' is below the port {number}")));
        }
        let (numeric, mptcp) = (numeric.unwrap_or(false), mptcp.unwrap_or(false));
        let keep_alive = keep_alive.unwrap_or(true);
        Ok(Self { last_port, numeric, ipv4, ipv6, keep_alive, mptcp, ..Self::new(host, number) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Abstract { name, .. } => write!(f, "@{name}"),
            Self::Inet(inet) => inet.fmt(f),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

impl fmt::Display for Inet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: InetSocketAddress = InetSocketAddress {
        host: String::new(),
        port: String::new(),
        numeric: None,
        to: None,
        ipv4: None,
        ipv6: None,
        keep_alive: None,
        mptcp: None,
    };

    fn inet(address: InetSocketAddress) -> Result<Inet, String> {
        Inet::try_from(InetSocketAddress { port: "80".into(), ..address }).map_err(|error| error.to_string())
    }

    #[test]
    fn a_family_that_is_mentioned_excludes_the_other() {
        let families =
            |ipv4, ipv6| inet(InetSocketAddress { ipv4, ipv6, ..ADDRESS }).map(|inet| (inet.ipv4, inet.ipv6));
        assert_eq!(families(None, None), Ok((true, true)));
        assert_eq!(families(Some(true), None), Ok((true, false)));
        assert_eq!(families(None, Some(true)), Ok((false, true)));
        assert_eq!(families(Some(false), None), Ok((false, true)));
        assert_eq!(families(Some(true), Some(true)), Ok((true, true)));
        assert_eq!(families(Some(false), Some(false)), Err("Parameters 'ipv4' and 'ipv6' are both off".into()));
    }

    #[test]
    fn ports_are_a_range_of_numbers() {
        let last = |to| inet(InetSocketAddress { to, ..ADDRESS }).map(|inet| inet.last_port);
        assert_eq!((last(None), last(Some(90))), (Ok(80), Ok(90)));
        assert_eq!(last(Some(79)), Err("Parameter 'to' is below the port 80".into()));
        assert!(Inet::try_from(InetSocketAddress { port: "http".into(), ..ADDRESS }).is_err());
    }

    #[test]
    fn only_of_an_abstract_socket_it_matters_whether_it_is_tight() {
        let unix = |r#abstract, tight| Address::from(UnixSocketAddress { path: "q".into(), r#abstract, tight });
        let hidden = |tight| Address::Abstract { name: "q".into(), tight };
        for tight in [None, Some(true), Some(false)] {
            assert_eq!(unix(None, tight), Address::Unix("q".into()));
            assert_eq!(unix(Some(false), tight), Address::Unix("q".into()));
            assert_eq!(unix(Some(true), tight), hidden(tight.unwrap_or(true)));
        }
    }
}
