//! One client's protocol as a state machine, without I/O and clock.
//!
//! ```text
//!                 qmp_capabilities accepted
//!   Negotiation ------------------------------> Command
//!     every other command is not found            every command
//!     no events                                   events
//! ```
//!
//! Bytes go in through [`Session::handle_input`]; out come replies that need nobody else, and requests to be run.
//! Exactly one reply belongs to each item of the input, and in-band they keep its order: whoever runs a request
//! elsewhere says so ([`Session::begin`]) and when it is answered ([`Session::finish`]). In between the next in-band item
//! waits. To a client that enabled `oob` this does not close the input: up to [`QUEUED`] items wait in a queue, and
//! what is to be executed out-of-band comes out past them (QMP specification, section "Out-of-band execution").
//!
//! File descriptors that come with the input ([`Session::receive`]) keep their place in it: a command can take those that
//! came last before its own end, and not, as in QEMU, those that came while it waited in the queue.

use std::collections::VecDeque;
use std::mem::take;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use qapi_schema::control::QMPCapability;
use qapi_schema::{Arguments, Client, Error, ErrorClass, Members, Visitor};
use serde_json::Value;

use crate::json::{Budget, Charge, Limits, Parser, SyntaxError};
use crate::request::{Request, is_out_of_band};
use crate::response::Response;

/// How many in-band items may wait for the one that runs, as in QEMU.
pub const QUEUED: usize = 8;

/// The protocol state of one client.
#[derive(Debug, Default)]
pub struct Session {
    client: Arc<Client>,
    parser: Parser,
    mode: Mode,
    /// A command runs elsewhere.
    is_busy: bool,
    /// In-band items behind it, each with what came with it.
    queue: VecDeque<(Item, Charge, Vec<OwnedFd>)>,
    /// Came with input that is not an item yet.
    descriptors: Vec<OwnedFd>,
}

/// What the parser finds in the input.
type Item = Result<Value, SyntaxError>;

/// The modes of the QMP specification, section "Capabilities Negotiation".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Negotiation,
    Command {
        oob: bool,
    },
}

/// What an item of the input asks for.
pub enum Step {
    /// This reply.
    Answer(Response),
    /// This reply, and every event from now on.
    Negotiated(Response),
    /// This command to be run and answered.
    Run(Request),
}

impl Session {
    /// The session of this client.
    pub fn new(client: Arc<Client>) -> Self {
        Self { client, ..Self::default() }
    }

    /// The same, with memory for unfinished requests that it shares with others.
    pub fn sharing(client: Arc<Client>, budget: Arc<Budget>) -> Self {
        Self { client, parser: Parser::sharing(Limits::default(), budget), ..Self::default() }
    }

    /// Takes descriptors that come with the input that is handled next. Those that came before, and that no command will
    /// ask for, are closed.
    pub fn receive(&mut self, descriptors: Vec<OwnedFd>) {
        self.descriptors = descriptors;
    }

    /// Takes bytes off the front of `input` until something is to be done, or all of them, or as long as more is wanted.
    pub fn handle_input(&mut self, input: &mut &[u8]) -> Option<Step> {
        loop {
            if self.has_next() {
                let (item, _charge, descriptors) = self.queue.pop_front()?;
                return Some(self.handle_in_band(item, descriptors));
            }
            if !self.wants_input() {
                return None;
            }
            let item = self.parser.next(input)?;
            let charge = self.parser.take_charge();
            if self.is_out_of_band(&item) {
                return Some(self.handle_item(item));
            }
            let descriptors = take(&mut self.descriptors);
            if !self.is_busy {
                return Some(self.handle_in_band(item, descriptors));
            }
            self.queue.push_back((item, charge, descriptors));
        }
    }

    /// The command that was to be run in-band runs elsewhere.
    pub const fn begin(&mut self) {
        self.is_busy = true;
    }

    /// It has been answered.
    pub const fn finish(&mut self) {
        self.is_busy = false;
    }

    /// [`Self::handle_input`] takes bytes.
    pub fn wants_input(&self) -> bool {
        !self.is_busy || self.oob() && self.queue.len() < QUEUED
    }

    /// [`Self::handle_input`] has something to do without further bytes.
    pub fn has_next(&self) -> bool {
        !self.is_busy && !self.queue.is_empty()
    }

    /// All input has been answered.
    pub fn is_idle(&self) -> bool {
        !self.is_busy && self.queue.is_empty()
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        (self.queue, self.descriptors) = (VecDeque::new(), Vec::new());
    }

    const fn oob(&self) -> bool {
        matches!(self.mode, Mode::Command { oob: true })
    }

    fn is_out_of_band(&self, item: &Item) -> bool {
        matches!(item, Ok(Value::Object(members)) if self.oob() && is_out_of_band(members))
    }

