//! TLS in a build without it: there are no credentials, so nothing else can happen.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;

use qapi_schema::crypto::QCryptoTLSCredsEndpoint;

/// None can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials(Infallible);

/// There is none.
#[derive(Debug)]
pub struct Session(Infallible);

#[expect(missing_docs, clippy::missing_errors_doc, reason = "see tls.rs")]
impl Credentials {
    pub(crate) fn load(_: &Path, _: QCryptoTLSCredsEndpoint, _: bool) -> Result<Self, String> {
        Err("TLS is not supported: this build lacks the feature 'tls'".into())
    }

    pub const fn endpoint(&self) -> QCryptoTLSCredsEndpoint {
        match self.0 {}
    }

    pub const fn verifies_peer(&self) -> bool {
        match self.0 {}
    }

    pub const fn accept(&self) -> io::Result<Session> {
        match self.0 {}
    }

    pub const fn connect(&self, _: &str) -> io::Result<Session> {
        match self.0 {}
    }
}

#[expect(missing_docs, clippy::missing_errors_doc, reason = "see tls.rs")]
impl Session {
    pub const fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub const fn wants_to_send(&self) -> bool {
        match self.0 {}
    }

    pub const fn has_input(&self) -> bool {
        match self.0 {}
    }

    pub const fn receive(&mut self, _: BorrowedFd<'_>, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub const fn advance(&mut self, _: BorrowedFd<'_>) -> io::Result<()> {
        match self.0 {}
    }

    pub const fn send(&mut self, _: BorrowedFd<'_>, _: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.0 {}
    }

    pub const fn close(&mut self, _: BorrowedFd<'_>) {
        match self.0 {}
    }
}
