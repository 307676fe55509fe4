//! What an `io::Error` is called on the wire: its reason for programs, its message for people.

use std::io;

use qapi_schema::run_state::IoErrorReason;
use rustix::io::Errno;

/// The reason of an I/O error: its errno by name.
pub fn reason(error: &io::Error) -> IoErrorReason {
    let Some(errno) = Errno::from_io_error(error) else {
        return IoErrorReason::Other;
    };
    match errno {
        Errno::NOSPC => IoErrorReason::Enospc,
        Errno::DQUOT => IoErrorReason::Edquot,
        Errno::FBIG => IoErrorReason::Efbig,
        Errno::ROFS => IoErrorReason::Erofs,
        Errno::ACCESS => IoErrorReason::Eacces,
        Errno::PERM => IoErrorReason::Eperm,
        Errno::IO => IoErrorReason::Eio,
        Errno::NOMEM => IoErrorReason::Enomem,
        Errno::TIMEDOUT => IoErrorReason::Etimedout,
        Errno::NODEV => IoErrorReason::Enodev,
        Errno::NXIO => IoErrorReason::Enxio,
        Errno::NOENT => IoErrorReason::Enoent,
        Errno::NOTCONN => IoErrorReason::Enotconn,
        Errno::CONNRESET => IoErrorReason::Econnreset,
        Errno::HOSTUNREACH => IoErrorReason::Ehostunreach,
        Errno::STALE => IoErrorReason::Estale,
        Errno::NOLINK => IoErrorReason::Enolink,
        Errno::NOMEDIUM => IoErrorReason::Enomedium,
        Errno::BADMSG => IoErrorReason::Ebadmsg,
        Errno::ILSEQ => IoErrorReason::Eilseq,
        Errno::REMOTEIO => IoErrorReason::Eremoteio,
        Errno::SHUTDOWN => IoErrorReason::Eshutdown,
        Errno::INVAL => IoErrorReason::Einval,
        Errno::OPNOTSUPP => IoErrorReason::Enotsup,
        Errno::BUSY => IoErrorReason::Ebusy,
        Errno::AGAIN => IoErrorReason::Eagain,
        // An errno that has no name here is `other` by the schema's definition.
        _ => IoErrorReason::Other,
    }
}

/// The message of an I/O error: the system's text for its errno, without the number that [`io::Error`] appends.
pub fn message(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.trim_end_matches(&format!(" (os error {code})")).to_owned(),
        None => text,
    }
}

/// Whether more space would have made the difference: what `werror=enospc` stops for.
pub const fn is_no_space(reason: IoErrorReason) -> bool {
    matches!(reason, IoErrorReason::Enospc | IoErrorReason::Edquot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_keeps_its_name_and_text() {
        let named = |errno| io::Error::from_raw_os_error(errno);
        assert_eq!(
            (reason(&named(28)), message(&named(28)).as_str()),
            (IoErrorReason::Enospc, "No space left on device")
        );
        assert_eq!((reason(&named(5)), message(&named(5)).as_str()), (IoErrorReason::Eio, "Input/output error"));
    }

    #[test]
    fn an_error_without_errno_is_other_and_keeps_its_text() {
        let error = io::Error::other("lost the plot");
        assert_eq!((reason(&error), message(&error).as_str()), (IoErrorReason::Other, "lost the plot"));
    }

    #[test]
    fn every_named_reason_is_that_of_an_errno() {
        let named: Vec<_> = (1..200).map(|errno| reason(&io::Error::from_raw_os_error(errno))).collect();
        for reason in IoErrorReason::ALL {
            assert!(named.contains(reason), "{reason}");
        }
    }
}
