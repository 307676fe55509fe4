//! A connected stream socket, whatever its family.
//!
//! System calls that the standard library has no equal for: sending without ever blocking, without SIGPIPE, and from
//! several buffers at once.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use sockets::tls::Session;

use super::input::Input;

/// A connected stream socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// From STARTTLS on. Locked for no longer than a system call that does not wait.
    tls: OnceLock<Mutex<Session>>,
}

impl<S: Into<OwnedFd>> From<S> for Socket {
    fn from(socket: S) -> Self {
        Self { fd: socket.into(), tls: OnceLock::new() }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Encrypts all that follows. The handshake must be over by `deadline`.
    pub(super) fn secure(&self, mut session: Session, deadline: Option<Instant>) -> io::Result<()> {
        while session.is_handshaking() || session.wants_to_send() {
            let output = if session.wants_to_send() { PollFlags::OUT } else { PollFlags::empty() };
            self.wait(PollFlags::IN | output, deadline)?;
            match session.advance(self.fd.as_fd()) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.tls.set(Mutex::new(session)).map_err(|_| io::Error::other("TLS within TLS"))
    }

    /// Waits for input, but not beyond `deadline`. Returns how much there was: none at the end of the stream.
    pub(super) fn receive(&self, buffer: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        if let Some(tls) = self.tls.get() {
            loop {
                match tls.lock().receive(self.fd.as_fd(), buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                }
                self.wait(PollFlags::IN, deadline)?;
            }
        }
        if deadline.is_some() {
            self.wait(PollFlags::IN, deadline)?;
        }
        let (_, received) = retry_on_intr(|| recv(&self.fd, &mut *buffer, RecvFlags::empty()))?;
        Ok(received)
    }

    /// There may be input that polling does not tell of.
    pub(super) fn has_input(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.lock().has_input())
    }

    /// Fills `target` with what was received before and what is yet to come.
    pub(super) fn receive_exactly(&self, input: &mut Input, target: &mut [u8]) -> io::Result<()> {
        let mut filled = input.take(target);
        while filled < target.len() {
            let left = &mut target[filled..];
            let received = if left.len() > Input::LONGEST_MESSAGE {
                let received = self.receive(left, None)?;
                filled += received;
                received
            } else {
                let received = self.receive(input.space(), None)?;
                input.received(received);
                filled += input.take(left);
                received
            };
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Sends what can be sent now, or fails with [`WouldBlock`](io::ErrorKind::WouldBlock): then the same must be sent
    /// before anything else.
    pub(super) fn send_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(tls) = self.tls.get() {
            return tls.lock().send(self.fd.as_fd(), parts);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = retry_on_intr(|| match parts {
            [part] => send(&self.fd, part, flags),
            parts => sendmsg(&self.fd, parts, &mut SendAncillaryBuffer::default(), flags),
        })?;
        Ok(sent)
    }

    /// Sends all of it, waiting as long as it takes or until `deadline`.
    pub(super) fn send_all(&self, parts: &mut [IoSlice<'_>], deadline: Option<Instant>) -> io::Result<()> {
        let mut left = parts;
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.send_now(left) {
                Ok(sent) => IoSlice::advance_slices(&mut left, sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::OUT, deadline)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the socket is readable or writable as told, or closed.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) once `deadline` has passed, also for a peer that never lets us wait.
    pub(super) fn wait(&self, events: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
        let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut polled = [PollFd::new(&self.fd, events)];
        let ready = retry_on_intr(|| {
            let timeout = left().and_then(|left| Timespec::try_from(left).ok());
            poll(&mut polled, timeout.as_ref())
        })?;
        if ready == 0 || left() == Some(Duration::ZERO) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Ends the stream in both directions, also for threads that wait for it.
    pub(super) fn hang_up(&self) {
        if let Some(tls) = self.tls.get() {
            tls.lock().close(self.fd.as_fd());
        }
        // A peer that has already gone is fine.
        let _ = shutdown(&self.fd, Shutdown::Both);
    }
}
