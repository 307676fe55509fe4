//! From an address to the names that the kernel knows. Of TCP addresses, only those on loopback are used without TLS:
//! whoever reaches a socket controls the guest, and plain TCP has no way to tell who that is.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use crate::address::Inet;
use crate::error::{invalid, within};
use crate::tls::Credentials;

/// Longest name of an abstract socket (`sun_path` of unix(7), after its leading zero).
const LONGEST_NAME: usize = 107;

/// What `inet` stands for.
///
/// # Errors
/// Nothing, or addresses beyond loopback without `credentials`.
pub(crate) fn resolve(inet: &Inet, credentials: Option<&Credentials>) -> io::Result<Vec<SocketAddr>> {
    let addresses =
        look_up(inet).map_err(|error| within(format_args!("address resolution failed for {inet}"), &error))?;
    addresses.iter().try_for_each(|address| check(address.ip(), inet, credentials))?;
    Ok(addresses)
}

/// Refuses what others than this machine reach, unless they have to say who they are.
pub(crate) fn check(ip: IpAddr, inet: impl Display, credentials: Option<&Credentials>) -> io::Result<()> {
    match credentials {
        _ if ip.to_canonical().is_loopback() => {}
        Some(credentials) if credentials.verifies_peer() => {}
        Some(_) => tracing::warn!(address = %inet, "verify-peer=off: whoever reaches this address controls the guest"),
        None => {
            let message = format!(
                "TCP at {inet} is refused: it is not on loopback, and without TLS whoever reaches it controls the guest; \
                 add tls-creds=ID of an object tls-creds-x509"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
    }
    Ok(())
}

/// "" stands for all addresses, which an IPv6 socket can listen on alone; one of IPv4 is for kernels without.
fn look_up(inet: &Inet) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = if inet.host.is_empty() {
        vec![([0; 16], inet.port).into(), ([0; 4], inet.port).into()]
    } else if inet.numeric {
        let ip = inet.host.parse::<IpAddr>();
        let ip = ip.map_err(|_| invalid("it is not a numeric address"))?;
        vec![(ip, inet.port).into()]
    } else {
        (inet.host.as_str(), inet.port).to_socket_addrs()?.collect()
    };
    addresses.retain(|address| if address.is_ipv4() { inet.ipv4 } else { inet.ipv6 });
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is none of a family that is on"));
    }
    Ok(addresses)
}

pub(crate) fn unix_name(path: &Path) -> io::Result<SocketAddrUnix> {
    if path.as_os_str().is_empty() {
        return Err(invalid("the path of a unix socket is empty"));
    }
    SocketAddrUnix::new(path).map_err(|error| match error {
        Errno::NAMETOOLONG => too_long("UNIX socket path", path.display()),
        error => within(path.display(), &error.into()),
    })
}

pub(crate) fn abstract_name(name: &str, tight: bool) -> io::Result<SocketAddrUnix> {
    let mut bytes = name.as_bytes().to_vec();
    if bytes.is_empty() {
        // The kernel would choose a name that nobody knows.
        return Err(invalid("the name of an abstract socket is empty"));
    }
    if !tight && bytes.len() < LONGEST_NAME {
        bytes.resize(LONGEST_NAME, 0);
    }
    SocketAddrUnix::new_abstract_name(&bytes).map_err(|_| too_long("abstract socket name", name))
}

fn too_long(what: &str, name: impl Display) -> io::Error {
    invalid(&format!("{what} '{name}' is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(host: &str) -> Inet {
        Inet::new(host.into(), 7)
    }

    fn resolved(inet: &Inet) -> Result<usize, String> {
        resolve(inet, None).map(|found| found.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_tcp_stays_on_loopback() {
        assert_eq!(resolved(&inet("127.0.0.1")), Ok(1));
        assert_eq!(resolved(&inet("::1")), Ok(1));
        assert_eq!(resolved(&inet("::ffff:127.0.0.1")), Ok(1));
        assert!(resolved(&inet("localhost")).is_ok());
        for beyond in ["192.0.2.1", "0.0.0.0", "::", ""] {
            assert!(resolved(&inet(beyond)).expect_err("refused").contains("tls-creds="), "{beyond}");
        }
    }

    #[test]
    fn what_stands_for_nothing_is_named() {
        let refused = resolved(&inet("no-such-host.invalid")).expect_err("no such host");
        assert!(refused.starts_with("address resolution failed for no-such-host.invalid:7: "), "{refused}");
        let refused = resolved(&Inet { numeric: true, ..inet("localhost") }).expect_err("a name");
        assert_eq!(refused, "address resolution failed for localhost:7: it is not a numeric address");
        let refused = resolved(&Inet { ipv4: false, ..inet("127.0.0.1") }).expect_err("the other family");
        assert_eq!(refused, "address resolution failed for 127.0.0.1:7: there is none of a family that is on");
    }

    #[test]
    fn a_name_that_is_not_tight_is_filled_up() {
        let length = |name: &str, tight| abstract_name(name, tight).map(|name| name.abstract_name().map(<[u8]>::len));
        assert_eq!(length("abc", true).ok(), Some(Some(3)));
        assert_eq!(length("abc", false).ok(), Some(Some(107)));
        assert!(length(&"x".repeat(107), false).is_ok() && length(&"x".repeat(108), true).is_err());
        assert!(length("", true).is_err());
    }
}