    fn handle_in_band(&mut self, item: Item, descriptors: Vec<OwnedFd>) -> Step {
        if !descriptors.is_empty() {
            self.client.receive(descriptors);
        }
        self.handle_item(item)
    }

    fn handle_item(&mut self, item: Item) -> Step {
        let request = match item {
            Ok(value) => Request::read(value, self.oob()),
            Err(error) => Err(Response::error(None, Error::generic(error.to_string()))),
        };
        match request {
            Ok(request) => self.handle_request(request),
            Err(response) => Step::Answer(response),
        }
    }

    fn handle_request(&mut self, request: Request) -> Step {
        match (self.mode, request.execute.as_str()) {
            (Mode::Command { .. }, _) => Step::Run(request),
            (Mode::Negotiation, "qmp_capabilities") => match read_capabilities(request.arguments) {
                Ok(enabled) => {
                    self.mode = Mode::Command { oob: enabled.contains(&QMPCapability::Oob) };
                    Step::Negotiated(Response::success(request.id))
                }
                Err(error) => Step::Answer(Response::error(request.id, error)),
            },
            (Mode::Negotiation, _) => {
                let hint = "Expecting capabilities negotiation with 'qmp_capabilities'";
                Step::Answer(Response::error(request.id, Error::new(ErrorClass::CommandNotFound, hint)))
            }
        }
    }
}

