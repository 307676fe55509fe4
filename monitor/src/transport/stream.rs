//! One client's bytes in and out, never blocking.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::poller::{Poller, Source, Watch};

/// How much unread input is thrown away before a socket is closed.
const DISCARDED: usize = 4 << 20;

/// A connection: one socket, or two descriptors.
#[derive(Debug)]
pub(crate) struct Stream {
    input: End,
    /// None: the input is a socket that takes output, too.
    output: Option<End>,
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
    pub(crate) const fn socket(socket: OwnedFd) -> Self {
        Self { input: End::new(socket, None), output: None }
    }

    /// Two descriptors that do not block.
    pub(super) const fn pair(input: End, output: End) -> Self {
        Self { input, output: Some(output) }
    }

    /// Reads into `buffer`. Zero is the end of the input.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| read(&self.input.fd, &mut *buffer))?)
    }

    /// Writes as much of `bytes` as there is room for.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| match &self.output {
            None => send(&self.input.fd, bytes, SendFlags::NOSIGNAL),
            Some(output) => write(&output.fd, bytes),
        })?)
    }

    /// Has the poller report what is of interest.
    pub(crate) fn watch(&mut self, poller: &Poller, source: Source, interest: Interest) -> io::Result<()> {
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
        self.input.kind == EndKind::AlwaysReady
    }

    /// Ends a socket so that what was written still arrives: with input unread, closing it would reset it.
    pub(crate) fn finish(&self, buffer: &mut [u8]) {
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
