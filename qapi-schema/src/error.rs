//! What a command answers when it fails: a class for programs, a description for people.

use std::fmt;

pub use crate::common::QapiErrorClass as ErrorClass;

/// The error of a command or of its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Error {
    class: ErrorClass,
    desc: String,
}

impl Error {
    /// An error of any class.
    pub fn new(class: ErrorClass, desc: impl Into<String>) -> Self {
        Self { class, desc: desc.into() }
    }

    /// A `GenericError`.
    pub fn generic(desc: impl Into<String>) -> Self {
        Self::new(ErrorClass::GenericError, desc)
    }

    /// The class, on which programs may act.
    pub const fn class(&self) -> ErrorClass {
        self.class
    }

    /// The description, for people only.
    pub fn desc(&self) -> &str {
        &self.desc
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.desc)
    }
}

impl std::error::Error for Error {}
