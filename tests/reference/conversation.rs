//! One client's talk with a daemon, and what is compared of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::pair::Pair;
use crate::support::qmp::{NoMessage, QmpClient};

/// How the client has negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Negotiation,
    /// Without a capability.
    Plain,
    /// With out-of-band execution.
    Oob,
}

/// What is compared of a reply.
#[derive(Debug)]
pub struct Reply {
    /// "return", or the class of an error.
    kind: String,
    id: Value,
    desc: Value,
}

/// What the client is told.
#[derive(Debug)]
pub struct Told {
    pub replies: Vec<Reply>,
    /// The daemon closed the connection before it had answered everything.
    pub left: bool,
}

/// Ends what input may have left open, by a byte that is in no JSON text, and asks for an answer.
const END: &[u8] = b"\n\xff\n{\"execute\": \"query-version\", \"id\": \"the end\"}";

impl Reply {
    fn new(message: &Value) -> Self {
        let error = &message["error"];
        let kind = error["class"].as_str().unwrap_or(if message["return"].is_null() { "?" } else { "return" });
        Self { kind: kind.into(), id: message["id"].clone(), desc: error["desc"].clone() }
    }

    /// The same kind of reply to the same request.
    pub fn agrees(&self, other: &Self) -> bool {
        self.kind == other.kind && same(&self.id, &other.id)
    }

    /// What an error says, up to what it quotes: of several faults either may be named.
    fn words(&self) -> Option<&str> {
        self.desc.as_str().and_then(|desc| desc.split(['\'', '\\']).next())
    }
}

impl Told {
    /// The same replies.
    pub fn agrees(&self, other: &Self) -> bool {
        self.compare(other, Reply::agrees)
    }

    /// The same replies, in the same words.
    fn agrees_in_words(&self, other: &Self) -> bool {
        self.compare(other, |ours, other| ours.agrees(other) && ours.words() == other.words())
    }

    fn compare(&self, other: &Self, agrees: impl Fn(&Reply, &Reply) -> bool) -> bool {
        let mut pairs = self.replies.iter().zip(&other.replies);
        self.left == other.left && self.replies.len() == other.replies.len() && pairs.all(|(a, b)| agrees(a, b))
    }
}

/// Equal but for the spelling of numbers that are no integers.
fn same(ours: &Value, other: &Value) -> bool {
    match (ours, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => ours == other,
    }
}

/// A client in this mode of each of the two, ours first. The reference at times forgets a client that comes while it lets
/// another go: it is started anew then.
pub fn connect(pair: &mut Pair, mode: Mode) -> [QmpClient; 2] {
    let ours = connect_to(&pair.ours.qmp_socket(), mode).expect("ours talks");
    let reference = connect_to(&pair.reference.qmp_socket(), mode).or_else(|_| {
        pair.restart_reference();
        connect_to(&pair.reference.qmp_socket(), mode)
    });
    [ours, reference.expect("the reference talks")]
}

fn connect_to(socket: &Path, mode: Mode) -> Result<QmpClient, String> {
    let mut client = QmpClient::open(socket).map_err(|error| error.to_string())?;
    client.receive().map_err(|error| error.to_string())?;
    let enable = match mode {
        Mode::Negotiation => return Ok(client),
        Mode::Plain => json!([]),
        Mode::Oob => json!(["oob"]),
    };
    client.execute("qmp_capabilities", json!({"enable": enable}))?;
    Ok(client)
}

/// A client in this mode says `input` and is told.
pub fn say(client: &mut QmpClient, input: &[u8]) -> Told {
    let mut replies = Vec::new();
    let mut sent = client.send(input).and_then(|()| client.send(END)).is_ok();
    loop {
        match client.receive_among(|message| message.get("event").is_none()) {
            Ok(message) if message["id"] == "the end" => return Told { replies, left: false },
            Ok(message) => replies.push(Reply::new(&message)),
            // What could not be sent any more may be answered in part.
            Err(NoMessage::Closed) => return Told { replies, left: true },
            Err(error) if sent => panic!("{:?}: {error}", String::from_utf8_lossy(input)),
            Err(_) => sent = true,
        }
    }
}

/// Says each input to both. Returns what they do not agree on.
pub fn compare(pair: &mut Pair, mode: Mode, inputs: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<String> {
    let mut differences = Vec::new();
    let mut clients = None;
    for input in inputs {
        let input = input.as_ref();
        let [ours, reference] = clients.get_or_insert_with(|| connect(pair, mode));
        let (we, they) = (say(ours, input), say(reference, input));
        let agrees = if they.left {
            // It has aborted: no input asks it to end.
            pair.restart_reference();
            !we.left
        } else {
            we.agrees_in_words(&they)
        };
        if !agrees {
            let input = String::from_utf8_lossy(input.get(..200).unwrap_or(input)).into_owned();
            differences.push(format!("{mode:?}: {input:?}\n  ours: {we:?}\n  QEMU: {they:?}"));
        }
        // Whoever negotiates or leaves is no client for the next input.
        if mode == Mode::Negotiation || they.left || we.left {
            clients = None;
        }
    }
    differences
}

/// Both agree on each input in each of these modes.
pub fn assert_agree(modes: &[Mode], inputs: &[Vec<u8>]) {
    let Some(mut pair) = Pair::start("qmp") else { return };
    let differences: Vec<_> = modes.iter().flat_map(|&mode| compare(&mut pair, mode, inputs)).collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), inputs.len(), differences.join("\n"));
    pair.end();
}
