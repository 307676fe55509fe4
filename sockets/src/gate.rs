//! Who is let in: the peer's credentials against those allowed.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::process::geteuid;

use crate::access::Access;
use crate::address::Address;

/// The peers that are let in.
#[derive(Debug)]
pub(crate) enum Gate {
    /// Whoever reaches the socket.
    Open,
    /// Processes of these users, and those of these groups.
    Guarded { users: Vec<u32>, groups: Vec<u32> },
}

impl Gate {
    /// An abstract socket has no file whose mode could keep others out.
    pub(crate) fn new(address: &Address, access: &Access) -> Self {
        match (address, &access.users, &access.groups) {
            (Address::Abstract { .. }, None, None) => {
                Self::Guarded { users: vec![0, geteuid().as_raw()], groups: Vec::new() }
            }
            (_, None, None) => Self::Open,
            (_, users, groups) => {
                Self::Guarded { users: users.clone().unwrap_or_default(), groups: groups.clone().unwrap_or_default() }
            }
        }
    }

    /// Whether this peer is let in; if not, the log says who it was.
    pub(crate) fn admits(&self, socket: &OwnedFd, address: &Address) -> bool {
        let Self::Guarded { users, groups } = self else {
            return true;
        };
        match getsockopt(&socket.as_fd(), PeerCredentials) {
            Ok(peer) if users.contains(&peer.uid()) || groups.contains(&peer.gid()) => true,
            Ok(peer) => {
                let (pid, uid, gid) = (peer.pid(), peer.uid(), peer.gid());
                tracing::warn!(%address, pid, uid, gid, "client refused: neither its user nor its group is allowed");
                false
            }
            Err(error) => {
                tracing::warn!(%address, %error, "client refused: its user is not known");
                false
            }
        }
    }
}
