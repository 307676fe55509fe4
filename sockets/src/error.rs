//! What is said of a socket that can't be had.

use std::fmt::Display;
use std::io;

/// The message of an error for people: without the number that [`io::Error`] appends to the system's text.
pub(crate) fn message(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.trim_end_matches(&format!(" (os error {code})")).to_owned(),
        None => text,
    }
}

/// `error` of the same kind, with what failed before its message.
pub(crate) fn within(what: impl Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {}", message(error)))
}

/// What can't be had because it makes no sense.
pub(crate) fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
