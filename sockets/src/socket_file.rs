//! The file of a listening unix socket: a dead one is replaced, a live one is not stolen, ours is removed at the end.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, Stat, fchmod, lstat, unlink};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with};

/// A socket's file that this process created.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Binds `socket` to a new file at `path`, which only this user may connect to.
    pub(crate) fn bind(socket: &OwnedFd, path: &Path, name: &SocketAddrUnix) -> io::Result<Self> {
        // On a socket that is not bound yet, this is the mode that its file will be created with.
        fchmod(socket, Mode::RUSR | Mode::WUSR)?;
        match bind(socket, name) {
            Err(Errno::ADDRINUSE) => {
                remove_dead(path, name)?;
                bind(socket, name)?;
            }
            result => result?,
        }
        // Absolute, for the process may change its directory before it removes the file.
        Ok(Self { path: std::path::absolute(path)?, identity: Identity::of(&lstat(path)?) })
    }

    fn is_ours(&self) -> bool {
        lstat(&self.path).is_ok_and(|stat| Identity::of(&stat) == self.identity)
    }
}

/// Removes the socket file of a server that has ended.
fn remove_dead(path: &Path, name: &SocketAddrUnix) -> io::Result<()> {
    if FileType::from_raw_mode(lstat(path)?.st_mode) != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket"));
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&probe, name) {
        Err(Errno::CONNREFUSED) => match unlink(path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        },
        Err(Errno::NOENT) => Ok(()),
        // One whose clients wait in vain is alive, too.
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "the socket is in use by another process"))
        }
        Err(error) => Err(error.into()),
    }
}

impl Identity {
    const fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // It may be gone by now, and nobody is left to tell of another failure.
            let _ = unlink(&self.path);
        }
    }
}
