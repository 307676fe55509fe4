//! One client's bytes in and out, never blocking.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::net::sockopt::socket_domain;
use rustix::net::{AddressFamily, SendFlags, Shutdown, send, shutdown};
use sockets::Address;
use sockets::tls::Session;

use super::poller::{Poller, Source, Watch};
use super::receive::receive;

/// How much unread input is thrown away before a socket is closed.
const DISCARDED: usize = 4 << 20;

/// A connection: one socket, or two descriptors.
#[derive(Debug)]
pub(crate) struct Stream {
    input: End,
    /// None: the input is a socket that takes output, too.
    output: Option<End>,
    /// A unix socket without encryption, on which descriptors can come.
    passes_descriptors: bool,
    tls: Option<Box<Session>>,
}

/// What a stream is to be watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) input: bool,
    pub(crate) output: bool,
}

/// One descriptor.
#[derive(Debug)]
pub(super) struct End {
    fd: OwnedFd,
    watch: Watch,
    kind: EndKind,
    /// The flags to leave behind on a descriptor that others use, too.
    restore: Option<OFlags>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndKind {
    /// It tells when it is ready.
    Pollable,
    /// It is always ready, such as a regular file.
    AlwaysReady,
}

impl Stream {
    /// A connected socket, which does not block.
    pub(crate) fn socket(socket: OwnedFd) -> Self {
        let passes_descriptors = socket_domain(&socket) == Ok(AddressFamily::UNIX);
        Self { input: End::new(socket, None), output: None, passes_descriptors, tls: None }
    }

    /// The same, with all that is said on it encrypted.
    pub(crate) fn secured(socket: OwnedFd, session: Session) -> Self {
        Self { passes_descriptors: false, tls: Some(Box::new(session)), ..Self::socket(socket) }
    }

    /// Two descriptors that do not block.
    pub(super) const fn pair(input: End, output: End) -> Self {
        Self { input, output: Some(output), passes_descriptors: false, tls: None }
    }

    /// Who is at the other end is not known yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Where it came in, and where from, as far as that has a name.
    pub(crate) fn addresses(&self) -> (Option<Address>, Option<Address>) {
        (Address::own(&self.input.fd), Address::peer(&self.input.fd))
    }

    /// Reads into `buffer`, and puts the descriptors that come with it into `received`. Zero is the end of the input.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], received: &mut Vec<OwnedFd>) -> io::Result<usize> {
        if self.passes_descriptors { receive(&self.input.fd, buffer, received) } else { self.read(buffer) }
    }

    /// Reads into `buffer`. Zero is the end of the input.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(tls) = &mut self.tls {
            return tls.receive(self.input.fd.as_fd(), buffer);
        }
        Ok(retry_on_intr(|| read(&self.input.fd, &mut *buffer))?)
    }

    /// Writes as much of `bytes` as there is room for. If there is none, the next call must begin with the same bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(tls) = &mut self.tls {
            return tls.send(self.input.fd.as_fd(), &[IoSlice::new(bytes)]);
        }
        Ok(retry_on_intr(|| match &self.output {
            None => send(&self.input.fd, bytes, SendFlags::NOSIGNAL),
            Some(output) => write(&output.fd, bytes),
        })?)
    }

    /// Has the poller report what is of interest.
    pub(crate) fn watch(&mut self, poller: &Poller, source: Source, interest: Interest) -> io::Result<()> {
        let interest = match &self.tls {
            // Whatever is wanted, a handshake comes first.
            Some(tls) if tls.is_handshaking() => Interest { input: true, output: tls.wants_to_send() },
            Some(tls) => Interest { output: interest.output || tls.wants_to_send(), ..interest },
            None => interest,
        };
        let input = if interest.input { EventFlags::IN } else { EventFlags::empty() };
        let output = if interest.output { EventFlags::OUT } else { EventFlags::empty() };
        match &mut self.output {
            None => self.input.watch(poller, source, input | output),
            Some(end) => {
                self.input.watch(poller, source, input)?;
                end.watch(poller, source, output)
            }
        }
    }

    /// The poller will not report input: it is to be read without being asked.
    pub(crate) fn is_always_readable(&self) -> bool {
        self.input.kind == EndKind::AlwaysReady || self.tls.as_ref().is_some_and(|tls| tls.has_input())
    }

    /// Ends a socket so that what was written still arrives: with input unread, closing it would reset it.
    pub(crate) fn finish(&mut self, buffer: &mut [u8]) {
        if let Some(tls) = &mut self.tls {
            tls.close(self.input.fd.as_fd());
        }
        if self.output.is_some() || shutdown(&self.input.fd, Shutdown::Write).is_err() {
            return;
        }
        let mut discarded = 0;
        while let Ok(length @ 1..) = self.read(buffer) {
            discarded += length;
            if discarded >= DISCARDED {
                break;
            }
        }
    }
}

impl End {
    pub(super) const fn new(fd: OwnedFd, restore: Option<OFlags>) -> Self {
        Self { fd, watch: Watch::new(), kind: EndKind::Pollable, restore }
    }

    fn watch(&mut self, poller: &Poller, source: Source, wanted: EventFlags) -> io::Result<()> {
        match self.kind {
            EndKind::AlwaysReady => Ok(()),
            EndKind::Pollable => match poller.watch(self.fd.as_fd(), source, &mut self.watch, wanted) {
                Err(Errno::PERM) => {
                    self.kind = EndKind::AlwaysReady;
                    Ok(())
                }
                result => Ok(result?),
            },
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(flags) = self.restore {
            // Nothing can be done about a failure, and the next user will see it.
            let _ = fcntl_setfl(&self.fd, flags);
        }
    }
}
