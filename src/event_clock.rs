//! The rate limit of events on the virtual clock, so that a test that moves it knows when a delayed event comes.

use std::sync::Arc;
use std::time::Duration;

use hw::{Timer, VirtualClock};
use monitor::{Broadcaster, EventClock};

#[derive(Debug)]
struct OnVirtualClock {
    clock: Arc<VirtualClock>,
    timer: Timer,
}

/// From now on the events of `broadcaster` are limited by `clock`.
pub(crate) fn follow(broadcaster: &Arc<Broadcaster>, clock: &Arc<VirtualClock>) {
    let (of_timer, clock) = (Arc::downgrade(broadcaster), Arc::clone(clock));
    let timer = clock.timer(move || {
        if let Some(broadcaster) = of_timer.upgrade() {
            broadcaster.expire();
        }
    });
    broadcaster.follow(Arc::new(OnVirtualClock { clock, timer }));
}

impl EventClock for OnVirtualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.now())
    }

    fn wake_at(&self, deadline: Option<Duration>) {
        match deadline {
            // The clock counts no further.
            Some(deadline) => self.timer.arm(u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX)),
            None => self.timer.disarm(),
        }
    }
}
