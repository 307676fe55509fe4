//! The threads for commands that may block, so that one that hangs on dead storage delays no other session.
//!
//! A session has one such command under way at a time, which keeps its order. Those of different sessions run side by
//! side, each on a thread of its own: nothing waits for a thread, which might be one that hangs. Threads are started when
//! they are needed, and a few stay. There is a bound, which only commands of clients that have given up on them reach.

use std::collections::VecDeque;
use std::sync::Arc;
use std::{io, thread};

use parking_lot::{Condvar, Mutex};
use qapi_schema::CommandTable;

use crate::dispatcher;
use crate::mailbox::{Mailbox, Notice};
use crate::outbox::Outbox;
use crate::request::Request;

/// How many commands may hang before others are refused.
const THREADS: usize = if cfg!(test) { 32 } else { 2048 };

/// How many threads stay when there is nothing to do.
const KEPT: usize = 16;

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
    /// Too many commands hang, or the system refuses a thread.
    pub(crate) fn submit(&self, request: Request, outbox: Arc<Outbox>) -> io::Result<()> {
        let mut state = self.pool.state.lock();
        if state.jobs.len() >= state.idle {
            if state.threads == THREADS {
                return Err(io::Error::other(format!("{THREADS} commands were begun and do not end")));
            }
            self.start()?;
            state.threads += 1;
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
        if state.jobs.is_empty() && state.idle == KEPT {
            state.threads -= 1;
            return None;
        }
        state.idle += 1;
        self.changed.wait_while(&mut state, |state| state.jobs.is_empty() && !state.ended);
        state.idle -= 1;
        state.jobs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::outbox::SessionId;
    use qapi_schema::{Arguments, Command, CommandOptions};
    use std::sync::Barrier;

    #[test]
    fn however_many_commands_hang_the_next_is_run_or_refused() {
        let (begun, end) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(THREADS)));
        let (has_begun, may_end) = (Arc::clone(&begun), Arc::clone(&end));
        let hang = Command::new("hang", CommandOptions::default(), move |members| {
            members.finish()?;
            has_begun.wait();
            may_end.wait();
            Ok(Command::empty())
        });
        let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
        let outbox = Arc::new(Outbox::new(SessionId(1), Options::default(), Arc::clone(&mailbox)));
        let workers = Workers::new(Arc::new([hang].into_iter().collect()), mailbox);
        let submit = || {
            let request = Request { execute: "hang".into(), arguments: Arguments::new(), id: None, out_of_band: false };
            workers.submit(request, Arc::clone(&outbox))
        };

        for _ in 1..THREADS {
            submit().expect("a thread");
            begun.wait();
        }
        submit().expect("the last thread");
        let refused = submit().expect_err("one too many").to_string();
        assert_eq!(refused, "32 commands were begun and do not end");

        begun.wait();
        while workers.pool.state.lock().threads > KEPT {
            thread::yield_now();
        }
        submit().expect("one that stayed");
        begun.wait();
        assert_eq!(workers.pool.state.lock().threads, KEPT);
    }
}
