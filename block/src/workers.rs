//! The threads that retry what waited while the VM was stopped: one always, more as needed, a few at most.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use vl::sync::{Condvar, Mutex, thread};

/// Enough to keep a slow disk busy; a fast one is not limited by threads.
const MOST_THREADS: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// A pool of threads. Jobs start in the order in which they came; those not started when the pool is dropped are dropped.
pub struct Workers(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Workers {
    /// A pool with one thread, so that no job can be left lying because the system refuses another.
    ///
    /// # Errors
    /// The system refuses the first.
    pub fn new() -> io::Result<Self> {
        let state = State { jobs: VecDeque::new(), threads: 0, idle: 0, closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        Shared::spawn(&shared, &mut shared.state.lock())?;
        Ok(Self(shared))
    }

    /// Queues jobs, without blocking. Threads beyond the first end when there is nothing to do.
    pub fn run(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut state = self.0.state.lock();
        state.jobs.extend(jobs);
        while state.threads < MOST_THREADS.min(state.jobs.len() + state.threads - state.idle) {
            if let Err(error) = Shared::spawn(&self.0, &mut state) {
                tracing::debug!(%error, threads = state.threads, "no further worker");
                break;
            }
        }
        self.0.wake.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn spawn(this: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let shared = this.clone();
        thread::Builder::new().name("block-retry".into()).spawn(move || shared.work())?;
        state.threads += 1;
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        if state.jobs.is_empty() && state.threads > 1 {
            state.threads -= 1;
            return None;
        }
        state.idle += 1;
        self.wake.wait_while(&mut state, |state| state.jobs.is_empty() && !state.closed);
        state.idle -= 1;
        state.jobs.pop_front().filter(|_| !state.closed)
    }
}
