//! A client of the monitor, with the commands of a real machine behind its session.
//!
//! Each item of the input gets exactly one reply with its id, in order; what runs out-of-band comes past the others and
//! changes nothing about them. STOP and RESUME alternate, and what is said of the run state agrees with them.

mod machine;

use monitor::json::Parser;
use monitor::{Session, Step};
use serde::de::IgnoredAny;
use serde_json::Value;

use machine::{Machine, Said};

/// A client that says `input`.
pub fn qmp_session(input: &[u8]) {
    let whole = converse(input, input.len(), When::AtOnce);
    let items = items(input);
    check_replies(&whole, &items);
    assert_eq!(converse(input, 1, When::AtOnce), whole, "where reads end makes a difference");
    check_order(&converse(input, input.len(), When::WhenIdle), &whole, &items);
}

/// When commands are carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    AtOnce,
    /// Once the session has nothing else to do: until then they block.
    WhenIdle,
}

/// A conversation with a machine of its own. `input` arrives in reads of `chunk` bytes.
fn converse(input: &[u8], chunk: usize, when: When) -> Vec<Said> {
    let machine = Machine::new(input);
    let mut session = Session::default();
    let mut oob = false;
    let mut blocked = None;
    for mut read in input.chunks(chunk.max(1)) {
        loop {
            match session.handle_input(&mut read) {
                Some(Step::Answer(response)) => {
                    assert!(blocked.is_none() || oob, "answered out of order");
                    machine.say(&response);
                }
                Some(Step::Negotiated(response)) => {
                    assert!(blocked.is_none() && !oob, "negotiated twice");
                    oob = enabled_oob(&mut session);
                    machine.say(&response);
                }
                Some(Step::Run(request)) if when == When::WhenIdle && !request.out_of_band => {
                    assert!(blocked.is_none(), "two commands run at once");
                    session.begin();
                    blocked = Some(request);
                }
                Some(Step::Run(request)) => {
                    assert!(!request.out_of_band || oob, "out-of-band without leave");
                    machine.run(request);
                }
                None => match blocked.take() {
                    Some(request) => {
                        machine.run(request);
                        session.finish();
                    }
                    None => break,
                },
            }
        }
        assert!(session.is_idle() && read.is_empty(), "something is left to do");
    }
    machine.check();
    machine.end()
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

fn replies(transcript: &[Said]) -> impl Iterator<Item = &str> {
    transcript.iter().filter_map(|said| match said {
        Said::Reply(text) => Some(text.as_str()),
        Said::Event(_) => None,
    })
}

/// One reply an item, with its id.
fn check_replies(transcript: &[Said], items: &[Option<Value>]) {
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
fn check_order(overtaken: &[Said], orderly: &[Said], items: &[Option<Value>]) {
    assert_eq!(replies(overtaken).count(), items.len(), "replies and items");
    let mut rest = replies(overtaken);
    for (reply, item) in replies(orderly).zip(items) {
        let is_out_of_band = item.as_ref().is_some_and(|item| item.get("exec-oob").is_some());
        assert!(is_out_of_band || rest.any(|other| other == reply), "out of order, or another reply: {reply}");
    }
    let events = |transcript: &[Said]| {
        transcript.iter().filter(|said| matches!(said, Said::Event(_))).cloned().collect::<Vec<_>>()
    };
    assert_eq!(events(overtaken), events(orderly));
}
