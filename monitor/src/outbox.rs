//! What a client has still to read: the one place where the replies and the events of a session meet.
//!
//! Whoever holds a message appends it and never waits. A client that does not read costs no more than the limit: from
//! half of it on its commands are not run, from the limit on its events are dropped and counted, up to the moment when
//! it has read everything, so that what it misses is one stretch.
//!
//! The order of messages here is the order in which the client reads them. That is what makes a query's answer agree
//! with the events around it, see [`Outbox::answer_if_no_event_since`].

use std::mem::{replace, take};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::mailbox::{Mailbox, Notice};

/// How many unread bytes a session may hold, unless told otherwise.
pub const LIMIT: usize = 1 << 20;

/// Names a session among all that a server ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) u64);

/// How many events an outbox has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCount(u64);

/// The output of one session.
#[derive(Debug)]
pub struct Outbox {
    session: SessionId,
    limit: usize,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queued: Vec<u8>,
    /// Bytes that the event loop has taken to write and has not written.
    taken: usize,
    events: u64,
    /// A notice of output is on its way to the event loop.
    announced: bool,
    intake: Intake,
}

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    Open,
    /// The limit was passed; so many events have been dropped since.
    Dropping {
        lost: u64,
    },
    /// Nobody will read any more: replies are dropped, too.
    Closed,
}

impl Outbox {
    /// The empty outbox of a session, which may hold `limit` unread bytes.
    pub fn new(session: SessionId, limit: usize, mailbox: Arc<Mailbox>) -> Self {
        let state = State { queued: Vec::new(), taken: 0, events: 0, announced: false, intake: Intake::Open };
        Self { session, limit, mailbox, state: Mutex::new(state) }
    }

    /// Whose outbox this is.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Takes an event, and tells the event loop.
    pub fn event(&self, message: &[u8]) {
        let mut state = self.state.lock();
        match state.intake {
            Intake::Closed => {}
            Intake::Dropping { lost } => state.intake = Intake::Dropping { lost: lost + 1 },
            Intake::Open if state.unread() + message.len() > self.limit => {
                state.intake = Intake::Dropping { lost: 1 };
                self.mailbox.post(Notice::Overflow(self.session));
            }
            Intake::Open => {
                state.queued.extend_from_slice(message);
                state.events += 1;
                if !replace(&mut state.announced, true) {
                    self.mailbox.post(Notice::Output(self.session));
                }
            }
        }
    }

    /// Takes a reply. The event loop knows, or is told by the caller.
    pub fn answer(&self, message: &[u8]) {
        self.state.lock().append(message);
    }

    /// How many events this outbox has taken so far.
    pub fn events(&self) -> EventCount {
        EventCount(self.state.lock().events)
    }

    /// Takes a reply if no event came in since `count` was asked for. Otherwise the client would read that event first,
    /// and then an answer that was true before it: the caller finds a new answer.
    ///
    /// That ends, even against a flood of events: while the event loop tries it does not empty the outbox, and when that
    /// is full no event comes in.
    pub fn answer_if_no_event_since(&self, count: EventCount, message: &[u8]) -> bool {
        let mut state = self.state.lock();
        let is_current = EventCount(state.events) == count;
        if is_current {
            state.append(message);
        }
        is_current
    }

    /// Moves everything that is queued into `bytes`, which is empty, to be written.
    pub fn take(&self, bytes: &mut Vec<u8>) {
        let mut state = self.state.lock();
        state.announced = false;
        state.taken += state.queued.len();
        *bytes = take(&mut state.queued);
    }

    /// Learns that so many of the taken bytes are on their way to the client. Returns how many events the client has
    /// missed, when it has read all there was before them.
    pub fn wrote(&self, bytes: usize) -> Option<u64> {
        let mut state = self.state.lock();
        state.taken = state.taken.saturating_sub(bytes);
        match state.intake {
            Intake::Dropping { lost } if state.unread() == 0 => {
                state.intake = Intake::Open;
                Some(lost)
            }
            Intake::Open | Intake::Dropping { .. } | Intake::Closed => None,
        }
    }

    /// The client should read before more of its commands are run.
    pub fn is_congested(&self) -> bool {
        self.state.lock().unread() >= self.limit / 2
    }

    /// The client has read everything.
    pub fn is_empty(&self) -> bool {
        self.state.lock().unread() == 0
    }

