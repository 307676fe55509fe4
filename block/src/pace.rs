//! Whether the disk is so quick that handing over the lead would take longer than the request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What waking another thread may cost, and what a request out of the page cache stays below.
const QUICK: Duration = Duration::from_micros(30);

/// How many of the latest requests count.
const MEMORY: u64 = 8;

/// What is expected of a disk that is not known yet: if it does not answer at all, the guest is heard nevertheless.
const UNKNOWN: u64 = 1_000_000;

/// The time that requests took lately.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Moving average in nanoseconds. Two threads may overwrite each other's share: nothing depends on it but speed.
    average: AtomicU64,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { average: AtomicU64::new(UNKNOWN) }
    }

    /// Takes into account that a request took so long.
    pub(crate) fn record(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / MEMORY;
        let average = self.average.load(Ordering::Relaxed);
        self.average.store(average - average / MEMORY + took, Ordering::Relaxed);
    }

    /// Whether the next request will most likely be done at once.
    pub(crate) fn is_quick(&self) -> bool {
        u128::from(self.average.load(Ordering::Relaxed)) < QUICK.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick_after(pace: &Pace, requests: usize) -> bool {
        for _ in 0..requests {
            pace.record(Duration::from_micros(3));
        }
        pace.is_quick()
    }

    #[test]
    fn a_disk_has_to_prove_that_it_is_quick() {
        let pace = Pace::new();
        assert!(!quick_after(&pace, 15));
        assert!(quick_after(&pace, 15));
    }

    #[test]
    fn one_slow_request_is_enough_to_expect_another() {
        let pace = Pace::new();
        assert!(quick_after(&pace, 30));
        pace.record(Duration::from_millis(1));
        assert!(!pace.is_quick());
        assert!(quick_after(&pace, 30));
        pace.record(Duration::MAX);
        pace.record(Duration::MAX);
        assert!(!pace.is_quick());
    }
}
