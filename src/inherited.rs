//! File descriptors that the process was started with, known by number.

use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use nix::unistd::close;
use qapi_schema::{Error, Members};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// What `-add-fd` takes.
#[derive(Debug, PartialEq, Eq)]
pub struct AddFd {
    /// The number of the descriptor.
    pub fd: RawFd,
    /// The set that it goes to.
    pub set: i64,
    /// Its description.
    pub opaque: Option<String>,
}

impl AddFd {
    /// Reads `fd=3,set=1,opaque=rw:disk.img`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(members: &mut Members<'_>) -> Result<Self, Error> {
        Ok(Self { fd: members.required("fd")?, set: members.required("set")?, opaque: members.optional("opaque")? })
    }
}

/// Takes a descriptor: the number is free afterwards.
///
/// Those that this program has opened itself close on exec, and those that it was started with do not: that tells them
/// apart.
///
/// # Errors
/// It is none that the process was started with.
pub fn take(number: RawFd) -> Result<OwnedFd, Error> {
    if (0..=2).contains(&number) {
        return Err(Error::generic("fd cannot be a standard I/O stream"));
    }
    if !is_inherited(number).unwrap_or(false) {
        return Err(Error::generic(format!("fd {number} is not valid or already in use")));
    }
    let refused = |error: io::Error| Error::generic(format!("fd {number} cannot be taken: {error}"));
    let taken = copy(number).map_err(refused)?;
    close(number).map_err(|error| refused(error.into()))?;
    Ok(taken)
}

fn is_inherited(number: RawFd) -> io::Result<bool> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let information = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let flags = information.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    Ok(flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0))
}

/// The process asks itself as if it were another: whoever has only a number can't be sure of the descriptor.
fn copy(number: RawFd) -> io::Result<OwnedFd> {
    Ok(pidfd_getfd(pidfd_open(getpid(), PidfdFlags::empty())?, number, PidfdGetfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by a panic")]

    use super::*;
    use std::fs::File;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

    #[test]
    fn one_that_does_not_close_on_exec_is_taken_once() {
        let file = File::open("/dev/null").expect("there");
        fcntl_setfd(&file, FdFlags::empty()).expect("open");
        let number = file.into_raw_fd();
        let taken = take(number).expect("taken");
        assert_ne!(taken.as_raw_fd(), number);
        assert!(fcntl_getfd(&taken).expect("open").contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn one_of_our_own_or_none_or_a_standard_one_is_refused() {
        let own = File::open("/dev/null").expect("there");
        for number in [own.as_raw_fd(), 123_456, -1] {
            let refused = take(number).expect_err("refused");
            assert_eq!(refused.desc(), format!("fd {number} is not valid or already in use"));
        }
        assert_eq!(take(2).expect_err("refused").desc(), "fd cannot be a standard I/O stream");
    }
}
