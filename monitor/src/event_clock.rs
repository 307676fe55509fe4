//! The time by which events are limited: the host's, unless the program has one of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::mailbox::{Mailbox, Notice};

/// Says how late it is, and calls [`Broadcaster::expire`](crate::Broadcaster::expire) in time.
pub trait EventClock: fmt::Debug + Send + Sync {
    /// The time since any moment, which is the same each time. Called with locks held: must not block, nor emit.
    fn now(&self) -> Duration;

    /// From now on `expire` is to be called at this time, and not at the one that was asked for before; never, if there is
    /// none. Called with locks held: must not block, nor call it at once.
    fn wake_at(&self, deadline: Option<Duration>);
}

/// The host's monotonic clock. The event loop keeps its deadlines.
#[derive(Debug)]
pub(crate) struct HostClock {
    start: Instant,
    mailbox: Arc<Mailbox>,
}

impl HostClock {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { start: Instant::now(), mailbox }
    }
}

impl EventClock for HostClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wake_at(&self, deadline: Option<Duration>) {
        self.mailbox.leave(Notice::Deadline(deadline.map(|deadline| self.start + deadline)));
    }
}
