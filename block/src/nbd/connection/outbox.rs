//! The way out of a connection: replies that wait to be sent, and how much may be unanswered.
//!
//! Any thread may answer, the connection's own or one that retries held requests much later, and none of them must wait
//! for a client that does not read. So nobody ever blocks in sending: whoever has something to send and finds no other
//! thread at it, sends until nothing is left or the socket takes no more. What is left then is the business of the
//! *leader*, the one thread that waits for the client.
//!
//! A request counts as unanswered until its reply has left, so that one pair of limits bounds what a connection costs:
//! requests that wait for the disk, and replies that wait for the client.

use std::io;
use std::mem;

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use super::batch::{Batch, Load, Reply};
use crate::nbd::socket::Socket;
use crate::nbd::wake::Wake;

/// Unanswered requests that one connection may have.
const MAX_REQUESTS: usize = 128;

/// Payload of unanswered requests that one connection may have: twice the longest.
const MAX_PAYLOAD: usize = 64 << 20;

/// Replies that are worth a system call even if more will follow soon.
const WORTH_SENDING: usize = 64 << 10;

/// The client is gone, or was shown the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nbd) struct Gone;

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::nbd) struct Outbox {
    socket: Socket,
    wake: Wake,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    flow: Flow,
    pending: Batch,
    unanswered: Load,
    /// What the leader waits for, and must be woken for.
    awaited: Awaited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Whoever has something to send may do so.
    Idle,
    /// A thread is sending, and will also send what is added now.
    Sending,
    /// The socket takes no more; the leader waits until it does.
    Blocked,
    /// Replies are dropped.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Nothing,
    /// The next request.
    Input,
    /// Answers that make room for a request of so much payload.
    Room {
        payload: usize,
    },
    /// An answer to every request.
    Quiet,
}

impl Outbox {
    pub(in crate::nbd) fn new(socket: Socket) -> io::Result<Self> {
        let state = State {
            flow: Flow::Idle,
            pending: Batch::default(),
            unanswered: Load::default(),
            awaited: Awaited::Nothing,
        };
        Ok(Self { socket, wake: Wake::new()?, state: Mutex::new(state) })
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Adds a reply. It is sent by the next [`flush`](Self::flush); returns whether that is due at once.
    pub(super) fn push(&self, reply: Reply) -> bool {
        let mut state = self.state.lock();
        state.pending.push(reply);
        if state.flow == Flow::Closed {
            let dropped = state.pending.clear();
            self.answered(&mut state, dropped);
        }
        state.pending.bytes() >= WORTH_SENDING
    }

    /// Sends what can be sent without waiting.
    pub(super) fn flush(&self) {
        self.flush_locked(&mut self.state.lock());
    }

    fn flush_locked(&self, state: &mut MutexGuard<'_, State>) {
        while state.may_send() && !state.pending.is_empty() {
            state.flow = Flow::Sending;
            let mut batch = mem::take(&mut state.pending);
            let (sent, result) = MutexGuard::unlocked(state, || batch.send(&self.socket));
            self.answered(state, sent);
            batch.append(&mut state.pending);
            state.pending = batch;
            match result {
                _ if state.flow == Flow::Closed => return self.close_locked(state),
                Ok(()) => state.flow = Flow::Idle,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.block(state),
                Err(error) => {
                    tracing::debug!(%error, "client does not take replies");
                    return self.close_locked(state);
                }
            }
        }
    }

    /// Leaves the rest to the leader.
    fn block(&self, state: &mut State) {
        state.flow = Flow::Blocked;
        if state.awaited != Awaited::Nothing {
            self.wake.wake();
        }
    }

    /// Ends the connection: its threads notice, and replies are dropped.
    pub(in crate::nbd) fn close(&self) {
        self.close_locked(&mut self.state.lock());
    }

    fn close_locked(&self, state: &mut State) {
        state.flow = Flow::Closed;
        let dropped = state.pending.clear();
        self.answered(state, dropped);
        self.socket.hang_up();
    }

    fn answered(&self, state: &mut State, done: Load) {
        state.unanswered.requests -= done.requests;
        state.unanswered.payload -= done.payload;
        let awaited = match state.awaited {
            Awaited::Nothing | Awaited::Input => false,
            Awaited::Room { payload } => state.has_room(payload),
            Awaited::Quiet => state.unanswered.requests == 0,
        };
        if awaited {
            self.wake.wake();
        }
    }

    /// Waits until the client has sent something or is gone, or until waiting in a receive does no harm, because no
    /// answer can need attention meanwhile: only the `incomplete` requests are unanswered that are being received. For
    /// the leader.
    pub(super) fn wait_for_input(&self, incomplete: usize) {
        let mut state = self.state.lock();
        self.flush_locked(&mut state);
        while state.unanswered.requests > incomplete && !self.socket.has_input() {
            let happened = self.wait(&mut state, Awaited::Input, PollFlags::IN | PollFlags::RDHUP);
            if happened.intersects(PollFlags::IN | PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
                return;
            }
        }
    }

    /// Counts a request of so much payload as unanswered, as soon as there is room. For the leader.
    ///
    /// # Errors
    /// The client went away meanwhile.
    pub(super) fn reserve(&self, payload: usize) -> Result<(), Gone> {
        let mut state = self.state.lock();
        if !state.has_room(payload) {
            self.flush_locked(&mut state);
        }
        while state.flow != Flow::Closed && !state.has_room(payload) {
            // One that has only ceased to send may still listen.
            let happened = self.wait(&mut state, Awaited::Room { payload }, PollFlags::empty());
            if happened.intersects(PollFlags::HUP | PollFlags::ERR) {
                return Err(Gone);
            }
        }
        if state.flow == Flow::Closed {
            return Err(Gone);
        }
        state.unanswered.requests += 1;
        state.unanswered.payload += payload;
        Ok(())
    }

    /// Takes back a [`reserve`](Self::reserve) for a request that broke off.
    pub(super) fn forgo(&self, payload: usize) {
        self.answered(&mut self.state.lock(), Load { requests: 1, payload });
    }

    /// Waits until every request is answered, and the answers have left or can't. For the last thread.
    pub(super) fn drain(&self) {
        let mut state = self.state.lock();
        self.flush_locked(&mut state);
        while state.unanswered.requests > 0 {
            let happened = self.wait(&mut state, Awaited::Quiet, PollFlags::empty());
            if happened.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.close_locked(&mut state);
            }
        }
    }

