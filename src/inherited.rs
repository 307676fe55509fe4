//! File descriptors that the process was started with, known by number.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use nix::unistd::close;
use qapi_schema::{Error, Members};
use sockets::inherited::descriptor;

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
/// # Errors
/// It is none that the process was started with.
pub fn take(number: RawFd) -> Result<OwnedFd, Error> {
    if (0..=2).contains(&number) {
        return Err(Error::generic("fd cannot be a standard I/O stream"));
    }
    let refused = |error: io::Error| {
        let is_none = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput);
        let why =
            if is_none { "is not valid or already in use".to_owned() } else { format!("cannot be taken: {error}") };
        Error::generic(format!("fd {number} {why}"))
    };
    let taken = descriptor(number).map_err(refused)?;
    close(number).map_err(|error| refused(error.into()))?;
    Ok(taken)
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
