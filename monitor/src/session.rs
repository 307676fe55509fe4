//! One client's protocol as a state machine, without I/O and clock.
//!
//! ```text
//!                 qmp_capabilities accepted
//!   Negotiation ------------------------------> Command
//!     every other command is refused              qmp_capabilities is refused
//!     no events                                   events
//! ```
//!
//! Bytes go in through [`Session::handle_input`]; out come replies that need nobody else, and requests to be run.
//! Exactly one reply belongs to each item of the input, in its order: whoever runs a request answers it before asking
//! for the next item.

use qapi_schema::control::QMPCapability;
use qapi_schema::{Arguments, Error, ErrorClass, Members, Visitor};

use crate::json::Parser;
use crate::request::Request;
use crate::response::Response;

/// The protocol state of one client.
#[derive(Debug)]
pub struct Session {
    parser: Parser,
    mode: Mode,
}

/// The modes of the QMP specification, section "Capabilities Negotiation".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Negotiation,
    Command,
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

/// A session that has not negotiated.
impl Default for Session {
    fn default() -> Self {
        Self { parser: Parser::default(), mode: Mode::Negotiation }
    }
}

impl Session {
    /// Takes bytes off the front of `input` until an item is complete, or all of them.
    pub fn handle_input(&mut self, input: &mut &[u8]) -> Option<Step> {
        let item = self.parser.next(input)?;
        let request = match item {
            Ok(value) => Request::read(value),
            Err(error) => Err(Response::error(None, Error::generic(error.to_string()))),
        };
        Some(match request {
            Ok(request) => self.handle_request(request),
            Err(response) => Step::Answer(response),
        })
    }

    fn handle_request(&mut self, request: Request) -> Step {
        match (self.mode, request.execute.as_str()) {
            (Mode::Negotiation, "qmp_capabilities") => match read_capabilities(request.arguments) {
                Ok(()) => {
                    self.mode = Mode::Command;
                    Step::Negotiated(Response::success(request.id))
                }
                Err(error) => Step::Answer(Response::error(request.id, error)),
            },
            (Mode::Negotiation, _) => refuse(request, "Expecting capabilities negotiation with 'qmp_capabilities'"),
            (Mode::Command, "qmp_capabilities") => {
                refuse(request, "Capabilities negotiation is already complete, command ignored")
            }
            (Mode::Command, _) => Step::Run(request),
        }
    }
}

fn refuse(request: Request, desc: &str) -> Step {
    Step::Answer(Response::error(request.id, Error::new(ErrorClass::CommandNotFound, desc)))
}

/// The arguments of `qmp_capabilities`: `{ '*enable': ['QMPCapability'] }`, of which none is offered yet.
fn read_capabilities(arguments: Arguments) -> Result<(), Error> {
    let root = Visitor::json();
    let mut members = Members::new(arguments, &root);
    let enabled = members.optional::<Vec<QMPCapability>>("enable")?;
    members.finish()?;
    match enabled.unwrap_or_default().first() {
        None => Ok(()),
        Some(capability) => Err(Error::generic(format!("Capability {capability} is not available"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

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

    fn after_negotiation(input: &str) -> Vec<String> {
        converse(format!("{NEGOTIATE}{input}").as_bytes(), usize::MAX).split_off(2)
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
    fn negotiation_happens_once() {
        let again = error("CommandNotFound", "Capabilities negotiation is already complete, command ignored");
        assert_eq!(after_negotiation(NEGOTIATE), [again]);
    }

    #[test]
    fn a_capability_that_is_not_offered_or_unknown_or_no_capability_is_refused() {
        for (arguments, desc) in [
            ("{'enable': ['oob']}", "Capability oob is not available"),
            ("{'enable': ['x']}", "Parameter 'enable[0]' does not accept value 'x'"),
            ("{'enable': [1]}", "Invalid parameter type for 'enable[0]', expected: string"),
            ("{'enable': 1}", "Invalid parameter type for 'enable', expected: array"),
            ("{'disable': []}", "Parameter 'disable' is unexpected"),
        ] {
            let request = format!("{{'execute': 'qmp_capabilities', 'arguments': {arguments}}}");
            assert_eq!(converse(request.as_bytes(), 8), [error("GenericError", desc)]);
        }
        let none = "{'execute': 'qmp_capabilities', 'arguments': {'enable': []}}";
        assert_eq!(converse(none.as_bytes(), 8), [r#"{"return": {}}"#, "events"]);
    }

    #[test]
    fn a_syntax_error_is_answered_in_its_turn_and_without_an_id() {
        let expected = error("GenericError", "JSON parse error, invalid keyword 'foo'");
        let (first, last) = (r#"{"return": {}, "id": 1}"#, r#"{"return": {}, "id": 2}"#);
        let output = after_negotiation("{'execute': 'x', 'id': 1} foo {'execute': 'x', 'id': 2}");
        assert_eq!(output, [first, &expected, last]);
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
            let complete = "Capabilities negotiation is already complete, command ignored";
            match self {
                Self::Command { id } if *negotiated => vec![success(id)],
                Self::Command { id } => vec![refused("CommandNotFound", expecting, id)],
                Self::Negotiation { id } if *negotiated => vec![refused("CommandNotFound", complete, id)],
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
        format!("{{\"error\": {{\"class\": \"{class}\", \"desc\": \"{desc}\"}}{}}}", member('"', id))
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
    }
}
