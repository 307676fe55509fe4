//! A client of the monitor: its session, the monitor's dispatcher and outbox, and the commands of a real machine.
//!
//! Each item of the input gets exactly one reply with its id, in order; what runs out-of-band comes past the others and
//! changes nothing about them. STOP and RESUME alternate, and what is said of the run state agrees with them. A client
//! that reads late misses nothing but events, and is told which. Descriptors stay with the command that they came with.

mod machine;

use std::iter::from_fn;

use monitor::json::Parser;
use monitor::{Session, Step};
use serde::de::IgnoredAny;
use serde_json::Value;

use machine::{Machine, Reader, contains, descriptor};

/// A client that says `input`.
pub fn qmp_session(input: &[u8]) {
    // A disk that takes its time, as it was told to, says nothing of a defect.
    if contains(input, "latency") {
        return;
    }
    let whole = converse(input, input.len(), When::AtOnce, Reader::Eager);
    let items = items(input);
    check_replies(&whole, &items);
    assert_eq!(converse(input, 1, When::AtOnce, Reader::Eager), whole, "where reads end makes a difference");
    check_order(&converse(input, input.len(), When::Late, Reader::Eager), &whole, &items);
    check_losses(&converse(input, input.len(), When::AtOnce, Reader::Lazy), &whole);
}

/// When commands are carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    AtOnce,
    /// Once the session does not read on, or the input is over: until then they block.
    Late,
}

/// A conversation with a machine of its own: the lines that the client is told.
fn converse(input: &[u8], chunk: usize, when: When, reader: Reader) -> Vec<String> {
    let mut machine = Machine::new(input, reader);
    let mut session = Session::new(machine.client());
    let mut oob = false;
    let mut blocked = None;
    // The last one is the end.
    for mut read in reads(input, chunk).chain([&[][..]]) {
        let is_last = read.is_empty();
        if read.starts_with(b"\n") {
            session.receive(vec![descriptor()]);
        }
        loop {
            match session.handle_input(&mut read) {
                Some(Step::Answer(response)) => {
                    assert!(blocked.is_none() || oob, "answered out of order");
                    machine.answer(&response);
                }
                Some(Step::Negotiated(response)) => {
                    assert!(blocked.is_none() && !oob, "negotiated twice");
                    oob = enabled_oob(&mut session);
                    machine.negotiated(&response);
                }
                Some(Step::Run(request)) if when == When::Late && !request.out_of_band => {
                    assert!(blocked.is_none(), "two commands run at once");
                    session.begin();
                    blocked = Some(request);
                }
                Some(Step::Run(request)) => {
                    assert!(!request.out_of_band || oob, "out-of-band without leave");
                    machine.run(request);
                }
                None if read.is_empty() && session.wants_input() && !is_last => break,
                None => match blocked.take() {
                    Some(request) => {
                        machine.run(request);
                        session.finish();
                    }
                    None => break,
                },
            }
        }
        assert!(read.is_empty(), "input is left, and nothing to wait for");
    }
    assert!(session.is_idle(), "something is left to do");
    let said = machine.end();
    if reader == Reader::Eager {
        machine.check(runs(&said));
    }
    said
}

/// The input in reads of at most `chunk` bytes. If it is about descriptors, one comes with each line but the first.
fn reads(input: &[u8], chunk: usize) -> impl Iterator<Item = &[u8]> {
    let descriptors = contains(input, "fd");
    let mut rest = input;
    from_fn(move || {
        let next_line = || rest.iter().skip(1).position(|&byte| byte == b'\n').map(|at| at + 1);
        let length = next_line().filter(|_| descriptors).unwrap_or(rest.len()).min(chunk);
        let (read, after) = rest.split_at(length);
        rest = after;
        (!read.is_empty()).then_some(read)
    })
}

/// Whether the client may now overtake itself: only then does a busy session read on.
fn enabled_oob(session: &mut Session) -> bool {
    session.begin();
    let reads_on = session.wants_input();
    session.finish();
    reads_on
}

/// The items of the input, `None` for a malformed one.
fn items(input: &[u8]) -> Vec<Option<Value>> {
    let (mut parser, mut rest) = (Parser::default(), input);
    std::iter::from_fn(|| parser.next(&mut rest)).map(Result::ok).collect()
}

fn is_event(line: &str) -> bool {
    line.starts_with("{\"timestamp\": ")
}

fn events(transcript: &[String]) -> Vec<&str> {
    transcript.iter().map(String::as_str).filter(|line| is_event(line)).collect()
}

fn replies(transcript: &[String]) -> impl Iterator<Item = &str> {
    transcript.iter().map(String::as_str).filter(|line| !is_event(line))
}

/// Whether the guest runs in the end, by the events.
fn runs(transcript: &[String]) -> bool {
    let mut running = false;
    for event in events(transcript) {
        let change = |name: &str| event.contains(&format!("\"event\": \"{name}\""));
        if change("STOP") || change("RESUME") {
            assert_eq!(running, change("STOP"), "STOP and RESUME do not alternate");
            running = !running;
        }
    }
    running
}

/// One reply an item, with its id.
fn check_replies(transcript: &[String], items: &[Option<Value>]) {
    assert_eq!(replies(transcript).count(), items.len(), "replies and items");
    for (reply, item) in replies(transcript).zip(items) {
        assert!(reply.bytes().all(|byte| (b' '..b'\x7f').contains(&byte)), "not plain ASCII: {reply}");
        serde_json::from_str::<IgnoredAny>(reply).expect("JSON");
        let reply = monitor::json::parse(reply).expect("JSON");
        assert!(reply.get("return").is_some() != reply.get("error").is_some(), "one of both: {reply}");
        assert_eq!(reply.get("id"), item.as_ref().and_then(|item| item.get("id")), "{reply}");
    }
}

/// Whatever overtook them, replies to what is in-band come in the order in which they do when nothing can, and the VM
/// has done the same.
fn check_order(overtaken: &[String], orderly: &[String], items: &[Option<Value>]) {
    assert_eq!(replies(overtaken).count(), items.len(), "replies and items");
    let mut rest = replies(overtaken);
    for (reply, item) in replies(orderly).zip(items) {
        let is_out_of_band = item.as_ref().is_some_and(|item| item.get("exec-oob").is_some());
        assert!(is_out_of_band || rest.any(|other| other == reply), "out of order, or another reply: {reply}");
    }
    assert_eq!(events(overtaken), events(orderly));
}

/// Whoever reads late is told the same, but for events: of those that are missing, how many and which.
fn check_losses(late: &[String], all: &[String]) {
    assert!(replies(late).eq(replies(all)), "another reply");
    let mut expected = events(all).into_iter();
    for event in events(late) {
        if !event.contains("\"event\": \"MONITOR_EVENTS_LOST\"") {
            assert_eq!(Some(event), expected.next());
            continue;
        }
        let event: Value = serde_json::from_str(event).expect("JSON");
        let count = event["data"]["count"].as_u64().expect("a count");
        let mut missed = Vec::new();
        for event in expected.by_ref().take(usize::try_from(count).expect("few")) {
            let event: Value = serde_json::from_str(event).expect("JSON");
            if !missed.contains(&event["event"]) {
                missed.push(event["event"].clone());
            }
        }
        assert_eq!(event["data"]["names"], Value::Array(missed));
    }
    assert_eq!(expected.next(), None, "lost, and nobody told");
}
