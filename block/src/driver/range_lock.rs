//! Locks on ranges of an image, for drivers in which overlapping requests would disturb each other.

use std::ops::Range;

use parking_lot::{Condvar, Mutex};

/// How a range is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Beside others that share.
    Shared,
    /// Alone.
    Exclusive,
}

/// Grants ranges in the order of arrival: who waits is never overtaken by who came later, so nobody starves.
#[derive(Debug, Default)]
pub(crate) struct RangeLock {
    queue: Mutex<Queue>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Those who hold a range and those who wait for one, oldest first.
    entries: Vec<Entry>,
    next_ticket: u64,
    waiting: usize,
}

#[derive(Debug)]
struct Entry {
    ticket: u64,
    range: Range<u64>,
    mode: Mode,
}

/// A range is locked as long as this lives.
#[derive(Debug)]
pub(crate) struct RangeGuard<'a> {
    lock: &'a RangeLock,
    ticket: u64,
}

impl RangeLock {
    /// Locks `range`; waits for those before who are in the way.
    pub(crate) fn lock(&self, range: Range<u64>, mode: Mode) -> RangeGuard<'_> {
        let mut queue = self.queue.lock();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.entries.push(Entry { ticket, range, mode });
        while queue.must_wait(ticket) {
            queue.waiting += 1;
            self.left.wait(&mut queue);
            queue.waiting -= 1;
        }
        RangeGuard { lock: self, ticket }
    }

    /// Somebody waits for a range.
    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.queue.lock().waiting > 0
    }
}

impl Queue {
    fn must_wait(&self, ticket: u64) -> bool {
        let Some(at) = self.position(ticket) else {
            return false;
        };
        let (earlier, this) = (&self.entries[..at], &self.entries[at]);
        earlier.iter().any(|entry| entry.excludes(this))
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.ticket == ticket)
    }
}

impl Entry {
    fn excludes(&self, other: &Self) -> bool {
        let overlap = self.range.start < other.range.end && other.range.start < self.range.end;
        overlap && (self.mode == Mode::Exclusive || other.mode == Mode::Exclusive)
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        let mut queue = self.lock.queue.lock();
        if let Some(at) = queue.position(self.ticket) {
            queue.entries.remove(at);
        }
        if queue.waiting > 0 {
            self.lock.left.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// Blocks until `count` threads wait for a range.
    fn until_waiting(lock: &RangeLock, count: usize) {
        while lock.queue.lock().waiting != count {
            thread::yield_now();
        }
    }

    #[test]
    fn ranges_that_share_or_do_not_overlap_are_held_at_once() {
        let lock = RangeLock::default();
        let _a = lock.lock(0..10, Mode::Shared);
        let _b = lock.lock(5..15, Mode::Shared);
        let _c = lock.lock(15..20, Mode::Exclusive);
        assert_eq!(lock.queue.lock().entries.len(), 3);
    }

    #[test]
    fn a_waiting_exclusive_range_is_not_overtaken() {
        let lock = RangeLock::default();
        let order = Mutex::new(Vec::new());
        let first = lock.lock(0..10, Mode::Shared);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = lock.lock(0..10, Mode::Exclusive);
                order.lock().push("exclusive");
            });
            until_waiting(&lock, 1);
            scope.spawn(|| {
                let _guard = lock.lock(0..10, Mode::Shared);
                order.lock().push("shared");
            });
            until_waiting(&lock, 2);
            drop(first);
        });
        assert_eq!(*order.lock(), ["exclusive", "shared"]);
        assert!(lock.queue.lock().entries.is_empty());
    }

    #[test]
    fn exclusive_ranges_exclude_each_other() {
        let lock = RangeLock::default();
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for start in 0..4 {
                let (lock, inside) = (&lock, &inside);
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let _guard = lock.lock(start..start + 4, Mode::Exclusive);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
