//! A QMP client that blocks.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

/// A test that waits longer has failed: it must not hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client<S = UnixStream> {
    pub stream: S,
    reader: BufReader<S>,
}

impl Client {
    /// A client that has been greeted.
    pub fn greeted(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).expect("the server listens"))
    }

    /// A client that has negotiated.
    pub fn connect(path: &Path) -> Self {
        let mut client = Self::greeted(path);
        client.negotiate();
        client
    }

    /// A client that has negotiated out-of-band execution.
    pub fn connect_with_oob(path: &Path) -> Self {
        let mut client = Self::greeted(path);
        let enable = json!({"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}});
        assert_eq!(client.execute(&enable), json!({"return": {}}));
        client
    }

    /// A client on a stream that is connected.
    pub fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        Self::on(stream.try_clone().expect("descriptor"), stream)
    }

    /// Sends bytes, with the first of them a descriptor, which is given away.
    pub fn send_with(&self, bytes: &str, descriptor: OwnedFd) {
        let descriptors = [descriptor.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let slices = [IoSlice::new(bytes.as_bytes())];
        assert_eq!(sendmsg(&self.stream, &slices, &mut control, SendFlags::empty()), Ok(bytes.len()));
    }

    /// Says that nothing more will come.
    pub fn end_output(&self) {
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }
}

impl Client<TcpStream> {
    pub fn over_tcp(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        Self::on(stream.try_clone().expect("descriptor"), stream)
    }
}

impl<S: Read + Write> Client<S> {
    fn on(reader: S, stream: S) -> Self {
        let mut client = Self { stream, reader: BufReader::new(reader) };
        let greeting = client.receive();
        assert!(greeting["QMP"]["capabilities"].is_array(), "not a greeting: {greeting}");
        client
    }

    pub fn negotiate(&mut self) {
        assert_eq!(self.execute(&json!({"execute": "qmp_capabilities"})), json!({"return": {}}));
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("connected");
    }

    /// The next message, or null at the end.
    pub fn receive(&mut self) -> Value {
        let line = self.receive_line();
        if line.is_empty() { Value::Null } else { serde_json::from_str(&line).expect("JSON") }
    }

    /// The text of the next message, or nothing at the end.
    pub fn receive_line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a message in time");
        assert!(line.is_ascii());
        match line.strip_suffix("\r\n") {
            Some(text) => text.to_owned(),
            None if line.is_empty() => line,
            None => panic!("not a line: {line:?}"),
        }
    }

    /// Sends a request and returns the next message.
    pub fn execute(&mut self, request: &Value) -> Value {
        self.send(request.to_string());
        self.receive()
    }

    /// Runs a command without arguments, with this id.
    pub fn request(&mut self, command: &str, id: u32) {
        self.send(json!({"execute": command, "id": id}).to_string());
    }

    /// Runs a command out-of-band, with this id.
    pub fn request_oob(&mut self, command: &str, id: u32) {
        self.send(json!({"exec-oob": command, "id": id}).to_string());
    }

    /// The names of the events, and the ids of the replies, up to and with the reply of this id.
    pub fn until(&mut self, id: u32) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let message = self.receive();
            assert!(!message.is_null(), "the server left after {names:?}");
            names.push(message["event"].as_str().map_or_else(|| message["id"].to_string(), Into::into));
            if message["id"] == json!(id) {
                return names;
            }
        }
    }
}
