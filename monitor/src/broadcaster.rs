//! Events on their way to every session that has negotiated.

use std::sync::Arc;

use qapi_schema::common::Timestamp;
use qapi_schema::{Event, EventSink, Wire};
use serde_json::Value;

use crate::event::EventMessage;
use crate::event_clock::{EventClock, HostClock};
use crate::mailbox::Mailbox;
use crate::outbox::{Outbox, SessionId};
use crate::sync::Mutex;
use crate::throttle::{Rule, Throttle};

/// Sends each event to every session.
///
/// Never waits for a client, and takes no lock that is held over a system call or a command. Lock order: what the caller
/// of [`EventSink::emit`] holds, then the broadcaster, then an outbox, then the mailbox of the event loop or the clock.
#[derive(Debug)]
pub struct Broadcaster {
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    clock: Arc<dyn EventClock>,
    throttle: Throttle<EventMessage>,
    /// Of the sessions that have negotiated.
    outboxes: Vec<Arc<Outbox>>,
}

impl Broadcaster {
    /// A broadcaster without sessions, which tells the event loop behind `mailbox` what to do.
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        let clock = Arc::new(HostClock::new(Arc::clone(&mailbox)));
        let state = State { clock, throttle: Throttle::default(), outboxes: Vec::new() };
        Self { mailbox, state: Mutex::new(state) }
    }

    /// From now on limits events by this clock. Before the first event.
    pub fn follow(&self, clock: Arc<dyn EventClock>) {
        self.state.lock().clock = clock;
    }

    /// Drops the events that the rate limit has delayed and that are of no interest once the machine was reset.
    pub fn reset(&self) {
        self.state.lock().throttle.reset();
    }

    /// From now on events go to `outbox`, too.
    pub fn subscribe(&self, outbox: Arc<Outbox>) {
        self.state.lock().outboxes.push(outbox);
    }

    /// No event goes to this session any more.
    pub fn unsubscribe(&self, session: SessionId) {
        self.state.lock().outboxes.retain(|outbox| outbox.session() != session);
    }

    /// Sends the delayed events whose time has come. For the clock to call.
    pub fn expire(&self) {
        let mut state = self.state.lock();
        let now = state.clock.now();
        for message in state.throttle.expire(now) {
            state.send(&message);
        }
        state.clock.wake_at(state.throttle.deadline());
        drop(state);
        self.mailbox.wake();
    }

    /// Sends an event now or later.
    fn limit(&self, rule: &'static Rule, event: &dyn Event, message: EventMessage) {
        let data = event.data().map_or(Value::Null, Wire::value);
        let mut state = self.state.lock();
        let deadline = state.throttle.deadline();
        let now = state.clock.now();
        if let Some(message) = state.throttle.admit(now, rule, &data, message) {
            state.send(&message);
        }
        if state.throttle.deadline() != deadline {
            state.clock.wake_at(state.throttle.deadline());
        }
    }
}

impl EventSink for Broadcaster {
    fn emit(&self, at: Timestamp, event: &dyn Event) {
        let message = EventMessage::new(at, event);
        match Rule::of(event.name()) {
            None => self.state.lock().send(&message),
            Some(rule) => self.limit(rule, event, message),
        }
        self.mailbox.wake();
    }
}

