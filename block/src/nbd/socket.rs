//! A connected stream socket, whatever its family.
//!
//! System calls that the standard library has no equal for: sending without ever blocking, without SIGPIPE, and from
//! several buffers at once.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};

use super::input::Input;

/// A connected stream socket.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl<S: Into<OwnedFd>> From<S> for Socket {
    fn from(socket: S) -> Self {
        Self(socket.into())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    /// Waits for input. Returns how much there was: none at the end of the stream.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, received) = retry_on_intr(|| recv(&self.0, &mut *buffer, RecvFlags::empty()))?;
        Ok(received)
    }

    /// Fills `target` with what was received before and what is yet to come.
    pub(super) fn receive_exactly(&self, input: &mut Input, target: &mut [u8]) -> io::Result<()> {
        let mut filled = input.take(target);
        while filled < target.len() {
            let left = &mut target[filled..];
            let received = if left.len() > Input::LONGEST_MESSAGE {
                let received = self.receive(left)?;
                filled += received;
                received
            } else {
                let received = self.receive(input.space())?;
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

    /// Sends what can be sent now, or fails with [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub(super) fn send_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = retry_on_intr(|| match parts {
            [part] => send(&self.0, part, flags),
            parts => sendmsg(&self.0, parts, &mut SendAncillaryBuffer::default(), flags),
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
        let mut polled = [PollFd::new(&self.0, events)];
        let ready = retry_on_intr(|| {
            let timeout = left().and_then(|left| Timespec::try_from(left).ok());
            poll(&mut polled, timeout.as_ref())
        })?;
        if ready == 0 || left() == Some(Duration::ZERO) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Ends the stream in both directions, also for threads that wait for it.
    pub(super) fn hang_up(&self) {
        // A peer that has already gone is fine.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}
