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
    /// The errno of the latest that has finished.
    latest: Option<i32>,
    /// The errno that all flushes get.
    failed: Option<i32>,
}

impl FlushGate {
    /// Flushes by `sync`, or by somebody else's that starts after this call.
    pub(super) fn flush(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock();
        let wanted = state.started + 1;
        loop {
            if let Some(errno) = state.failed {
                return Err(io::Error::from_raw_os_error(errno));
            }
            if state.finished >= wanted {
                return state.latest.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)));
            }
            if !state.running {
                break;
            }
            state.waiting += 1;
            self.finished.wait(&mut state);
            state.waiting -= 1;
        }
        state.running = true;
        state.started += 1;
        let number = state.started;
        drop(state);

        let result = sync();

        let mut state = self.state.lock();
        state.running = false;
        state.finished = number;
        state.latest = result.as_ref().err().map(errno);
        state.failed = state.failed.or(state.latest.filter(|&errno| !is_want_of_space(errno)));
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
}