    /// Waits for what is awaited, or for one of `events` on the socket, and sends what it takes.
    fn wait(&self, state: &mut MutexGuard<'_, State>, awaited: Awaited, events: PollFlags) -> PollFlags {
        state.awaited = awaited;
        let flow = state.flow;
        let happened = MutexGuard::unlocked(state, || {
            let output = if flow == Flow::Blocked { PollFlags::OUT } else { PollFlags::empty() };
            let mut polled = [PollFd::new(&self.wake, PollFlags::IN), PollFd::new(&self.socket, events | output)];
            // A closed socket has nothing more to tell, over and over again.
            let count = if flow == Flow::Closed && awaited == Awaited::Quiet { 1 } else { 2 };
            // Its failures are those of a wrong call; the loops around this ask again.
            let _ = retry_on_intr(|| poll(&mut polled[..count], None));
            if !polled[0].revents().is_empty() {
                self.wake.clear();
            }
            polled[1].revents()
        });
        state.awaited = Awaited::Nothing;
        if happened.contains(PollFlags::OUT) {
            self.flush_locked(state);
        }
        happened
    }
}

impl State {
    const fn may_send(&self) -> bool {
        match self.flow {
            Flow::Idle | Flow::Blocked => true,
            Flow::Sending | Flow::Closed => false,
        }
    }

    const fn has_room(&self, payload: usize) -> bool {
        self.unanswered.requests < MAX_REQUESTS && self.unanswered.payload + payload <= MAX_PAYLOAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nbd::transmission::ReplyHeader;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::thread;

    const SIZE: usize = 1 << 20;

    fn outbox() -> (Outbox, UnixStream) {
        let (ours, client) = UnixStream::pair().expect("sockets");
        (Outbox::new(ours.into()).expect("created"), client)
    }

    fn answer(outbox: &Outbox, cookie: u64) {
        outbox.push(Reply::new(ReplyHeader { cookie, result: Ok(()) }, vec![0; SIZE], SIZE));
    }

    fn receive(client: &mut UnixStream) -> u64 {
        let mut reply = vec![0; ReplyHeader::SIZE + SIZE];
        client.read_exact(&mut reply).expect("received");
        reply.first_chunk().and_then(ReplyHeader::decode).expect("a reply").cookie
    }

    #[test]
    fn nobody_waits_for_a_client_that_does_not_read() {
        let (outbox, mut client) = outbox();
        for cookie in 0..10 {
            outbox.reserve(SIZE).expect("room");
            answer(&outbox, cookie);
            outbox.flush();
        }
        thread::scope(|scope| {
            scope.spawn(|| outbox.drain());
            for cookie in 0..10 {
                assert_eq!(receive(&mut client), cookie);
            }
        });
    }

    #[test]
    fn the_leader_sends_what_others_leave_while_it_waits_for_input() {
        let (outbox, mut client) = outbox();
        outbox.reserve(SIZE).expect("room");
        outbox.reserve(SIZE).expect("room");
        thread::scope(|scope| {
            scope.spawn(|| outbox.wait_for_input(1));
            answer(&outbox, 7);
            outbox.flush();
            assert_eq!(receive(&mut client), 7);
            drop(client);
        });
    }

    #[test]
    fn there_is_room_again_when_replies_have_left() {
        let (outbox, mut client) = outbox();
        for _ in 0..2 {
            outbox.reserve(MAX_PAYLOAD / 2).expect("room");
        }
        thread::scope(|scope| {
            let waiting = scope.spawn(|| outbox.reserve(1));
            let header = ReplyHeader { cookie: 1, result: Ok(()) };
            outbox.push(Reply::new(header, Vec::new(), MAX_PAYLOAD / 2));
            outbox.flush();
            assert_eq!(waiting.join().expect("returns"), Ok(()));
        });
        client.read_exact(&mut [0; ReplyHeader::SIZE]).expect("received");
    }

    #[test]
    fn a_client_that_leaves_ends_every_wait() {
        let (outbox, client) = outbox();
        for _ in 0..MAX_REQUESTS {
            outbox.reserve(0).expect("room");
        }
        thread::scope(|scope| {
            let waiting = scope.spawn(|| outbox.reserve(0));
            drop(client);
            assert_eq!(waiting.join().expect("returns"), Err(Gone));
        });
        outbox.wait_for_input(0);
        outbox.close();
        for cookie in 0..MAX_REQUESTS as u64 {
            outbox.push(Reply::new(ReplyHeader { cookie, result: Ok(()) }, Vec::new(), 0));
        }
        outbox.drain();
    }
}
