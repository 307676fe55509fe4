//! Tells the service manager that started us how far we are, as of `sd_notify(3)`.
//!
//! By hand, for the crates that do it know no abstract sockets, which some managers use.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What the manager wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All sockets listen.
    Ready,
    /// The end has begun.
    Stopping,
}

/// Tells the manager, if there is one.
pub fn notify(stage: Stage) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, stage) {
        tracing::warn!(?socket, %error, "cannot notify the service manager");
    }
}

fn send(socket: &OsStr, stage: Stage) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let message = match stage {
        Stage::Ready => "READY=1\n",
        Stage::Stopping => "STOPPING=1\n",
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message.as_bytes(), &address).map(drop)
}
