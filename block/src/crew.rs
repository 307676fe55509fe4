//! The threads of an NBD connection or of a device, one of which leads.
//!
//! The *leader* is whoever has the [`Lead`], and with it the receiver: it alone waits for the guest. Before it executes
//! a request that may take long it hands both over; the other threads wait until they are given them, and one more is
//! started only when none waits. So requests arrive while others are executed, and no request changes threads on its
//! way from the guest to the disk.

use std::mem;

use vl::sync::{Condvar, Mutex};

/// Requests of one crew that are executed at the same time.
const MAX_THREADS: usize = 16;

/// The threads of a connection or device; `R` is what its leader receives with.
#[derive(Debug)]
pub(crate) struct Crew<R> {
    state: Mutex<State<R>>,
    offered: Condvar,
}

#[derive(Debug)]
struct State<R> {
    receiver: Whereabouts<R>,
    threads: usize,
    waiting: usize,
}

#[derive(Debug)]
enum Whereabouts<R> {
    Offered(R),
    Taken,
    /// There is nothing more to receive.
    Over,
}

/// The right to receive. It is handed over, or the crew ends with it: so a leader that panics does not leave the
/// others waiting.
#[derive(Debug)]
pub(crate) struct Lead<'a, R> {
    crew: &'a Crew<R>,
}

impl<R> Crew<R> {
    /// A crew of one thread, the caller.
    pub(crate) const fn new(receiver: R) -> Self {
        let state = State { receiver: Whereabouts::Offered(receiver), threads: 1, waiting: 0 };
        Self { state: Mutex::new(state), offered: Condvar::new() }
    }

    /// Waits for the lead; `None` once there will be none any more.
    pub(crate) fn lead(&self) -> Option<(Lead<'_, R>, R)> {
        let mut state = self.state.lock();
        loop {
            match mem::replace(&mut state.receiver, Whereabouts::Taken) {
                Whereabouts::Offered(receiver) => return Some((Lead { crew: self }, receiver)),
                Whereabouts::Taken => {
                    state.waiting += 1;
                    self.offered.wait(&mut state);
                    state.waiting -= 1;
                }
                Whereabouts::Over => {
                    state.receiver = Whereabouts::Over;
                    return None;
                }
            }
        }
    }

    /// The thread that [`Lead::hand_over`] asked for could not be started. The others take its turns.
    pub(crate) fn understaffed(&self) {
        self.state.lock().threads -= 1;
    }
}

impl<R> Lead<'_, R> {
    /// Offers the lead to the others. Returns whether one more thread should be started to take it.
    pub(crate) fn hand_over(self, receiver: R) -> bool {
        let crew = self.crew;
        mem::forget(self);
        let mut state = crew.state.lock();
        state.receiver = Whereabouts::Offered(receiver);
        let more = state.waiting == 0 && state.threads < MAX_THREADS;
        state.threads += usize::from(more);
        drop(state);
        crew.offered.notify_one();
        more
    }
}

impl<R> Drop for Lead<'_, R> {
    fn drop(&mut self) {
        self.crew.state.lock().receiver = Whereabouts::Over;
        self.crew.offered.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    #[test]
    fn the_lead_goes_round_and_every_thread_ends_with_it() {
        let crew = Crew::new(0);
        let turns = |limit| {
            let mut turns = 0;
            while let Some((lead, count)) = crew.lead() {
                turns += 1;
                if count == limit {
                    drop(lead);
                } else {
                    lead.hand_over(count + 1);
                }
            }
            turns
        };
        let total: usize = thread::scope(|scope| {
            let others: Vec<_> = (0..3).map(|_| scope.spawn(|| turns(1000))).collect();
            others.into_iter().map(|other| other.join().expect("ends")).sum()
        });
        assert_eq!(total, 1001);
        assert!(crew.lead().is_none());
    }

    #[test]
    fn threads_are_asked_for_up_to_the_limit() {
        let crew = Crew::new(());
        for _ in 1..MAX_THREADS {
            let (lead, receiver) = crew.lead().expect("offered");
            assert!(lead.hand_over(receiver));
        }
        let (lead, receiver) = crew.lead().expect("offered");
        assert!(!lead.hand_over(receiver));
        crew.understaffed();
        let (lead, receiver) = crew.lead().expect("offered");
        assert!(lead.hand_over(receiver));
    }

    #[test]
    fn a_leader_that_panics_ends_the_crew() {
        let crew = Crew::new(());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _lead = crew.lead();
            panic!("a bug");
        }));
        assert!(panicked.is_err());
        assert!(crew.lead().is_none());
    }
}
