//! From an [`Inet`] to the addresses it stands for, of which only those on loopback are used: whoever reaches a socket
//! controls the guest, and plain TCP has no way to tell who that is.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::address::Inet;
use crate::error::within;

/// What `inet` stands for.
///
/// # Errors
/// Nothing, or addresses beyond loopback.
pub(crate) fn resolve(inet: &Inet) -> io::Result<Vec<SocketAddr>> {
    let addresses =
        look_up(inet).map_err(|error| within(format_args!("address resolution failed for {inet}"), &error))?;
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        let message = format!("TCP at {inet} is refused: it is possible on loopback only");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(addresses)
}

/// "" stands for all addresses, which an IPv6 socket can listen on alone; one of IPv4 is for kernels without.
fn look_up(inet: &Inet) -> io::Result<Vec<SocketAddr>> {
    if inet.host.is_empty() {
        return Ok(vec![([0; 16], inet.port).into(), ([0; 4], inet.port).into()]);
    }
    let addresses: Vec<_> = (inet.host.as_str(), inet.port).to_socket_addrs()?.collect();
    if addresses.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, "there is none")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(host: &str) -> Result<usize, String> {
        resolve(&Inet { host: host.into(), port: 7 }).map(|found| found.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_tcp_stays_on_loopback() {
        assert_eq!(resolved("127.0.0.1"), Ok(1));
        assert_eq!(resolved("::1"), Ok(1));
        assert!(resolved("localhost").is_ok());
        for beyond in ["192.0.2.1", "0.0.0.0", "::", ""] {
            assert!(resolved(beyond).expect_err("refused").contains("loopback only"), "{beyond}");
        }
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_named() {
        let refused = resolved("no-such-host.invalid").expect_err("no such host");
        assert!(refused.starts_with("address resolution failed for no-such-host.invalid:7: "), "{refused}");
    }
}
