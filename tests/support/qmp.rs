//! A QMP client that never waits for ever and checks the form of everything it receives.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;

use super::DEADLINE;

/// A connection to a QMP socket.
pub struct QmpClient {
    stream: UnixStream,
    /// Bytes of a message that is not complete.
    partial: Vec<u8>,
    /// Messages that were received and not asked for yet.
    messages: VecDeque<Value>,
}

/// Why there is no message.
#[derive(Debug, PartialEq)]
pub enum NoMessage {
    /// None came within the deadline.
    Silence,
    /// The connection was closed.
    Closed,
    /// What came is no message of QMP.
    Malformed(String),
}

impl std::fmt::Display for NoMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence => f.write_str("nothing came"),
            Self::Closed => f.write_str("the connection was closed"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

impl QmpClient {
    /// Connects, and leaves the greeting to be received.
    pub fn open(socket: &Path) -> io::Result<Self> {
        Self::over(UnixStream::connect(socket)?)
    }

    /// The same over any connected socket: for reading and writing a stream, its family makes no difference.
    pub fn over(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let stream = UnixStream::from(socket.into());
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream, partial: Vec::new(), messages: VecDeque::new() })
    }

    /// Connects and negotiates.
    pub fn connect(socket: &Path) -> Result<Self, String> {
        let client = Self::open(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        client.negotiate()
    }

    /// Takes the greeting and negotiates.
    pub fn negotiate(self) -> Result<Self, String> {
        let mut client = self;
        let greeting = client.receive().map_err(|error| format!("greeting: {error}"))?;
        let version = &greeting["QMP"]["version"]["qemu"];
        if !version["major"].is_u64() || !greeting["QMP"]["capabilities"].is_array() {
            return Err(format!("not a greeting: {greeting}"));
        }
        client.execute("qmp_capabilities", Value::Null)?;
        Ok(client)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes and a descriptor with the first of them.
    pub fn send_with(&mut self, bytes: &[u8], fd: impl AsFd) -> io::Result<()> {
        let descriptors = [fd.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let sent = sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?;
        self.stream.write_all(&bytes[sent..])
    }

    /// Runs a command and returns what it returns, or the error's description. Events on the way can be received later.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let mut request = serde_json::json!({"execute": command});
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        self.send(request.to_string().as_bytes()).map_err(|error| format!("{command}: {error}"))?;
        let is_reply = |message: &Value| message.get("event").is_none();
        let reply = self.receive_among(is_reply).map_err(|error| format!("{command}: {error}"))?;
        match reply.get("return") {
            Some(value) => Ok(value.clone()),
            None => Err(reply["error"]["desc"].as_str().unwrap_or("an error without description").to_owned()),
        }
    }

    /// Waits for an event and returns its data. What else comes on the way can be received later.
    pub fn event(&mut self, name: &str) -> Result<Value, NoMessage> {
        self.receive_among(|message| message["event"] == name).map(|mut event| event["data"].take())
    }

    /// The next message.
    pub fn receive(&mut self) -> Result<Value, NoMessage> {
        match self.messages.pop_front() {
            Some(message) => Ok(message),
            None => self.read_message(),
        }
    }

    /// The next message that is `wanted`. Those before it stay to be received.
    pub fn receive_among(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Result<Value, NoMessage> {
        let mut at = 0;
        loop {
            if at == self.messages.len() {
                let message = self.read_message()?;
                self.messages.push_back(message);
            }
            if wanted(&self.messages[at]) {
                return self.messages.remove(at).ok_or(NoMessage::Silence);
            }
            at += 1;
        }
    }

    /// Throws away what comes before the first message that is `wanted`.
    pub fn skip_to(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Result<(), NoMessage> {
        loop {
            let message = self.receive()?;
            if wanted(&message) {
                self.messages.push_front(message);
                return Ok(());
            }
        }
    }

    fn read_message(&mut self) -> Result<Value, NoMessage> {
        let mut seen = 0;
        loop {
            if let Some(end) = self.partial[seen..].windows(2).position(|pair| pair == b"\r\n") {
                let message: Vec<u8> = self.partial.drain(..seen + end + 2).collect();
                return parse(&message[..seen + end]);
            }
            // The first half of the end may be there.
            seen = self.partial.len().saturating_sub(1);
            let mut buffer = [0; 64 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) if self.partial.is_empty() => return Err(NoMessage::Closed),
                Ok(0) => return Err(NoMessage::Malformed(String::from_utf8_lossy(&self.partial).into_owned())),
                Ok(length) => self.partial.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(NoMessage::Silence),
                // With a timeout that happens without a signal handler, too (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What the server had not read when it closed the connection.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(NoMessage::Closed),
                Err(error) => return Err(NoMessage::Malformed(error.to_string())),
            }
        }
    }
}

/// A message is one line of ASCII that holds a JSON object (QMP specification, sections "Protocol" and "Encoding").
fn parse(line: &[u8]) -> Result<Value, NoMessage> {
    let malformed = |what: &str| NoMessage::Malformed(format!("{what}: {}", String::from_utf8_lossy(line)));
    if !line.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(malformed("not plain ASCII"));
    }
    match serde_json::from_slice(line) {
        Ok(message @ Value::Object(_)) => Ok(message),
        Ok(_) => Err(malformed("not an object")),
        Err(error) => Err(malformed(&error.to_string())),
    }
}
