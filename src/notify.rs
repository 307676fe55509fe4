//! Tells the service manager that started us how far we are, as of `sd_notify(3)`.
//!
//! By hand, for the crates that do it know no abstract sockets, which some managers use.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a manager that does not read may hold us up. One that many services start under can be that busy, and would
/// take us for dead if it were not told.
const PATIENCE: Duration = Duration::from_secs(5);

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
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by a panic")]

    use super::*;
    use std::thread;

    #[test]
    fn a_manager_that_is_busy_is_told_when_it_reads() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a free path");
        let other = UnixDatagram::unbound().expect("a socket");
        other.set_nonblocking(true).expect("a flag");
        while other.send_to(b"other", &path).is_ok() {}

        let telling = thread::spawn(move || send(path.as_os_str(), Stage::Ready));
        let mut message = [0; 16];
        while manager.recv(&mut message).map(|length| &message[..length]).expect("a message") != b"READY=1\n" {
            assert!(!telling.is_finished(), "it is not told");
        }
        telling.join().expect("no panic").expect("sent");
    }
}