impl State {
    fn send(&self, message: &EventMessage) {
        for outbox in &self.outboxes {
            outbox.event(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Notice;
    use crate::options::Options;
    use crate::throttle::PERIOD;
    use serde_json::json;
    use std::time::Duration;

    struct Happening {
        name: &'static str,
        data: Option<Value>,
    }

    impl Event for Happening {
        fn name(&self) -> &'static str {
            self.name
        }

        fn data(&self) -> Option<&dyn Wire> {
            self.data.as_ref().map(|data| data as &dyn Wire)
        }
    }

    const AT: Timestamp = Timestamp { seconds: 1, microseconds: 2 };

    /// A clock that a test moves.
    #[derive(Debug, Default)]
    struct Driven {
        now: Mutex<Duration>,
        deadline: Mutex<Option<Duration>>,
    }

    impl EventClock for Driven {
        fn now(&self) -> Duration {
            *self.now.lock()
        }

        fn wake_at(&self, deadline: Option<Duration>) {
            *self.deadline.lock() = deadline;
        }
    }

    struct Bench {
        mailbox: Arc<Mailbox>,
        clock: Arc<Driven>,
        broadcaster: Broadcaster,
    }

    impl Bench {
        fn new() -> Self {
            let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
            let (broadcaster, clock) = (Broadcaster::new(Arc::clone(&mailbox)), Arc::<Driven>::default());
            broadcaster.follow(clock.clone());
            Self { broadcaster, clock, mailbox }
        }

        /// Lets time pass until `end`.
        fn pass_until(&self, end: Duration) {
            *self.clock.now.lock() = end;
            if self.clock.deadline.lock().is_some_and(|deadline| deadline <= end) {
                self.broadcaster.expire();
            }
        }

        fn session(&self, id: u64) -> Arc<Outbox> {
            let outbox = Arc::new(Outbox::new(SessionId(id), Options::default(), Arc::clone(&self.mailbox)));
            self.broadcaster.subscribe(Arc::clone(&outbox));
            outbox
        }

        fn emit(&self, name: &'static str, data: Option<Value>) {
            self.broadcaster.emit(AT, &Happening { name, data });
        }

        fn error(&self, action: &str) {
            let data = json!({"qom-path": "/disk", "reason": "eio", "action": action});
            self.emit("BLOCK_IO_ERROR", Some(data));
        }
    }

    fn queued(outbox: &Outbox) -> String {
        let mut bytes = Vec::new();
        outbox.take(&mut bytes);
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn an_event_has_its_time_its_name_and_its_data_if_any() {
        let bench = Bench::new();
        let outbox = bench.session(1);
        bench.emit("RESUME", None);
        bench.emit("STOP", Some(json!({"reason": "user"})));
        let time = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "#;
        let expected = format!("{time}\"RESUME\"}}\r\n{time}\"STOP\", \"data\": {{\"reason\": \"user\"}}}}\r\n");
        assert_eq!(queued(&outbox), expected);
    }

    #[test]
    fn events_go_to_every_session_from_its_subscription_to_its_end() {
        let bench = Bench::new();
        let first = bench.session(1);
        bench.emit("A", None);
        let second = bench.session(2);
        bench.emit("B", None);
        bench.broadcaster.unsubscribe(SessionId(1));
        bench.emit("C", None);
        assert_eq!(queued(&first).matches("event").count(), 2);
        let second = queued(&second);
        assert!(second.contains("\"B\"") && second.contains("\"C\"") && !second.contains("\"A\""));
    }

    #[test]
    fn a_delayed_event_goes_out_when_its_clock_says_so_and_wakes_the_loop() {
        let bench = Bench::new();
        let outbox = bench.session(1);
        bench.error("report");
        bench.error("report");
        assert_eq!(queued(&outbox).matches("event").count(), 1);
        assert_eq!(*bench.clock.deadline.lock(), Some(PERIOD));
        bench.pass_until(PERIOD - Duration::from_nanos(1));
        bench.broadcaster.expire();
        assert_eq!(queued(&outbox), "");
        bench.mailbox.collect(&mut Vec::new());
        assert!(bench.mailbox.may_sleep());
        bench.pass_until(PERIOD);
        let mut notices = Vec::new();
        bench.mailbox.collect(&mut notices);
        assert!(matches!(*notices, [Notice::Output(SessionId(1))]));
        assert_eq!(queued(&outbox).matches("event").count(), 1);
        assert_eq!(*bench.clock.deadline.lock(), None);
    }

    #[test]
    fn by_itself_it_follows_the_host_s_clock_whose_deadlines_the_loop_keeps() {
        let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
        let bench = Bench { broadcaster: Broadcaster::new(Arc::clone(&mailbox)), clock: Arc::default(), mailbox };
        bench.error("report");
        bench.error("report");
        let mut notices = Vec::new();
        bench.mailbox.collect(&mut notices);
        assert!(matches!(*notices, [Notice::Deadline(Some(_))]));
    }

    #[test]
    fn a_reset_drops_delayed_events_but_a_stop_was_never_one() {
        let bench = Bench::new();
        let outbox = bench.session(1);
        for action in ["report", "report", "stop"] {
            bench.error(action);
        }
        assert_eq!(queued(&outbox).matches("event").count(), 2);
        bench.error("report");
        bench.broadcaster.reset();
        bench.pass_until(2 * PERIOD);
        assert_eq!(queued(&outbox), "");
    }
}
