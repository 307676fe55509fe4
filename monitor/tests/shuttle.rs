//! Outboxes and the broadcaster under a model checker: `RUSTFLAGS='--cfg shuttle' cargo test -p monitor --test shuttle`.
#![cfg(shuttle)]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use monitor::event::EventMessage;
use monitor::mailbox::{Mailbox, Notice};
use monitor::outbox::{Outbox, SessionId};
use monitor::{Broadcaster, Options};
use qapi_schema::common::Timestamp;
use qapi_schema::{Event, EventSink, Wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use shuttle::sync::Mutex;
use shuttle::thread;

const SCHEDULES: usize = 2_000;

/// How many schedules came to an end of this kind. Outside of what the model checker sees.
type Reached = std::sync::atomic::AtomicUsize;

fn reach(end: &Reached) {
    end.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
}

fn assert_reached(ends: &[&Reached]) {
    let reached: Vec<_> = ends.iter().map(|end| end.load(std::sync::atomic::Ordering::SeqCst)).collect();
    assert!(reached.iter().all(|&schedules| schedules > 0), "{reached:?}");
}

struct Happening(Value);

impl Event for Happening {
    fn name(&self) -> &'static str {
        "HAPPENING"
    }

    fn data(&self) -> Option<&dyn Wire> {
        Some(&self.0)
    }
}

/// One message on the wire is about this long.
const LENGTH: usize = 120;

fn emit(broadcaster: &Broadcaster, data: Value) {
    broadcaster.emit(Timestamp { seconds: 1, microseconds: 2 }, &Happening(data));
}

/// The event loop's side: a mailbox, and what clients have read so far.
struct Loop {
    mailbox: Arc<Mailbox>,
    broadcaster: Arc<Broadcaster>,
    sessions: Vec<(Arc<Outbox>, Vec<u8>)>,
}

impl Loop {
    fn new(limits: &[usize]) -> Self {
        let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
        let broadcaster = Arc::new(Broadcaster::new(mailbox.clone()));
        let sessions = (1..).zip(limits).map(|(id, &outbuf)| {
            let outbox =
                Arc::new(Outbox::new(SessionId::new(id), Options { outbuf, ..Options::default() }, mailbox.clone()));
            broadcaster.subscribe(outbox.clone());
            (outbox, Vec::new())
        });
        let sessions = sessions.collect();
        Self { mailbox, broadcaster, sessions }
    }

    /// Sleeps until there are notices, and writes the output that they tell of, each message in two halves.
    fn turn(&mut self) {
        if self.mailbox.may_sleep() {
            let readable = || {
                let mut fds = [PollFd::new(&self.mailbox, PollFlags::IN)];
                poll(&mut fds, Some(&Timespec::default())).expect("poll") == 1
            };
            while !readable() {
                thread::yield_now();
            }
            self.mailbox.rearm();
        }
        let mut notices = Vec::new();
        self.mailbox.collect(&mut notices);
        for notice in notices {
            if let Notice::Output(session) = notice {
                let mut sessions = self.sessions.iter_mut();
                let (outbox, read) = sessions.find(|(outbox, _)| outbox.session() == session).expect("a session");
                let mut bytes = Vec::new();
                outbox.take(&mut bytes);
                let half = bytes.len() / 2;
                outbox.wrote(half, |_| unreachable!("half of it is not all"));
                outbox.wrote(bytes.len() - half, |lost| EventMessage::now(&lost));
                read.extend(bytes);
            }
        }
    }
}

fn messages(read: &[u8]) -> Vec<Value> {
    read.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect()
}

/// How many events the messages account for.
fn accounted(messages: &[Value]) -> u64 {
    messages.iter().map(|message| message["data"]["count"].as_u64().unwrap_or(1)).sum()
}

