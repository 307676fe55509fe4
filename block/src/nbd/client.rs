//! A client: blocking, for one thread, or pipelined with one thread that submits and one that takes replies.
//!
//! It speaks what the [`server`](super::server) speaks, to any server: the demo, tests and benchmarks use it.

mod handshake;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;
use sockets::{Address, Remote};

use super::input::Input;
use super::protocol::{
    NBD_CMD_DISC, NBD_CMD_FLAG_FUA, NBD_CMD_FLAG_NO_HOLE, NBD_CMD_FLUSH, NBD_CMD_READ, NBD_CMD_TRIM, NBD_CMD_WRITE,
    NBD_CMD_WRITE_ZEROES, NBD_FLAG_READ_ONLY, NbdError,
};
use super::socket::Socket;
use super::transmission::{ReplyHeader, RequestHeader, Terms};
use crate::request::Operation;

/// What went wrong.
#[derive(Debug)]
pub enum ClientError {
    /// The connection.
    Connection(io::Error),
    /// The server does not want us, and says why.
    Refused(String),
    /// The server does not speak the protocol, or not enough of it.
    Protocol(&'static str),
    /// A request failed; the connection is fine.
    Request(NbdError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "NBD connection failed: {error}"),
            Self::Refused(message) => write!(f, "NBD server refused: {message}"),
            Self::Protocol(what) => write!(f, "NBD server broke the protocol: {what}"),
            Self::Request(error) => write!(f, "NBD request failed: {}", io::Error::from(*error)),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Refused(_) | Self::Protocol(_) | Self::Request(_) => None,
        }
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// A connection to an export, one request at a time.
#[derive(Debug)]
pub struct Client {
    submitter: Submitter,
    replies: Replies,
    terms: Terms,
}

impl Client {
    /// Connects to the export of this name.
    ///
    /// # Errors
    /// The server can't be reached, does not have the export, or does not speak the protocol.
    pub fn connect(address: &Address, export: &str) -> Result<Self, ClientError> {
        let socket = Socket::from(Remote::resolve(address.clone(), None)?.connect()?);
        let mut input = Input::new();
        let (size, flags) = handshake::go(&socket, &mut input, export)?;
        let line = Arc::new(Line { socket, outstanding: Mutex::default() });
        Ok(Self {
            submitter: Submitter { line: Arc::clone(&line), next: 0 },
            replies: Replies { line, input },
            terms: Terms { size, read_only: flags & NBD_FLAG_READ_ONLY != 0 },
        })
    }

    /// Size and access of the export.
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// Reads `length` bytes.
    ///
    /// # Errors
    /// The request failed, or the connection.
    pub fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, ClientError> {
        self.execute(&Operation::Read { offset, length })
    }

    /// Writes `data`.
    ///
    /// # Errors
    /// The request failed, or the connection.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), ClientError> {
        let cookie = self.submitter.send(request(NBD_CMD_WRITE, 0, offset, data.len() as u64)?, data)?;
        self.settle(cookie).map(drop)
    }

    /// Brings everything that was answered to stable storage.
    ///
    /// # Errors
    /// The request failed, or the connection.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        self.execute(&Operation::Flush).map(drop)
    }

    /// Tells that a range is no longer needed.
    ///
    /// # Errors
    /// The request failed, or the connection.
    pub fn trim(&mut self, offset: u64, length: u64) -> Result<(), ClientError> {
        self.execute(&Operation::Discard { offset, length }).map(drop)
    }

    /// Makes a range read as zeroes; with `unmap`, space may be given back.
    ///
    /// # Errors
    /// The request failed, or the connection.
    pub fn write_zeroes(&mut self, offset: u64, length: u64, unmap: bool) -> Result<(), ClientError> {
        self.execute(&Operation::WriteZeroes { offset, length, fua: false, unmap }).map(drop)
    }

    /// Executes any operation. The answer to one that is no read is empty.
    ///
    /// # Errors
    /// The request failed, or the connection.
    pub fn execute(&mut self, operation: &Operation) -> Result<Vec<u8>, ClientError> {
        let cookie = self.submitter.submit(operation)?;
        self.settle(cookie)
    }

    fn settle(&mut self, cookie: Cookie) -> Result<Vec<u8>, ClientError> {
        let reply = self.replies.next_reply()?;
        if reply.cookie != cookie {
            return Err(ClientError::Protocol("reply to another request"));
        }
        reply.result.map_err(ClientError::Request)
    }

    /// The halves of the connection, for requests that overlap.
    pub fn split(self) -> (Submitter, Replies) {
        (self.submitter, self.replies)
    }

    /// Takes leave of the server.
    ///
    /// # Errors
    /// The connection failed.
    pub fn disconnect(self) -> Result<(), ClientError> {
        self.submitter.disconnect()
    }
}

