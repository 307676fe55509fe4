//! One TLS connection on a socket that is not waited for.
//!
//! Both ways end in [`WouldBlock`](io::ErrorKind::WouldBlock) when the peer has to do something first. What is to be
//! sent is encrypted once and counts as sent when the last byte of that has left: until then the same bytes must be
//! given again. So whoever counts what a client has been sent need not know of TLS, and there is nothing to flush.

use std::io::{self, IoSlice, Read, Write};
use std::mem::take;
use std::os::fd::BorrowedFd;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::Connection;
use tracing::field::display;

use crate::address::Address;

/// How often one call reads what brings no data, before others have their turn.
const ATTEMPTS: usize = 16;

/// One side of a TLS connection.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// How much was encrypted that has not all left.
    leaving: usize,
    /// There may be decrypted data that was not asked for.
    more: bool,
    /// The peer is not one to talk to.
    broken: bool,
    /// Where the peer is. Noted early: a socket that was reset does not know any more.
    peer: Option<Address>,
}

impl Session {
    pub(super) const fn new(connection: Connection) -> Self {
        Self { connection, leaving: 0, more: false, broken: false, peer: None }
    }

    /// Nothing can be sent or received yet.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// There is something to send that nobody asked for, or asked for already.
    pub fn wants_to_send(&self) -> bool {
        self.connection.wants_write()
    }

    /// There may be input that the socket does not tell of.
    pub const fn has_input(&self) -> bool {
        self.more
    }

    /// Receives what there is, and does what there is to do for a handshake. Zero is the end of the input.
    ///
    /// # Errors
    /// `WouldBlock`: there is nothing. Others: the connection is broken, or the peer is not one to talk to.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..ATTEMPTS {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.more = false,
                outcome => {
                    self.more = matches!(outcome, Ok(length) if length == buffer.len());
                    return outcome;
                }
            }
            self.advance(socket)?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Decrypts some of what has arrived, and answers what is not data.
    ///
    /// # Errors
    /// As of [`Self::receive`].
    pub fn advance(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let was_handshaking = self.is_handshaking();
        self.note_peer(socket);
        let outcome = self.connection.read_tls(&mut Wire(socket)).and_then(|length| {
            self.connection.process_new_packets().map_err(io::Error::other)?;
            if length == 0 && was_handshaking { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        });
        // Also the alert that tells the peer why. What does not leave now, leaves with what is sent next.
        let flushed = match self.flush(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        };
        let outcome = outcome.and(flushed);
        if let Err(error) = &outcome
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.broken = true;
            if was_handshaking {
                let (address, peer) = (Address::own(socket).map(display), self.peer.as_ref().map(display));
                tracing::warn!(address, peer, %error, "TLS handshake failed");
            }
        }
        outcome
    }

    /// Sends some of what is in `parts`. Returns how much.
    ///
    /// # Errors
    /// `WouldBlock`: the same again later. Others: the connection is broken.
    pub fn send(&mut self, socket: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.note_peer(socket);
        self.flush(socket)?;
        if self.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.leaving == 0 {
            self.leaving = self.connection.writer().write_vectored(parts)?;
            self.flush(socket)?;
        }
        Ok(take(&mut self.leaving))
    }

    /// Takes leave, as far as that is possible without waiting.
    pub fn close(&mut self, socket: BorrowedFd<'_>) {
        self.connection.send_close_notify();
        // Who does not take it will see the end of the connection.
        let _ = self.flush(socket);
    }

    fn note_peer(&mut self, socket: BorrowedFd<'_>) {
        if self.peer.is_none() && self.is_handshaking() {
            self.peer = Address::peer(socket);
        }
    }

    fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Wire(socket))?;
        }
        Ok(())
    }
}

/// The socket, without waiting.
struct Wire<'a>(BorrowedFd<'a>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, received) = retry_on_intr(|| recv(self.0, &mut *buffer, RecvFlags::DONTWAIT))?;
        Ok(received)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| send(self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