    /// Nobody will read what is put in here.
    pub fn is_closed(&self) -> bool {
        self.state.lock().intake == Intake::Closed
    }

    /// Drops what is queued, and all that comes.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.intake = Intake::Closed;
        state.queued = Vec::new();
        state.taken = 0;
    }
}

impl State {
    const fn unread(&self) -> usize {
        self.queued.len() + self.taken
    }

    fn append(&mut self, message: &[u8]) {
        match self.intake {
            Intake::Open | Intake::Dropping { .. } => self.queued.extend_from_slice(message),
            Intake::Closed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(limit: usize) -> Outbox {
        Outbox::new(SessionId(1), limit, Arc::new(Mailbox::new().expect("eventfd")))
    }

    fn queued(outbox: &Outbox) -> String {
        let mut bytes = Vec::new();
        outbox.take(&mut bytes);
        String::from_utf8(bytes).expect("ASCII")
    }

    fn notices(outbox: &Outbox) -> Vec<&'static str> {
        let mut notices = Vec::new();
        outbox.mailbox.collect(&mut notices);
        let name = |notice| match notice {
            Notice::Output(_) => "output",
            Notice::Overflow(_) => "overflow",
            Notice::Answered(_) | Notice::Deadline | Notice::Call(_) | Notice::Shutdown => "other",
        };
        notices.into_iter().map(name).collect()
    }

    #[test]
    fn replies_and_events_keep_the_order_in_which_they_came() {
        let outbox = outbox(100);
        outbox.answer(b"a");
        outbox.event(b"1");
        outbox.event(b"2");
        outbox.answer(b"b");
        assert_eq!(queued(&outbox), "a12b");
        assert_eq!(queued(&outbox), "");
    }

    #[test]
    fn the_loop_is_told_of_events_once_until_it_takes_them() {
        let outbox = outbox(100);
        outbox.event(b"1");
        outbox.event(b"2");
        assert_eq!(notices(&outbox), ["output"]);
        queued(&outbox);
        outbox.event(b"3");
        assert_eq!(notices(&outbox), ["output"]);
    }

    #[test]
    fn an_answer_found_before_an_event_is_not_put_after_it() {
        let outbox = outbox(100);
        let before = outbox.events();
        outbox.event(b"STOP");
        assert!(!outbox.answer_if_no_event_since(before, b"running"));
        assert!(outbox.answer_if_no_event_since(outbox.events(), b"paused"));
        assert_eq!(queued(&outbox), "STOPpaused");
    }

    #[test]
    fn commands_stop_at_half_the_limit_and_events_are_dropped_at_the_limit() {
        let outbox = outbox(10);
        outbox.event(b"1234");
        assert!(!outbox.is_congested());
        outbox.event(b"5");
        assert!(outbox.is_congested());
        outbox.event(b"67890");
        assert_eq!(notices(&outbox), ["output"]);
        outbox.event(b"x");
        outbox.event(b"y");
        assert_eq!(notices(&outbox), ["overflow"]);
        assert_eq!(queued(&outbox), "1234567890");
    }

    #[test]
    fn what_is_taken_but_not_written_counts_as_unread() {
        let outbox = outbox(10);
        outbox.event(b"1234567890");
        queued(&outbox);
        assert!(outbox.is_congested());
        assert_eq!(outbox.wrote(6), None);
        assert!(!outbox.is_congested());
    }

    #[test]
    fn a_client_that_reads_again_misses_one_stretch_of_events() {
        let outbox = outbox(10);
        outbox.event(b"1234567890");
        outbox.event(b"lost");
        queued(&outbox);
        assert_eq!(outbox.wrote(9), None);
        outbox.event(b"lost");
        assert_eq!(outbox.wrote(1), Some(2));
        outbox.event(b"seen");
        assert_eq!(queued(&outbox), "seen");
    }

    #[test]
    fn a_reply_is_never_dropped_for_want_of_room() {
        let outbox = outbox(4);
        outbox.answer(b"longer than the limit");
        outbox.event(b"lost");
        outbox.answer(b".");
        assert_eq!(queued(&outbox), "longer than the limit.");
    }

    #[test]
    fn a_closed_outbox_keeps_nothing() {
        let outbox = outbox(10);
        outbox.event(b"1");
        outbox.close();
        outbox.event(b"2");
        outbox.answer(b"3");
        assert_eq!(outbox.wrote(1), None);
        assert_eq!(queued(&outbox), "");
    }
}