/// What the halves share.
#[derive(Debug)]
struct Line {
    socket: Socket,
    /// Data that the reply to each unanswered request brings if it succeeds.
    outstanding: Mutex<HashMap<Cookie, usize>>,
}

/// Which request a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cookie(u64);

/// The half of a client that submits requests.
#[derive(Debug)]
pub struct Submitter {
    line: Arc<Line>,
    next: u64,
}

impl Submitter {
    /// Sends a request, and does not wait for its reply; but it does wait while the server takes no more requests,
    /// which it may do until its replies are taken.
    ///
    /// # Errors
    /// The connection failed, or the operation is longer than the protocol allows.
    pub fn submit(&mut self, operation: &Operation) -> Result<Cookie, ClientError> {
        let fua_flag = |fua: bool| if fua { NBD_CMD_FLAG_FUA } else { 0 };
        match operation {
            Operation::Read { offset, length } => self.send(request(NBD_CMD_READ, 0, *offset, *length as u64)?, &[]),
            Operation::Write { offset, data, fua } => {
                self.send(request(NBD_CMD_WRITE, fua_flag(*fua), *offset, data.len() as u64)?, data)
            }
            Operation::Flush => self.send(request(NBD_CMD_FLUSH, 0, 0, 0)?, &[]),
            Operation::Discard { offset, length } => self.send(request(NBD_CMD_TRIM, 0, *offset, *length)?, &[]),
            Operation::WriteZeroes { offset, length, fua, unmap } => {
                let hole_flag = if *unmap { 0 } else { NBD_CMD_FLAG_NO_HOLE };
                self.send(request(NBD_CMD_WRITE_ZEROES, fua_flag(*fua) | hole_flag, *offset, *length)?, &[])
            }
        }
    }

    /// Takes leave: the server answers what is outstanding, then it closes the connection.
    ///
    /// # Errors
    /// The connection failed.
    pub fn disconnect(self) -> Result<(), ClientError> {
        let farewell = request(NBD_CMD_DISC, 0, 0, 0)?.encode();
        Ok(self.line.socket.send_all(&mut [IoSlice::new(&farewell)], None)?)
    }

    /// Closes the connection at once: what is outstanding will not be answered.
    pub fn hang_up(self) {
        self.line.socket.hang_up();
    }

    fn send(&mut self, header: RequestHeader, payload: &[u8]) -> Result<Cookie, ClientError> {
        let cookie = Cookie(self.next);
        self.next += 1;
        let expected = if header.command == NBD_CMD_READ { header.length as usize } else { 0 };
        self.line.outstanding.lock().insert(cookie, expected);
        let header = RequestHeader { cookie: cookie.0, ..header }.encode();
        self.line.socket.send_all(&mut [IoSlice::new(&header), IoSlice::new(payload)], None)?;
        Ok(cookie)
    }
}

/// A request that has no cookie yet.
fn request(command: u16, flags: u16, offset: u64, length: u64) -> Result<RequestHeader, ClientError> {
    let length = u32::try_from(length).map_err(|_| ClientError::Request(NbdError::Overflow))?;
    Ok(RequestHeader { flags, command, cookie: 0, offset, length })
}

/// The answer to one request.
#[derive(Debug)]
pub struct Reply {
    /// Which request.
    pub cookie: Cookie,
    /// The data of a read, nothing for others, or why it failed.
    pub result: Result<Vec<u8>, NbdError>,
}

/// The half of a client that takes replies.
#[derive(Debug)]
pub struct Replies {
    line: Arc<Line>,
    input: Input,
}

impl Replies {
    /// Waits for the next reply, whichever request it is for.
    ///
    /// # Errors
    /// The connection failed, or the server does not speak the protocol.
    pub fn next_reply(&mut self) -> Result<Reply, ClientError> {
        let mut header = [0; ReplyHeader::SIZE];
        self.line.socket.receive_exactly(&mut self.input, &mut header)?;
        let Some(ReplyHeader { cookie, result }) = ReplyHeader::decode(&header) else {
            return Err(ClientError::Protocol("no magic number where a reply should start"));
        };
        let cookie = Cookie(cookie);
        let Some(length) = self.line.outstanding.lock().remove(&cookie) else {
            return Err(ClientError::Protocol("reply to no request"));
        };
        let mut data = Vec::new();
        if result.is_ok() {
            data.resize(length, 0);
            self.line.socket.receive_exactly(&mut self.input, &mut data)?;
        }
        Ok(Reply { cookie, result: result.map(|()| data) })
    }
}

#[cfg(test)]
mod tests;
