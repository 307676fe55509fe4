//! What a client has still to read: the one place where the replies and the events of a session meet.
//!
//! Whoever holds a message appends it and never waits. A client that does not read costs no more than the limit: from
//! half of it on its commands are not run, from the limit on its events are dropped and counted, up to the moment when
//! it has read everything. So what it misses is one stretch, and the first message after that tells it.
//!
//! The order of messages here is the order in which the client reads them. That is what makes a query's answer agree
//! with the events around it, see [`Outbox::answer_if_no_event_since`].

use std::mem::{replace, swap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use qapi_schema::Client;
use qapi_schema::control::event::MonitorEventsLost as EventsLost;

use crate::event::EventMessage;
use crate::mailbox::{Mailbox, Notice};
use crate::options::{Mode, Options};
use crate::pretty;
use crate::sync::{AtomicU64, Mutex};

/// Names a session among all that a server ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

impl SessionId {
    /// The session of this number, of at most 62 bits.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// How many events an outbox has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCount(u64);

/// The output of one session.
#[derive(Debug)]
pub struct Outbox {
    session: SessionId,
    /// Whose output this is.
    client: Arc<Client>,
    options: Options,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
    /// How many events were taken. Changes under the lock, and is read without.
    events: AtomicU64,
    /// What the state said when it changed last.
    congested: AtomicBool,
}

#[derive(Debug)]
struct State {
    queued: Vec<u8>,
    /// Bytes that the event loop has taken to write and has not written.
    taken: usize,
    /// A notice of output is on its way to the event loop.
    announced: bool,
    intake: Intake,
}

/// What happens to an event.
#[derive(Debug)]
enum Intake {
    Open,
    /// The limit was passed; these events have been dropped since.
    Dropping(EventsLost),
    /// Nobody will read any more: replies are dropped, too.
    Closed,
}

impl Outbox {
    /// The empty outbox of a session.
    pub fn new(session: SessionId, options: Options, mailbox: Arc<Mailbox>) -> Self {
        let state = State { queued: Vec::new(), taken: 0, announced: false, intake: Intake::Open };
        let (events, congested) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { session, client: Arc::default(), options, mailbox, state: Mutex::new(state), events, congested }
    }

    /// Whose outbox this is.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The client who reads it, as commands know it.
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// A person reads it, by way of a terminal.
    pub fn is_for_people(&self) -> bool {
        self.options.mode == Mode::Readline
    }

    /// Takes an event, and leaves a notice for the event loop, which the caller wakes. An outbox that is empty takes an
    /// event of any size.
    pub fn event(&self, message: &EventMessage) {
        let mut state = self.state.lock();
        let unread = state.unread();
        match &mut state.intake {
            Intake::Closed => {}
            Intake::Dropping(lost) => count(lost, message.name),
            Intake::Open if unread > 0 && unread + message.text.len() > self.options.outbuf => {
                let mut lost = EventsLost { count: 0, names: Vec::new() };
                count(&mut lost, message.name);
                state.intake = Intake::Dropping(lost);
                self.judge(&state);
                self.mailbox.leave(Notice::Overflow(self.session));
            }
            Intake::Open => {
                self.append(&mut state, &message.text);
                self.events.fetch_add(1, Release);
                self.announce(&mut state);
            }
        }
    }

    /// Takes a reply. The event loop knows, or is told by the caller.
    pub fn answer(&self, message: &[u8]) {
        self.append(&mut self.state.lock(), message);
    }

    /// How many events this outbox has taken so far.
    pub fn events(&self) -> EventCount {
        EventCount(self.events.load(Acquire))
    }

    /// Takes a reply if no event came in since `count` was asked for. Otherwise the client would read that event first,
    /// and then an answer that was true before it: the caller finds a new answer.
    ///
    /// That ends, even against a flood of events: while the event loop tries it does not empty the outbox, and when that
    /// is full no event comes in.
    pub fn answer_if_no_event_since(&self, count: EventCount, message: &[u8]) -> bool {
        let mut state = self.state.lock();
        let is_current = self.events() == count;
        if is_current {
            self.append(&mut state, message);
        }
        is_current
    }

    /// Moves everything that is queued into `bytes`, which is empty, to be written. Its memory is used for what comes.
    pub fn take(&self, bytes: &mut Vec<u8>) {
        let mut state = self.state.lock();
        state.announced = false;
        state.taken += state.queued.len();
        swap(&mut state.queued, bytes);
    }

    /// Learns that so many of the taken bytes are on their way to the client. If it has missed events, and has now read
    /// all there was before them, `report` makes the message that tells it. Returns how many it has missed.
    pub fn wrote(&self, bytes: usize, report: impl FnOnce(EventsLost) -> EventMessage) -> Option<u64> {
        let mut state = self.state.lock();
        state.taken = state.taken.saturating_sub(bytes);
        let missed = match replace(&mut state.intake, Intake::Open) {
            Intake::Dropping(lost) if state.unread() == 0 => {
                let count = lost.count;
                self.append(&mut state, &report(lost).text);
                self.announce(&mut state);
                Some(count)
            }
            unchanged @ (Intake::Open | Intake::Dropping(_) | Intake::Closed) => {
                state.intake = unchanged;
                None
            }
        };
        self.judge(&state);
        missed
    }

    /// The client should read before more of its commands are run. Once it misses events it has to read everything,
    /// or those who keep asking would miss them for ever.
    pub fn is_congested(&self) -> bool {
        self.congested.load(Relaxed)
    }

    /// The client has read everything.
    pub fn is_empty(&self) -> bool {
        self.state.lock().unread() == 0
    }

    /// Nobody will read what is put in here.
    pub fn is_closed(&self) -> bool {
        matches!(self.state.lock().intake, Intake::Closed)
    }

    /// Drops what is queued, and all that comes.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.intake = Intake::Closed;
        state.queued = Vec::new();
        state.taken = 0;
        self.judge(&state);
    }

    /// Finds anew whether the client should read first.
    fn judge(&self, state: &State) {
        let congested = state.unread() >= self.options.outbuf / 2 || matches!(state.intake, Intake::Dropping(_));
        self.congested.store(congested, Relaxed);
    }

    fn append(&self, state: &mut State, message: &[u8]) {
        match state.intake {
            Intake::Closed => {}
            Intake::Open | Intake::Dropping(_) if self.options.pretty => pretty::indent(message, &mut state.queued),
            Intake::Open | Intake::Dropping(_) => state.queued.extend_from_slice(message),
        }
        self.judge(state);
    }

    fn announce(&self, state: &mut State) {
        if !replace(&mut state.announced, true) {
            self.mailbox.leave(Notice::Output(self.session));
        }
    }
}

fn count(lost: &mut EventsLost, name: &str) {
    lost.count += 1;
    if !lost.names.iter().any(|known| known == name) {
        lost.names.push(name.to_owned());
    }
}

impl State {
    const fn unread(&self) -> usize {
        self.queued.len() + self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(limit: usize) -> Outbox {
        Outbox::new(
            SessionId(1),
            Options { outbuf: limit, ..Options::default() },
            Arc::new(Mailbox::new().expect("eventfd")),
        )
    }

    /// An event that is its name on the wire.
    fn event(outbox: &Outbox, text: &'static str) {
        outbox.event(&EventMessage { name: text, text: text.into() });
    }

    fn wrote(outbox: &Outbox, bytes: usize) -> Option<u64> {
        outbox.wrote(bytes, |lost| EventMessage { name: "LOST", text: lost.names.join(",").into() })
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
            Notice::Answered(_) | Notice::Deadline(_) | Notice::Call(_) | Notice::Shutdown => "other",
        };
        notices.into_iter().map(name).collect()
    }

    #[test]
    fn replies_and_events_keep_the_order_in_which_they_came() {
        let outbox = outbox(100);
        outbox.answer(b"a");
        event(&outbox, "1");
        event(&outbox, "2");
        outbox.answer(b"b");
        assert_eq!(queued(&outbox), "a12b");
        assert_eq!(queued(&outbox), "");
    }

    #[test]
    fn the_loop_is_told_of_events_once_until_it_takes_them() {
        let outbox = outbox(100);
        event(&outbox, "1");
        event(&outbox, "2");
        assert_eq!(notices(&outbox), ["output"]);
        queued(&outbox);
        event(&outbox, "3");
        assert_eq!(notices(&outbox), ["output"]);
    }

    #[test]
    fn an_answer_found_before_an_event_is_not_put_after_it() {
        let outbox = outbox(100);
        let before = outbox.events();
        event(&outbox, "STOP");
        assert!(!outbox.answer_if_no_event_since(before, b"running"));
        assert!(outbox.answer_if_no_event_since(outbox.events(), b"paused"));
        assert_eq!(queued(&outbox), "STOPpaused");
    }

    #[test]
    fn commands_stop_at_half_the_limit_and_events_are_dropped_at_the_limit() {
        let outbox = outbox(10);
        event(&outbox, "1234");
        assert!(!outbox.is_congested());
        event(&outbox, "5");
        assert!(outbox.is_congested());
        event(&outbox, "67890");
        assert_eq!(notices(&outbox), ["output"]);
        event(&outbox, "x");
        event(&outbox, "y");
        assert_eq!(notices(&outbox), ["overflow"]);
        assert_eq!(queued(&outbox), "1234567890");
    }

    #[test]
    fn what_is_taken_but_not_written_counts_as_unread() {
        let outbox = outbox(10);
        event(&outbox, "1234567890");
        queued(&outbox);
        assert!(outbox.is_congested());
        assert_eq!(wrote(&outbox, 6), None);
        assert!(!outbox.is_congested());
    }

    #[test]
    fn a_client_that_reads_again_misses_one_stretch_of_events_and_is_told() {
        let outbox = outbox(10);
        event(&outbox, "1234567890");
        event(&outbox, "b");
        event(&outbox, "a");
        queued(&outbox);
        notices(&outbox);
        assert_eq!(wrote(&outbox, 9), None);
        event(&outbox, "b");
        assert!(outbox.is_congested(), "it has not read everything");
        assert_eq!(wrote(&outbox, 1), Some(3));
        assert_eq!(notices(&outbox), ["output"]);
        assert!(!outbox.is_congested());
        event(&outbox, "seen");
        assert_eq!(queued(&outbox), "b,aseen");
    }

    #[test]
    fn an_event_larger_than_the_limit_is_taken_alone() {
        let outbox = outbox(4);
        event(&outbox, "larger");
        event(&outbox, "x");
        assert_eq!(queued(&outbox), "larger");
        assert_eq!(wrote(&outbox, 6), Some(1));
        assert_eq!(queued(&outbox), "x");
    }

    #[test]
    fn a_reply_is_never_dropped_for_want_of_room() {
        let outbox = outbox(4);
        outbox.answer(b"longer than the limit");
        event(&outbox, "lost");
        outbox.answer(b".");
        assert_eq!(queued(&outbox), "longer than the limit.");
    }

    #[test]
    fn a_closed_outbox_keeps_nothing() {
        let outbox = outbox(10);
        event(&outbox, "1");
        outbox.close();
        event(&outbox, "2");
        outbox.answer(b"3");
        assert_eq!(wrote(&outbox, 1), None);
        assert_eq!(queued(&outbox), "");
    }
}
