//! `fdatasync` for many: whoever asks while one is under way waits for the next, which serves all who wait.
//!
//! Linux reports a failed write-back to one `fdatasync` only, and marks the pages clean although their data never
//! reached the disk: the next call succeeds, the data may be gone. Hence
//! - two never run at once: of two, one would get the error and the other report success for data that is lost;
//! - after an error every flush fails until the image is reopened, since nobody can tell any more what is on disk.
//!
//! Want of space (ENOSPC, EDQUOT) is the exception: it is what an operator can mend while the VM is stopped, so the
//! flush may be tried again. It comes from storage that allocates at write-back (NFS, thin devices); local file
//! systems reserve space when data is written, and fail the write. On such storage `cache.direct=on` is the safe choice:
//! the write itself then gets the error, and nothing depends on pages that the kernel has given up.
//!
//! Some flushes are nobody's: `stop` flushes, and whoever stops the VM can't repair what fails. Since the kernel reports
//! a failure once, it is kept for the next who asks.

use std::io;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

/// Where flushes of one image queue.
#[derive(Debug, Default)]
pub(super) struct FlushGate {
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    waiting: usize,
    /// How many have been started.
    started: u64,
    /// The number of the latest that has finished.
    finished: u64,
    /// The number and the errno of the latest that has failed.
    failure: Option<(u64, i32)>,
    /// The errno that all flushes get.
    failed: Option<i32>,
    /// The errno that the next flush gets that somebody asks for.
    owed: Option<i32>,
}

/// Who wants to know of a failure.
#[derive(Clone, Copy, Debug)]
enum Asker {
    Somebody,
    Nobody,
}

impl FlushGate {
    /// Flushes by `sync`, or by somebody else's that starts after this call.
    pub(super) fn flush(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let owed = self.state.lock().owed.take();
        match owed {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => self.flush_for(Asker::Somebody, sync),
        }
    }

    /// The same, for nobody who wants to know of a failure: the next who flushes is told, too.
    pub(super) fn flush_ahead(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.flush_for(Asker::Nobody, sync)
    }

    fn flush_for(&self, asker: Asker, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock();
        let wanted = state.started + 1;
        loop {
            if let Some(result) = state.answer(wanted) {
                return result;
            }
            if !state.running {
                break;
            }
            state.waiting += 1;
            self.finished.wait(&mut state);
            state.waiting -= 1;
        }
        let number = state.start();
        drop(state);

        let result = sync();

        self.state.lock().finish(number, asker, &result);
        self.finished.notify_all();
        result
    }

    /// Whether all flushes fail.
    pub(super) fn failed(&self) -> bool {
        self.state.lock().failed.is_some()
    }

    /// Starts anew after the image was reopened.
    pub(super) fn forgive(&self) {
        self.state.lock().failed = None;
    }
}

impl State {
    /// What those get whom the flush of this number or any later one serves, or `None` if they have to wait.
    ///
    /// They may look late, when a later flush has long succeeded: a failure in between is theirs all the same, since
    /// the success says nothing of the data that it lost.
    fn answer(&self, wanted: u64) -> Option<io::Result<()>> {
        let theirs = self.failure.filter(|&(number, _)| number >= wanted).map(|(_, errno)| errno);
        match self.failed.or(theirs) {
            Some(errno) => Some(Err(io::Error::from_raw_os_error(errno))),
            None => (self.finished >= wanted).then_some(Ok(())),
        }
    }

    const fn start(&mut self) -> u64 {
        self.running = true;
        self.started += 1;
        self.started
    }

    fn finish(&mut self, number: u64, asker: Asker, result: &io::Result<()>) {
        self.running = false;
        self.finished = number;
        if let Err(error) = result {
            let errno = errno(error);
            self.failure = Some((number, errno));
            self.failed = self.failed.or(Some(errno).filter(|&errno| !is_want_of_space(errno)));
            if let Asker::Nobody = asker {
                self.owed = Some(errno);
            }
        }
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())
}

