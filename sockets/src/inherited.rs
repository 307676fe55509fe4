//! What the process was started with: sockets, by activation as of `sd_listen_fds(3)`, and descriptors by their numbers.
//!
//! Every use is of a copy, so that a server can be stopped and started again on the same socket, as it is with systemd:
//! the socket belongs to who created it, and outlives the server.

use std::env;
use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::process;

use rustix::fs::{FileType, fstat};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::error::{invalid, within};

/// The number of the first (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// A copy of the socket of this name in `LISTEN_FDNAMES`, or of this number.
///
/// # Errors
/// `NotFound`: there is none of this name. Others: it is no socket, or none that the process was started with.
pub(crate) fn socket(name: &str) -> io::Result<OwnedFd> {
    let number = match name.parse() {
        Ok(number) => number,
        Err(_) => {
            let none = |why| io::Error::new(io::ErrorKind::NotFound, why);
            find(name, &|key| env::var(key).ok(), process::id()).map_err(none)?
        }
    };
    let socket = descriptor(number).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return invalid(&format!("File descriptor '{number}' is not open"));
        }
        within(format_args!("File descriptor '{number}'"), &error)
    })?;
    if FileType::from_raw_mode(fstat(&socket)?.st_mode) != FileType::Socket {
        return Err(invalid(&format!("File descriptor '{number}' is not a socket")));
    }
    Ok(socket)
}

/// A copy of the descriptor of this number, if it is one that the process was started with.
///
/// Those that it has opened itself close on exec: that tells them apart. Otherwise who may name a socket could take a
/// server its own.
///
/// # Errors
/// `NotFound`: there is no such descriptor. `InvalidInput`: the process has opened it itself.
pub fn descriptor(number: RawFd) -> io::Result<OwnedFd> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let information = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let flags = information.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    if flags.is_none_or(|flags| flags & CLOSE_ON_EXEC != 0) {
        return Err(invalid("it is not one that the process was started with"));
    }
    // The process asks itself, as if it were another, for there is no other way to a descriptor that it only knows by
    // number and cannot be sure of.
    Ok(pidfd_getfd(pidfd_open(getpid(), PidfdFlags::empty())?, number, PidfdGetfdFlags::empty())?)
}

/// The number of the socket of this name, or why there is none.
fn find(name: &str, variable: &dyn Fn(&str) -> Option<String>, pid: u32) -> Result<RawFd, String> {
    let count: usize = match variable("LISTEN_FDS").map(|count| count.parse()) {
        None => return Err(format!("there is no socket '{name}': LISTEN_FDS is not set")),
        Some(Err(_)) => return Err(format!("there is no socket '{name}': LISTEN_FDS is not a number")),
        Some(Ok(count)) => count,
    };
    match variable("LISTEN_PID") {
        Some(of) if of == pid.to_string() => {}
        Some(of) => return Err(format!("there is no socket '{name}': LISTEN_PID is {of}, and this is process {pid}")),
        None => return Err(format!("there is no socket '{name}': LISTEN_PID is not set")),
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<_> = names.split(':').take(count).collect();
    let at = names.iter().position(|known| *known == name);
    let number = at.and_then(|at| FIRST.checked_add(RawFd::try_from(at).ok()?));
    number.ok_or_else(|| format!("there is no socket '{name}' among '{}' of LISTEN_FDNAMES", names.join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;

    use rustix::io::{FdFlags, fcntl_setfd};

    fn found(name: &str, environment: &[(&str, &str)]) -> Result<RawFd, String> {
        let variable =
            |key: &str| environment.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).into());
        find(name, &variable, 7)
    }

    #[test]
    fn a_name_is_a_place_in_the_list() {
        let given = [("LISTEN_FDS", "2"), ("LISTEN_PID", "7"), ("LISTEN_FDNAMES", "qmp:nbd:other")];
        assert_eq!(found("qmp", &given), Ok(3));
        assert_eq!(found("nbd", &given), Ok(4));
        let refused = found("other", &given).expect_err("there are two");
        assert_eq!(refused, "there is no socket 'other' among 'qmp:nbd' of LISTEN_FDNAMES");
    }

    #[test]
    fn what_is_missing_is_said() {
        let refused = |environment: &[(&str, &str)]| found("qmp", environment).expect_err("refused");
        assert!(refused(&[]).ends_with("LISTEN_FDS is not set"));
        assert!(refused(&[("LISTEN_FDS", "x")]).ends_with("LISTEN_FDS is not a number"));
        assert!(refused(&[("LISTEN_FDS", "1")]).ends_with("LISTEN_PID is not set"));
        let other = [("LISTEN_FDS", "1"), ("LISTEN_PID", "8"), ("LISTEN_FDNAMES", "qmp")];
        assert!(refused(&other).ends_with("LISTEN_PID is 8, and this is process 7"));
        assert!(refused(&[("LISTEN_FDS", "1"), ("LISTEN_PID", "7")]).contains("among ''"));
    }

    #[test]
    fn a_number_must_be_that_of_a_socket() {
        let directory = tempfile::tempdir().expect("directory");
        let listener = UnixListener::bind(directory.path().join("q")).expect("listens");
        let number = listener.as_raw_fd().to_string();
        let own = socket(&number).expect_err("our own");
        let expected = format!("File descriptor '{number}': it is not one that the process was started with");
        assert_eq!(own.to_string(), expected);
        fcntl_setfd(&listener, FdFlags::empty()).expect("a flag");
        socket(&number).expect("a socket");
        socket(&number).expect("once more");
        let file = File::open("/dev/null").expect("a file");
        fcntl_setfd(&file, FdFlags::empty()).expect("a flag");
        let refused = socket(&file.as_raw_fd().to_string()).expect_err("a file");
        assert_eq!(refused.to_string(), format!("File descriptor '{}' is not a socket", file.as_raw_fd()));
        assert_eq!(socket("123456").expect_err("none").to_string(), "File descriptor '123456' is not open");
        assert_eq!(socket("-1").expect_err("none").to_string(), "File descriptor '-1' is not open");
    }
}