/// The arguments of `qmp_capabilities`: `{ '*enable': ['QMPCapability'] }`. The greeting offers all that the schema has.
fn read_capabilities(arguments: Arguments) -> Result<Vec<QMPCapability>, Error> {
    let root = Visitor::json();
    let mut members = Members::new(arguments, &root);
    let enabled = members.optional("enable")?;
    members.finish()?;
    Ok(enabled.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::mem::take;

    const NEGOTIATE: &str = r#"{"execute": "qmp_capabilities"}"#;

    /// What a session answers to `input`, which arrives in reads of `chunk` bytes, where every command that reaches the
    /// dispatcher returns `{}`. "events" stands where events begin.
    fn converse(input: &[u8], chunk: usize) -> Vec<String> {
        let mut session = Session::default();
        let mut output = Vec::new();
        for mut read in input.chunks(chunk) {
            while let Some(step) = session.handle_input(&mut read) {
                match step {
                    Step::Answer(response) => output.push(response.to_string()),
                    Step::Negotiated(response) => output.extend([response.to_string(), "events".into()]),
                    Step::Run(request) => {
                        assert!(output.contains(&"events".into()), "{} ran before negotiation", request.execute);
                        output.push(Response::success(request.id).to_string());
                    }
                }
            }
        }
        output
    }

    #[test]
    fn before_negotiation_every_other_command_is_not_found() {
        let hint = error("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'");
        assert_eq!(converse(b"{'execute': 'cont'} {'execute': 'nonsense'}", 8), [hint.clone(), hint]);
    }

    #[test]
    fn before_negotiation_a_malformed_request_is_malformed() {
        let expected = error("GenericError", "QMP input member 'x' is unexpected");
        assert_eq!(converse(b"{'execute': 'cont', 'x': 1}", 8), [expected]);
    }

    #[test]
    fn a_capability_that_is_unknown_or_no_capability_is_refused() {
        for (arguments, desc) in [
            ("{'enable': ['x']}", "Parameter 'enable[0]' does not accept value 'x'"),
            ("{'enable': [1]}", "Invalid parameter type for 'enable[0]', expected: string"),
            ("{'enable': 1}", "Invalid parameter type for 'enable', expected: array"),
            ("{'disable': []}", "Parameter 'disable' is unexpected"),
        ] {
            let request = format!("{{'execute': 'qmp_capabilities', 'arguments': {arguments}}}");
            assert_eq!(converse(request.as_bytes(), 8), [error("GenericError", desc)]);
        }
        for enable in ["[]", "['oob']", "['oob', 'oob']"] {
            let request = format!("{{'execute': 'qmp_capabilities', 'arguments': {{'enable': {enable}}}}}");
            assert_eq!(converse(request.as_bytes(), 8), [r#"{"return": {}}"#, "events"]);
        }
    }

    /// A session that has negotiated, around which commands run elsewhere until they are finished.
    struct Bench {
        session: Session,
        input: Vec<u8>,
        running: Option<Value>,
        /// The ids of the answers; null for a syntax error.
        answered: Vec<Value>,
    }

    impl Bench {
        fn new(enable: &str) -> Self {
            let input = format!("{{'execute': 'qmp_capabilities', 'arguments': {{'enable': {enable}}}}}");
            let mut bench =
                Self { session: Session::default(), input: input.into_bytes(), running: None, answered: Vec::new() };
            bench.pump();
            assert_eq!(bench.answered.split_off(0), [Value::Null]);
            bench
        }

        fn pump(&mut self) {
            let input = take(&mut self.input);
            let mut rest = input.as_slice();
            while let Some(step) = self.session.handle_input(&mut rest) {
                let response = match step {
                    Step::Answer(response) | Step::Negotiated(response) => response,
                    Step::Run(request) if request.out_of_band => Response::success(request.id),
                    Step::Run(request) => {
                        assert_eq!(self.running.replace(request.id.expect("an id")), None, "two at a time");
                        self.session.begin();
                        continue;
                    }
                };
                let response: Value = serde_json::from_str(&response.to_string()).expect("JSON");
                self.answered.push(response["id"].clone());
            }
            self.input = rest.to_vec();
        }

        fn send(&mut self, text: &str) {
            self.input.extend_from_slice(text.as_bytes());
            self.pump();
        }

        fn finish(&mut self) {
            if let Some(id) = self.running.take() {
                self.answered.push(id);
                self.session.finish();
                self.pump();
            }
        }

        fn finish_all(&mut self) {
            while self.running.is_some() {
                self.finish();
            }
        }
    }

    fn in_band(id: usize) -> String {
        format!("{{'execute': 'slow', 'id': {id}}}")
    }

    fn out_of_band(id: usize) -> String {
        format!("{{'exec-oob': 'fast', 'id': {id}}}")
    }

    #[test]
    fn without_oob_the_next_item_waits_for_the_answer() {
        let mut bench = Bench::new("[]");
        bench.send(&(in_band(1) + &out_of_band(2) + "x " + &in_band(3)));
        assert!(bench.answered.is_empty());
        assert!(!bench.session.wants_input());
        bench.finish();
        assert_eq!(bench.answered, [json!(1), json!(2), json!(null)]);
        bench.finish();
        assert_eq!(bench.answered.last(), Some(&json!(3)));
    }

    #[test]
    fn what_is_out_of_band_overtakes_until_too_much_waits() {
        let mut bench = Bench::new("['oob']");
        bench.send(&(0..QUEUED).map(in_band).collect::<String>());
        bench
            .send("{'exec-oob': 'fast', 'id': 'a'} {'exec-oob': 1, 'id': 'b'} {'exec-oob': 'fast', 'x': 1, 'id': 'c'}");
        assert_eq!(bench.answered, ["a", "b", "c"], "with eight in flight");
        bench.send(&in_band(QUEUED));
        assert!(!bench.session.wants_input());
        bench.send("{'exec-oob': 'fast', 'id': 'd'}");
        assert_eq!(bench.answered.len(), 3, "with nine in flight");
        bench.finish();
        assert_eq!(bench.answered[3..], [json!(0), json!("d")]);
        bench.finish_all();
        assert_eq!(bench.answered[5..], (1..=QUEUED).map(Value::from).collect::<Vec<_>>());
        assert!(bench.session.is_idle());
    }

    #[test]
    fn what_is_malformed_in_band_waits_for_its_turn() {
        let mut bench = Bench::new("['oob']");
        let malformed = "x 7 {'id': 'a'} {'execute': 'x', 'exec-oob': 'x', 'id': 'b'}";
        bench.send(&(in_band(1) + malformed + &in_band(2) + &out_of_band(3)));
        assert_eq!(bench.answered, [3]);
        bench.finish();
        assert_eq!(bench.answered[1..], [json!(1), json!(null), json!(null), json!("a"), json!("b")]);
        bench.finish();
        assert_eq!(bench.answered[6..], [2]);
    }

    #[test]
    fn a_syntax_error_is_answered_in_its_turn_and_without_an_id() {
        let expected = error("GenericError", "JSON parse error, invalid keyword 'foo'");
        let (first, last) = (r#"{"return": {}, "id": 1}"#, r#"{"return": {}, "id": 2}"#);
        let input = format!("{NEGOTIATE} {{'execute': 'x', 'id': 1}} foo {{'execute': 'x', 'id': 2}}");
        assert_eq!(converse(input.as_bytes(), usize::MAX)[2..], [first, &expected, last]);
    }

    /// An item a client may send, and the model of what it is answered.
    #[derive(Clone, Debug)]
    enum Item {
        Command { id: Option<Value> },
        Negotiation { id: Option<Value> },
        Unexpected { id: Option<Value> },
        NotAnObject,
        Garbage,
    }

    impl Item {
        fn text(&self) -> String {
            match self {
                Self::Command { id } => format!("{{'execute': 'cont'{}}}", member('\'', id)),
                Self::Negotiation { id } => format!("{{'execute': 'qmp_capabilities'{}}}", member('\'', id)),
                Self::Unexpected { id } => format!("{{'execute': 'cont', 'x': 1{}}}", member('\'', id)),
                Self::NotAnObject => "['execute']".into(),
                Self::Garbage => "{'execute': @@}".into(),
            }
        }

        fn answers(&self, negotiated: &mut bool) -> Vec<String> {
            let expecting = "Expecting capabilities negotiation with 'qmp_capabilities'";
            match self {
                Self::Command { id } if *negotiated => vec![success(id)],
                Self::Command { id } => vec![refused("CommandNotFound", expecting, id)],
                // The command itself refuses that.
                Self::Negotiation { id } if *negotiated => vec![success(id)],
                Self::Negotiation { id } => {
                    *negotiated = true;
                    vec![success(id), "events".into()]
                }
                Self::Unexpected { id } => vec![refused("GenericError", "QMP input member 'x' is unexpected", id)],
                Self::NotAnObject => vec![error("GenericError", "QMP input must be a JSON object")],
                Self::Garbage => vec![
                    error("GenericError", "JSON parse error, stray '@'"),
                    error("GenericError", "JSON parse error, expecting value"),
                ],
            }
        }
    }

    fn success(id: &Option<Value>) -> String {
        format!("{{\"return\": {{}}{}}}", member('"', id))
    }

    fn refused(class: &str, desc: &str, id: &Option<Value>) -> String {
        let id = id.as_ref().map(|id| format!("\"id\": {id}, ")).unwrap_or_default();
        format!("{{{id}\"error\": {{\"class\": \"{class}\", \"desc\": \"{desc}\"}}}}")
    }

    fn error(class: &str, desc: &str) -> String {
        refused(class, desc, &None)
    }

    fn member(quote: char, id: &Option<Value>) -> String {
        id.as_ref().map(|id| format!(", {quote}id{quote}: {id}")).unwrap_or_default()
    }

    fn any_item() -> impl Strategy<Value = Item> {
        let id = prop_oneof![
            Just(None),
            any::<i64>().prop_map(|id| Some(id.into())),
            any::<u64>().prop_map(|id| Some(id.into())),
            "[a-z ]{0,5}".prop_map(|id| Some(id.into())),
            Just(Some(Value::Null)),
        ];
        id.prop_flat_map(|id| {
            prop_oneof![
                4 => Just(Item::Command { id: id.clone() }),
                2 => Just(Item::Negotiation { id: id.clone() }),
                1 => Just(Item::Unexpected { id }),
                1 => Just(Item::NotAnObject),
                1 => Just(Item::Garbage),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_session_answers_as_the_model_wherever_the_reads_end(
            items in prop::collection::vec((any_item(), "[ \r\n\t]{0,3}"), 0..12),
            chunk in 1..80_usize,
        ) {
            let input: String = items.iter().map(|(item, space)| item.text() + space).collect();
            let mut negotiated = false;
            let expected: Vec<_> = items.iter().flat_map(|(item, _)| item.answers(&mut negotiated)).collect();
            prop_assert_eq!(converse(input.as_bytes(), chunk), expected);
        }

        #[test]
        fn where_the_reads_end_makes_no_difference_to_garbage(
            input in prop::collection::vec(any::<u8>(), 0..300),
            chunk in 1..80_usize,
        ) {
            let input = [NEGOTIATE.as_bytes(), &input].concat();
            prop_assert_eq!(converse(&input, chunk), converse(&input, usize::MAX));
        }

        #[test]
        fn each_item_is_answered_once_and_only_what_is_out_of_band_overtakes(
            moves in prop::collection::vec((0..4_u8, 1..200_usize), 1..60),
        ) {
            let mut bench = Bench::new("['oob']");
            let mut text = String::new();
            let (mut items, mut sent) = (Vec::new(), 0);
            for (kind, length) in moves {
                let id = items.len();
                match kind {
                    0 | 1 => text += &in_band(id),
                    2 => text += &out_of_band(id),
                    _ => bench.finish(),
                }
                if kind < 3 {
                    items.push(kind == 2);
                }
                let end = text.len().min(sent + length);
                bench.send(&text[sent..end]);
                sent = end;
                prop_assert!(bench.session.queue.len() <= QUEUED);
                prop_assert!(bench.input.is_empty() || bench.session.queue.len() == QUEUED, "room, and not taken");
            }
            bench.send(&text[sent..]);
            bench.finish_all();

            let ids = |kind: bool| (0..items.len()).filter(|&id| items[id] == kind).map(Value::from).collect::<Vec<_>>();
            let (out_of_band, in_band): (Vec<_>, Vec<_>) =
                bench.answered.into_iter().partition(|id| id.as_u64().is_some_and(|id| items[id as usize]));
            prop_assert_eq!(in_band, ids(false));
            prop_assert_eq!(out_of_band, ids(true));
        }
    }
}