fn is_want_of_space(errno: i32) -> bool {
    [Errno::NOSPC, Errno::DQUOT].iter().any(|full| full.raw_os_error() == errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    fn failing(errno: Errno) -> impl FnOnce() -> io::Result<()> {
        move || Err(errno.into())
    }

    fn raw(result: io::Result<()>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn after_an_io_error_every_flush_fails_until_reopened() {
        let gate = FlushGate::default();
        assert_eq!(raw(gate.flush(failing(Errno::IO))), Some(5));
        assert_eq!(raw(gate.flush(|| unreachable!("the kernel would say all is well"))), Some(5));
        assert!(gate.failed());
        gate.forgive();
        assert_eq!(raw(gate.flush(|| Ok(()))), None);
    }

    #[test]
    fn want_of_space_may_be_tried_again() {
        let gate = FlushGate::default();
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert_eq!(raw(gate.flush(failing(errno))), Some(errno.raw_os_error()));
            assert_eq!(raw(gate.flush(|| Ok(()))), None);
        }
    }

    #[test]
    fn a_failure_that_nobody_asked_for_is_told_to_the_next_who_flushes() {
        let gate = FlushGate::default();
        assert_eq!(raw(gate.flush_ahead(failing(Errno::NOSPC))), Some(28));
        assert_eq!(raw(gate.flush_ahead(|| Ok(()))), None);
        gate.forgive();
        assert_eq!(raw(gate.flush(|| unreachable!("the kernel would say all is well"))), Some(28));
        assert_eq!(raw(gate.flush(|| Ok(()))), None);

        assert_eq!(raw(gate.flush_ahead(failing(Errno::IO))), Some(5));
        assert_eq!([raw(gate.flush(|| Ok(()))), raw(gate.flush(|| Ok(())))], [Some(5), Some(5)]);
    }

    #[test]
    fn all_who_wait_share_one_sync_that_starts_after_they_came_and_its_error() {
        let gate = FlushGate::default();
        let syncs = AtomicUsize::new(0);
        let sync = |result: io::Result<()>| {
            syncs.fetch_add(1, Ordering::SeqCst);
            result
        };
        let results = thread::scope(|scope| {
            let mut waiting = Vec::new();
            let first = gate.flush(|| {
                for _ in 0..8 {
                    waiting.push(scope.spawn(|| gate.flush(|| sync(Err(Errno::IO.into())))));
                }
                // None of them is served by this one, which began before they came.
                while gate.state.lock().waiting < 8 {
                    thread::yield_now();
                }
                sync(Ok(()))
            });
            assert_eq!(raw(first), None);
            waiting.into_iter().map(|thread| raw(thread.join().expect("no panic"))).collect::<Vec<_>>()
        });
        assert_eq!(results, [Some(5); 8]);
        assert_eq!(syncs.into_inner(), 2);
    }

    #[test]
    fn a_success_that_follows_at_once_hides_no_error_from_those_who_wait() {
        let gate = FlushGate::default();
        let first = gate.state.lock().start();
        let late = thread::scope(|scope| {
            let late = scope.spawn(|| gate.flush(|| unreachable!("others do it")));
            while gate.state.lock().waiting < 1 {
                thread::yield_now();
            }
            // All this happens before the other thread gets the lock to look.
            let mut state = gate.state.lock();
            state.finish(first, Asker::Somebody, &Ok(()));
            for result in [Err(Errno::NOSPC.into()), Ok(())] {
                let number = state.start();
                state.finish(number, Asker::Somebody, &result);
            }
            gate.finished.notify_all();
            drop(state);
            raw(late.join().expect("no panic"))
        });
        assert_eq!(late, Some(Errno::NOSPC.raw_os_error()));
        assert_eq!(raw(gate.flush(|| Ok(()))), None);
    }
}
