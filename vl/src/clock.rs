//! Where timestamps come from, so that tests can say what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use qapi_schema::common::Timestamp;

/// A source of timestamps.
pub trait Clock: Send + Sync {
    /// The present time. Called with the VM's lock held: must not block.
    fn now(&self) -> Timestamp;
}

/// The host's wall clock, as QEMU stamps its events.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A host clock set before 1970 is stamped as the Epoch: an event must not fail for it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            microseconds: i64::from(since.subsec_micros()),
        }
    }
}
