//! The one epoll instance: which descriptors are ready, and whose they are.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::outbox::SessionId;

/// How many events one wait returns at most.
const BATCH: usize = 64;

/// Whose descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Mailbox,
    Listener(u32),
    Connector(u32),
    Session(SessionId),
}

/// One descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) source: Source,
    /// Reading will not block: there is input, its end, or an error.
    pub(crate) readable: bool,
}

/// Waits for descriptors.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// What one wait returns, and the memory for it.
pub(crate) struct Batch(Vec<Event>);

impl Batch {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(BATCH))
    }

    /// The descriptors that are ready.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Ready> {
        let input = EventFlags::IN | EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR;
        self.0.iter().map(move |event| {
            let (flags, data) = (event.flags, event.data);
            Ready { source: Source::decode(data.u64()), readable: flags.intersects(input) }
        })
    }
}

/// What one descriptor is watched for.
#[derive(Debug)]
pub(crate) struct Watch(EventFlags);

impl Watch {
    /// Nothing.
    pub(super) const fn new() -> Self {
        Self(EventFlags::empty())
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches `fd`, which was watched for `watch`, for `wanted` from now on. A descriptor that nothing is wanted of is
    /// not watched at all: otherwise one that hung up would be reported for ever.
    pub(super) fn watch(
        &self,
        fd: impl AsFd,
        source: Source,
        watch: &mut Watch,
        wanted: EventFlags,
    ) -> rustix::io::Result<()> {
        let data = EventData::new_u64(source.encode());
        match (watch.0.is_empty(), wanted.is_empty()) {
            _ if watch.0 == wanted => {}
            (true, _) => epoll::add(&self.epoll, fd, data, wanted)?,
            (false, false) => epoll::modify(&self.epoll, fd, data, wanted)?,
            (false, true) => epoll::delete(&self.epoll, fd)?,
        }
        watch.0 = wanted;
        Ok(())
    }

    /// Watches the descriptor that ends the sleep.
    pub(crate) fn watch_mailbox(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.watch(fd, Source::Mailbox, &mut Watch::new(), EventFlags::IN)?)
    }

    /// Waits until a descriptor is ready, but no longer than `timeout`, and fills `batch`.
    pub(crate) fn wait(&self, timeout: Option<Duration>, batch: &mut Batch) -> io::Result<()> {
        // Rounded up to what epoll measures in, or the loop would spin before each deadline.
        let round_up = |timeout: Duration| timeout.saturating_add(Duration::from_nanos(999_999));
        let timeout = timeout.map(|timeout| if timeout.is_zero() { timeout } else { round_up(timeout) });
        let timespec = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        batch.0.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut batch.0), timespec.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Source {
    const KIND: u32 = 62;

    const fn encode(self) -> u64 {
        match self {
            Self::Mailbox => 0,
            Self::Listener(index) => 1 << Self::KIND | index as u64,
            Self::Connector(index) => 2 << Self::KIND | index as u64,
            Self::Session(SessionId(id)) => 3 << Self::KIND | id,
        }
    }

    const fn decode(data: u64) -> Self {
        let value = data & ((1 << Self::KIND) - 1);
        match data >> Self::KIND {
            0 => Self::Mailbox,
            1 => Self::Listener(value as u32),
            2 => Self::Connector(value as u32),
            _ => Self::Session(SessionId(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_survives_its_way_through_the_kernel() {
        let session = Source::Session(SessionId((1 << 62) - 1));
        for source in [Source::Mailbox, Source::Listener(0), Source::Connector(u32::MAX), session] {
            assert_eq!(Source::decode(source.encode()), source);
        }
    }
}