#[test]
fn every_event_reaches_every_session_in_one_order_or_is_counted_in_its_place() {
    static ALL_SEEN: Reached = Reached::new(0);
    static LOST_ONCE: Reached = Reached::new(0);
    static LOST_TWICE: Reached = Reached::new(0);
    const EMITTERS: u64 = 2;
    const EVENTS: u64 = 4;
    shuttle::check_random(
        || {
            // The first has room for everything, the second for two messages.
            let mut server = Loop::new(&[100 * LENGTH, 2 * LENGTH]);
            let emitters = (0..EMITTERS).map(|emitter| {
                let broadcaster = server.broadcaster.clone();
                thread::spawn(move || {
                    (0..EVENTS).for_each(|number| emit(&broadcaster, json!({"emitter": emitter, "number": number})));
                })
            });
            let emitters: Vec<_> = emitters.collect();
            let all = EMITTERS * EVENTS;
            while server.sessions.iter().any(|(_, read)| accounted(&messages(read)) < all) {
                server.turn();
            }
            emitters.into_iter().for_each(|emitter| emitter.join().expect("no panic"));

            let [everything, narrow] = [0, 1].map(|session| messages(&server.sessions[session].1));
            assert_eq!(everything.len() as u64, all);
            for emitter in 0..EMITTERS {
                let own = everything.iter().filter(|message| message["data"]["emitter"] == emitter);
                assert!(own.map(|message| message["data"]["number"].as_u64()).is_sorted());
            }
            // The same, but for gaps of exactly the size that is said.
            let mut expected = everything.iter();
            let mut gaps = 0;
            for message in &narrow {
                match message["data"]["count"].as_u64() {
                    None => assert_eq!(Some(message), expected.next()),
                    Some(lost) => {
                        assert_eq!(message["event"], "MONITOR_EVENTS_LOST");
                        assert_eq!(message["data"]["names"], json!(["HAPPENING"]));
                        assert!(lost > 0);
                        (0..lost).for_each(|_| assert!(expected.next().is_some()));
                        gaps += 1;
                    }
                }
            }
            assert_eq!(expected.next(), None);
            match gaps {
                0 => reach(&ALL_SEEN),
                1 => reach(&LOST_ONCE),
                _ => reach(&LOST_TWICE),
            }
        },
        SCHEDULES,
    );
    assert_reached(&[&ALL_SEEN, &LOST_ONCE, &LOST_TWICE]);
}

#[test]
fn an_answer_agrees_with_the_events_around_it() {
    static ASKED_AGAIN: Reached = Reached::new(0);
    shuttle::check_random(
        || {
            let mut server = Loop::new(&[100 * LENGTH]);
            let state = Arc::new(Mutex::new(0));
            let changes = 3;
            let changer = {
                let (broadcaster, state) = (server.broadcaster.clone(), state.clone());
                thread::spawn(move || {
                    for value in 1..=changes {
                        let mut state = state.lock().expect("no panic");
                        *state = value;
                        emit(&broadcaster, json!({"state": value}));
                    }
                })
            };
            let outbox = server.sessions[0].0.clone();
            for _ in 0..2 {
                let mut tries = 0;
                loop {
                    tries += 1;
                    let count = outbox.events();
                    let answer = json!({"return": *state.lock().expect("no panic")}).to_string() + "\n";
                    if outbox.answer_if_no_event_since(count, answer.as_bytes()) {
                        break;
                    }
                }
                if tries > 1 {
                    reach(&ASKED_AGAIN);
                }
            }
            // After the last event, so that the loop has a reason to wake up for the answers.
            changer.join().expect("no panic");
            emit(&server.broadcaster, json!({"state": changes}));
            while messages(&server.sessions[0].1).len() < changes + 1 + 2 {
                server.turn();
            }
            let mut known = 0;
            for message in messages(&server.sessions[0].1) {
                match message["return"].as_u64() {
                    None => known = message["data"]["state"].as_u64().expect("a state"),
                    Some(answer) => assert_eq!(answer, known),
                }
            }
        },
        SCHEDULES,
    );
    assert_reached(&[&ASKED_AGAIN]);
}
