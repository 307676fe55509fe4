//! The threads for commands that may block, so that one that hangs on dead storage delays no other session.
//!
//! A session has one such command under way at a time, which keeps its order. Those of different sessions run side by
//! side, each on a thread of its own, up to a bound; beyond it they wait in the order in which they came. Threads are
//! started when they are needed first, and stay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::{io, thread};

use parking_lot::{Condvar, Mutex};
use qapi_schema::CommandTable;

use crate::dispatcher;
use crate::mailbox::{Mailbox, Notice};
use crate::outbox::Outbox;
use crate::request::Request;

/// How many commands may hang before others have to wait for them.
const THREADS: usize = 16;

/// Runs commands elsewhere.
pub(crate) struct Workers {
    pool: Arc<Pool>,
}

struct Pool {
    commands: Arc<CommandTable>,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
    /// There is a job, or there will be none any more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Those of them that wait for a job.
    idle: usize,
    ended: bool,
}

struct Job {
    request: Request,
    outbox: Arc<Outbox>,
}

impl Workers {
    pub(crate) fn new(commands: Arc<CommandTable>, mailbox: Arc<Mailbox>) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { pool: Arc::new(Pool { commands, mailbox, state, changed }) }
    }

    /// Takes a request for a command that there is; a notice follows when it is answered. A session must not submit another
    /// one before, so that what waits here is bounded by the number of sessions.
    ///
    /// # Errors
    /// The system refuses the first thread.
    pub(crate) fn submit(&self, request: Request, outbox: Arc<Outbox>) -> io::Result<()> {
        let mut state = self.pool.state.lock();
        if state.jobs.len() >= state.idle && state.threads < THREADS {
            match self.start() {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                Err(error) => tracing::warn!(%error, "cannot start a thread: commands wait for each other"),
            }
        }
        state.jobs.push_back(Job { request, outbox });
        self.pool.changed.notify_one();
        Ok(())
    }

    fn start(&self) -> io::Result<()> {
        let pool = Arc::clone(&self.pool);
        thread::Builder::new().name("qmp-worker".into()).spawn(move || pool.work()).map(drop)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.pool.state.lock().ended = true;
        self.pool.changed.notify_all();
    }
}

impl Pool {
    /// Runs what comes until the dispatcher is gone. What a client has asked for that is gone by then is not begun.
    fn work(&self) {
        let mut scratch = Vec::new();
        while let Some(Job { request, outbox }) = self.next_job() {
            if let Some(command) = self.commands.find(&request.execute)
                && !outbox.is_closed()
            {
                dispatcher::run(command, request, &outbox, &mut scratch);
            }
            self.mailbox.post(Notice::Answered(outbox.session()));
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.state.lock();
        state.idle += 1;
        self.changed.wait_while(&mut state, |state| state.jobs.is_empty() && !state.ended);
        state.idle -= 1;
        state.jobs.pop_front()
    }
}
