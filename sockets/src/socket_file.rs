//! The file of a listening unix socket: a dead one is replaced, a live one is not stolen, ours is removed at the end.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, chmod, chownat, fchmod, fstat, lstat, open, unlink};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with};

use crate::error::within;

/// The mode that lets only this user connect.
pub(crate) const USER: Mode = Mode::RUSR.union(Mode::WUSR);

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
    /// Binds `socket` to a new file at `path`.
    ///
    /// It is for this user only until [`Self::admit`] opens it, and nobody can connect before the socket listens.
    pub(crate) fn bind(socket: &OwnedFd, path: &Path, name: &SocketAddrUnix) -> io::Result<Self> {
        // On a socket that is not bound yet, this is the mode that its file will be created with.
        fchmod(socket, USER)?;
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

    /// Gives the file its group and its mode, whatever the umask. Nobody who can replace the file meanwhile gains
    /// another file's mode by it: it is held by a descriptor.
    pub(crate) fn admit(&self, mode: Mode, group: Option<Gid>) -> io::Result<()> {
        let file = open(&self.path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&file)?;
        if Identity::of(&stat) != self.identity {
            return Err(taken());
        }
        // Before the mode lets the group in.
        if let Some(group) = group {
            let failed = |error: Errno| within(format_args!("cannot give it to group {group}"), &error.into());
            chownat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), None, Some(group), AtFlags::empty())
                .map_err(failed)?;
        }
        if Mode::from_raw_mode(stat.st_mode) != mode {
            chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode)?;
        }
        Ok(())
    }

    /// That the file is still ours, now that the socket listens: until then it looked dead to others, who replace those.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_ours() { Ok(()) } else { Err(taken()) }
    }

    /// Removes the file, if it is still ours.
    pub(crate) fn remove(&self) {
        if self.is_ours() {
            // It may be gone by now, and nobody is left to tell of another failure.
            let _ = unlink(&self.path);
        }
    }

    fn is_ours(&self) -> bool {
        lstat(&self.path).is_ok_and(|stat| Identity::of(&stat) == self.identity)
    }
}

fn taken() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another process has replaced the socket's file")
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
        self.remove();
    }
}
