//! Replies in the order in which they are sent, some of the first perhaps sent already.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use crate::nbd::socket::Socket;
use crate::nbd::transmission::ReplyHeader;

/// How many replies one system call takes along.
const AT_ONCE: usize = 32;

/// A reply on its way out.
#[derive(Debug)]
pub(super) struct Reply {
    header: [u8; ReplyHeader::SIZE],
    data: Vec<u8>,
    /// What was reserved for it.
    payload: usize,
}

impl Reply {
    pub(super) fn new(header: ReplyHeader, data: Vec<u8>, payload: usize) -> Self {
        Self { header: header.encode(), data, payload }
    }

    fn len(&self) -> usize {
        self.header.len() + self.data.len()
    }
}

/// Requests, counted, with their payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) requests: usize,
    pub(super) payload: usize,
}

/// Replies that are not, or not entirely, sent.
#[derive(Debug, Default)]
pub(super) struct Batch {
    replies: VecDeque<Reply>,
    /// How much of the first is sent.
    sent: usize,
    /// Bytes of all.
    bytes: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, reply: Reply) {
        self.bytes += reply.len();
        self.replies.push_back(reply);
    }

    /// Puts `later` behind this.
    pub(super) fn append(&mut self, later: &mut Self) {
        debug_assert_eq!(later.sent, 0, "only the first reply of all is sent in part");
        self.bytes += later.bytes;
        later.bytes = 0;
        self.replies.append(&mut later.replies);
    }

    /// Gives up what is left.
    pub(super) fn clear(&mut self) -> Load {
        self.bytes = 0;
        self.sent = 0;
        self.replies.drain(..).fold(Load::default(), Load::plus)
    }

    /// Sends until everything is sent or the socket takes no more. Returns what is done, and how it ended.
    pub(super) fn send(&mut self, socket: &Socket) -> (Load, io::Result<()>) {
        let mut done = Load::default();
        while !self.replies.is_empty() {
            match self.send_some(socket) {
                Ok(sent) => done = self.advance(sent, done),
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    fn send_some(&self, socket: &Socket) -> io::Result<usize> {
        let mut parts = [IoSlice::new(&[]); 2 * AT_ONCE];
        let mut count = 0;
        for reply in self.replies.iter().take(AT_ONCE) {
            for part in [&reply.header[..], &reply.data] {
                if !part.is_empty() {
                    parts[count] = IoSlice::new(part);
                    count += 1;
                }
            }
        }
        let mut parts = &mut parts[..count];
        IoSlice::advance_slices(&mut parts, self.sent);
        socket.send_now(parts)
    }

    fn advance(&mut self, sent: usize, mut done: Load) -> Load {
        self.sent += sent;
        while let Some(reply) = self.replies.pop_front_if(|first| first.len() <= self.sent) {
            self.sent -= reply.len();
            self.bytes -= reply.len();
            done = done.plus(reply);
        }
        done
    }
}

impl Load {
    fn plus(self, reply: Reply) -> Self {
        Self { requests: self.requests + 1, payload: self.payload + reply.payload }
    }
}
