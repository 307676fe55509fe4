//! A guest: an NBD client that pipelines requests and takes the answers in the order of its requests.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;

use block::nbd::Address;
use block::nbd::client::{Client, Cookie, Reply, Submitter};
use block::request::Operation;

use super::DEADLINE;

/// A connection to an export.
pub struct Guest {
    submitter: Submitter,
    /// Ends with the connection.
    replies: Receiver<Reply>,
    /// Requests whose answer was not asked for, oldest first.
    outstanding: VecDeque<Cookie>,
    /// Those of them that were answered.
    answered: HashMap<Cookie, io::Result<Vec<u8>>>,
}

impl Guest {
    /// Connects to an export.
    pub fn connect(socket: &Path, export: &str) -> Result<Self, String> {
        let client = Client::connect(&Address::Unix(socket.into()), export).map_err(|error| error.to_string())?;
        let (submitter, mut incoming) = client.split();
        let (sender, replies) = channel();
        thread::spawn(move || {
            while let Ok(reply) = incoming.next_reply() {
                if sender.send(reply).is_err() {
                    break;
                }
            }
        });
        Ok(Self { submitter, replies, outstanding: VecDeque::new(), answered: HashMap::new() })
    }

    /// Sends a request.
    pub fn start(&mut self, operation: &Operation) -> Result<(), String> {
        let cookie = self.submitter.submit(operation).map_err(|error| error.to_string())?;
        self.outstanding.push_back(cookie);
        Ok(())
    }

    /// Waits for the answer to the oldest request.
    pub fn answer(&mut self) -> Result<io::Result<Vec<u8>>, String> {
        let oldest = self.outstanding.pop_front().ok_or("nothing was asked")?;
        loop {
            if let Some(answer) = self.answered.remove(&oldest) {
                return Ok(answer);
            }
            match self.replies.recv_timeout(DEADLINE) {
                Ok(reply) => self.note(reply),
                Err(RecvTimeoutError::Timeout) => return Err("no answer came".into()),
                Err(RecvTimeoutError::Disconnected) => return Err("the connection was closed".into()),
            }
        }
    }

    /// How many requests have been answered and not been asked for.
    pub fn answered(&mut self) -> Result<usize, String> {
        loop {
            match self.replies.try_recv() {
                Ok(reply) => self.note(reply),
                Err(TryRecvError::Empty) => return Ok(self.answered.len()),
                Err(TryRecvError::Disconnected) => return Err("the connection was closed".into()),
            }
        }
    }

    /// Waits until the server closes the connection, with nothing answered but what was asked for.
    pub fn closed(&mut self) -> Result<(), String> {
        loop {
            match self.replies.recv_timeout(DEADLINE) {
                Ok(reply) => self.note(reply),
                Err(RecvTimeoutError::Timeout) => return Err("the connection stays open".into()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match self.answered.values().next() {
            None => Ok(()),
            Some(answer) => Err(format!("a request was answered: {:?}", answer.as_ref().map(Vec::len))),
        }
    }

    /// Closes the connection, whatever is outstanding.
    pub fn vanish(self) {
        self.submitter.hang_up();
    }

    fn note(&mut self, reply: Reply) {
        self.answered.insert(reply.cookie, reply.result.map_err(io::Error::from));
    }
}
