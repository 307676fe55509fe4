//! A QMP client that shows what it says (`->`) and hears (`<-`).

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::Value;

use super::guest::Outcome;
use super::screen::Screen;

/// What a client waits for.
#[derive(Debug)]
pub enum Happening {
    /// A message of the monitor.
    Heard(Value),
    /// The guest has finished.
    GuestFinished(io::Result<Outcome>),
    /// The monitor has closed the connection.
    Closed,
}

/// One client's connection.
pub struct Client {
    name: &'static str,
    screen: Arc<Screen>,
    writer: UnixStream,
    inbox: (Sender<Happening>, Receiver<Happening>),
    /// What came while a reply was waited for.
    earlier: VecDeque<Happening>,
}

impl Client {
    /// Connects, and negotiates.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn connect(name: &'static str, socket: &Path, screen: &Arc<Screen>) -> io::Result<Self> {
        let writer = UnixStream::connect(socket)?;
        let inbox = channel();
        listen(name, BufReader::new(writer.try_clone()?), screen.clone(), inbox.0.clone());
        let mut client = Self { name, screen: screen.clone(), writer, inbox, earlier: VecDeque::new() };
        client.receive()?;
        client.execute(r#"{"execute": "qmp_capabilities"}"#)?;
        Ok(client)
    }

    /// Where else something may happen that this client waits for.
    pub fn inbox(&self) -> Sender<Happening> {
        self.inbox.0.clone()
    }

    /// Sends a command and returns what it returns.
    ///
    /// # Errors
    /// Those of the socket, and those that the command answers.
    pub fn execute(&mut self, command: &str) -> io::Result<Value> {
        self.screen.said(self.name, "->", command);
        writeln!(self.writer, "{command}")?;
        loop {
            match self.receive()? {
                Happening::Heard(mut message) if message.get("return").is_some() => return Ok(message["return"].take()),
                Happening::Heard(message) if message.get("error").is_some() => {
                    return Err(io::Error::other(format!("{command}: {}", message["error"])));
                }
                other @ (Happening::Heard(_) | Happening::GuestFinished(_) | Happening::Closed) => {
                    self.earlier.push_back(other);
                }
            }
        }
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    /// The monitor has closed the connection.
    pub fn next(&mut self) -> io::Result<Happening> {
        self.earlier.pop_front().map_or_else(|| self.receive(), Ok)
    }

    fn receive(&self) -> io::Result<Happening> {
        match self.inbox.1.recv() {
            Ok(Happening::Closed) | Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(happening) => Ok(happening),
        }
    }
}

/// Shows and passes on everything that is heard, on a thread of its own.
fn listen(name: &'static str, reader: BufReader<UnixStream>, screen: Arc<Screen>, inbox: Sender<Happening>) {
    thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            screen.said(name, "<-", line.trim_end());
            let message = serde_json::from_str(&line).unwrap_or_default();
            if inbox.send(Happening::Heard(message)).is_err() {
                return;
            }
        }
        // Whoever listened may have left.
        let _ = inbox.send(Happening::Closed);
    });
}

/// The monitor sees its client leave, although a thread still listens.
impl Drop for Client {
    fn drop(&mut self) {
        // A monitor that has ended is not there to be left.
        let _ = self.writer.shutdown(Shutdown::Both);
    }
}
