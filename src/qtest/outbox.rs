//! What is on its way to the client: answers, and interrupts that any thread may report.
//!
//! Whoever reports an interrupt only leaves a line here. What happens while a command is carried out goes out before its
//! answer and with it, in one write; the rest is written by a thread of its own.

use std::fmt;
use std::io;
use std::mem::{swap, take};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use hw::irq::Interceptor;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use super::log::Log;
use super::protocol::write_irq;
use super::server::wait;

/// How much of interrupts is kept for a client that does not read.
const LONGEST: usize = 1 << 20;

/// A command that causes more than this does not hold it back until its answer.
const HELD_BACK: usize = 64 << 10;

/// How long a command may take that is carried out when the machine ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// A client's two ends.
#[derive(Debug)]
pub(super) struct Peer {
    input: OwnedFd,
    /// If it is not the same.
    output: Option<OwnedFd>,
}

/// The lines to the client, if there is one.
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is something to be relayed, or nothing ever again.
    due: Condvar,
    /// A thread has written what it took.
    written: Condvar,
    log: Log,
}

#[derive(Default)]
struct State {
    peer: Option<Arc<Peer>>,
    queue: Vec<u8>,
    /// How much of the queue are interrupts.
    interrupts: usize,
    /// Memory that was a queue and will be again.
    spare: Vec<u8>,
    /// A command is carried out.
    busy: bool,
    /// A thread writes what was taken from the queue.
    writing: bool,
    /// Nobody will ever come.
    ended: bool,
}

impl Peer {
    pub(super) const fn new(input: OwnedFd, output: Option<OwnedFd>) -> Self {
        Self { input, output }
    }

    pub(super) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let output = self.output.as_ref().unwrap_or(&self.input);
        while !bytes.is_empty() {
            match rustix::io::write(output, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait([output.as_fd()], PollFlags::OUT)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whoever reads from it or writes to it ends.
    fn hang_up(&self) {
        // Only sockets can be shut down.
        let _ = shutdown(&self.input, Shutdown::Both);
    }
}

impl Outbox {
    /// Nobody is there.
    pub(super) fn new(log: Log) -> Self {
        Self { state: Mutex::default(), due: Condvar::new(), written: Condvar::new(), log }
    }

    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    /// Whether nobody is served any more.
    pub(super) fn is_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// A client came.
    pub(super) fn open(&self, peer: Arc<Peer>) {
        let mut state = self.state.lock();
        state.peer = Some(peer);
        if state.ended {
            state.forget_peer();
        }
        drop(state);
        self.log.opened();
    }

    /// The client left. What it has not read is dropped.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.forget_peer();
        state.busy = false;
        self.await_writer(&mut state);
        drop(state);
        self.log.closed();
    }

    /// Nobody is served any more, once what is carried out has been answered: it may be what ended the machine.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        self.written.wait_while_for(&mut state, |state| state.busy || state.writing, PATIENCE);
        state.forget_peer();
        drop(state);
        self.due.notify_all();
    }

    /// Commands were read: what they cause goes out with their answers.
    pub(super) fn begin(&self) {
        self.state.lock().busy = true;
    }

    /// Adds the answer to a command. Returns whether the client is still there.
    pub(super) fn answer(&self, answer: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.peer.is_some() {
            state.queue.extend_from_slice(answer);
        }
        // So that the log is in order, and a long answer not kept.
        if self.log.is_on() || state.queue.len() > HELD_BACK {
            self.write(&mut state);
        }
        state.peer.is_some()
    }

    /// All commands that were read have been answered. Returns whether the client is still there.
    pub(super) fn finish(&self) -> bool {
        let mut state = self.state.lock();
        state.busy = false;
        self.write(&mut state);
        self.written.notify_all();
        state.peer.is_some() && !state.ended
    }

    /// Writes what happens between commands, until the end.
    pub(super) fn relay(&self) {
        let mut state = self.state.lock();
        while !state.ended {
            if state.is_to_be_relayed() {
                self.write(&mut state);
            } else {
                self.due.wait(&mut state);
            }
        }
    }

    /// Writes all there is, after those who write already.
    fn write(&self, state: &mut MutexGuard<'_, State>) {
        self.await_writer(state);
        while !state.queue.is_empty()
            && let Some(peer) = state.peer.clone()
        {
            let mut bytes = take(&mut state.spare);
            swap(&mut state.queue, &mut bytes);
            state.interrupts = 0;
            state.writing = true;
            let outcome = MutexGuard::unlocked(state, || {
                self.log.sent(&bytes);
                peer.write_all(&bytes)
            });
            state.writing = false;
            self.written.notify_all();
            if let Err(error) = outcome {
                tracing::debug!(%error, "cannot write to the client of qtest");
                state.forget_peer();
            }
            if bytes.capacity() <= LONGEST {
                bytes.clear();
                state.spare = bytes;
            }
        }
    }

    fn await_writer(&self, state: &mut MutexGuard<'_, State>) {
        self.written.wait_while(state, |state| state.writing);
    }
}

impl State {
    fn is_to_be_relayed(&self) -> bool {
        !self.queue.is_empty() && !self.writing && (!self.busy || self.interrupts > HELD_BACK)
    }

    fn forget_peer(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.hang_up();
        }
        self.queue = Vec::new();
        self.interrupts = 0;
    }
}

impl Interceptor for Outbox {
    fn level(&self, input: u32, high: bool) {
        let mut state = self.state.lock();
        if state.peer.is_none() {
            return;
        }
        if state.interrupts > LONGEST {
            tracing::warn!("the client of qtest does not read: it is disconnected");
            return state.forget_peer();
        }
        let length = state.queue.len();
        write_irq(&mut state.queue, input, high);
        state.interrupts += state.queue.len() - length;
        let wake = state.is_to_be_relayed();
        drop(state);
        if wake {
            self.due.notify_one();
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}
