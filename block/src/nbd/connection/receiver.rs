//! The way in of a connection: requests with their payload, taken off the stream one by one.

use std::io;

use super::outbox::{Gone, Outbox};
use crate::nbd::input::Input;
use crate::nbd::protocol::NbdError;
use crate::nbd::transmission::{Command, RequestHeader, Terms};
use crate::request::Operation;

/// What the leader receives with.
#[derive(Debug)]
pub(super) struct Receiver {
    input: Input,
    terms: Terms,
}

/// A request that was taken off the stream, and counted as unanswered.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) cookie: u64,
    /// What was reserved for it.
    pub(super) payload: usize,
    pub(super) wish: Result<Wish, NbdError>,
}

/// What the client wants of the disk.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) operation: Operation,
    /// Flush before answering, which [`Operation::Discard`] can't be told to.
    pub(super) then_flush: bool,
}

impl Wish {
    /// Whether a quick disk does this at once, whatever a flush or an allocation would take.
    pub(super) const fn may_be_quick(&self) -> bool {
        match self.operation {
            Operation::Read { .. } | Operation::Write { fua: false, .. } => true,
            Operation::Write { fua: true, .. }
            | Operation::Flush
            | Operation::Discard { .. }
            | Operation::WriteZeroes { .. } => false,
        }
    }

    /// How much data goes with a successful reply.
    pub(super) const fn reply_length(&self) -> usize {
        match self.operation {
            Operation::Read { length, .. } => length,
            Operation::Write { .. } | Operation::Flush | Operation::Discard { .. } | Operation::WriteZeroes { .. } => 0,
        }
    }

    /// The same, on stable storage before it is answered if it writes.
    pub(super) fn written_through(mut self) -> Self {
        match &mut self.operation {
            Operation::Write { fua, .. } | Operation::WriteZeroes { fua, .. } => *fua = true,
            Operation::Read { .. } | Operation::Flush | Operation::Discard { .. } => {}
        }
        self
    }
}

/// Why there are no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client said so, and waits for what is outstanding.
    Disconnect,
    /// The client went away, or can't be understood.
    Lost,
}

impl Receiver {
    pub(super) const fn new(input: Input, terms: Terms) -> Self {
        Self { input, terms }
    }

    /// Waits for the next request.
    pub(super) fn next(&mut self, outbox: &Outbox) -> Result<Incoming, Ending> {
        let header = self.header(outbox)?;
        let cookie = header.cookie;
        if header.is_disconnect() {
            return Err(Ending::Disconnect);
        }
        let command = match header.check(&self.terms) {
            Ok(command) => command,
            Err(error) => {
                self.skip(header.payload() as usize, outbox)?;
                outbox.reserve(0)?;
                return Ok(Incoming { cookie, payload: 0, wish: Err(error) });
            }
        };
        let payload = command.payload();
        outbox.reserve(payload)?;
        let wish = match command {
            Command::Read { offset, length } => Operation::Read { offset, length }.into(),
            Command::Write { offset, length, fua } => {
                let data = self.payload(length, outbox).inspect_err(|_| outbox.forgo(payload))?;
                Operation::Write { offset, data, fua }.into()
            }
            Command::Flush => Operation::Flush.into(),
            Command::Trim { offset, length, fua } => {
                Wish { operation: Operation::Discard { offset, length }, then_flush: fua }
            }
            Command::WriteZeroes { offset, length, fua, unmap } => {
                Operation::WriteZeroes { offset, length, fua, unmap }.into()
            }
        };
        Ok(Incoming { cookie, payload, wish: Ok(wish) })
    }

    fn header(&mut self, outbox: &Outbox) -> Result<RequestHeader, Ending> {
        loop {
            if let Some(bytes) = self.input.bytes().first_chunk() {
                let Some(header) = RequestHeader::decode(bytes) else {
                    tracing::debug!("client lost its way: no magic number where a request should start");
                    return Err(Ending::Lost);
                };
                self.input.consume(RequestHeader::SIZE);
                return Ok(header);
            }
            self.fill(outbox, 0)?;
        }
    }

    /// A short payload by way of the buffer, along with what follows it; a long one straight to where it is used from.
    fn payload(&mut self, length: usize, outbox: &Outbox) -> Result<Vec<u8>, Ending> {
        if length <= Input::LONGEST_MESSAGE {
            loop {
                if let Some(payload) = self.input.bytes().get(..length) {
                    let payload = payload.to_vec();
                    self.input.consume(length);
                    return Ok(payload);
                }
                self.fill(outbox, 1)?;
            }
        }
        let mut payload = vec![0; length];
        let mut filled = self.input.take(&mut payload);
        while filled < length {
            filled += receive(outbox, 1, &mut payload[filled..])?;
        }
        Ok(payload)
    }

    /// Takes the payload of a refused request off the stream.
    fn skip(&mut self, length: usize, outbox: &Outbox) -> Result<(), Ending> {
        let mut left = length;
        loop {
            let skipped = left.min(self.input.bytes().len());
            self.input.consume(skipped);
            left -= skipped;
            if left == 0 {
                return Ok(());
            }
            self.fill(outbox, 0)?;
        }
    }

    fn fill(&mut self, outbox: &Outbox, incomplete: usize) -> Result<(), Ending> {
        let received = receive(outbox, incomplete, self.input.space())?;
        self.input.received(received);
        Ok(())
    }
}

/// The one place where a connection waits for its client; `incomplete` requests are counted but not yet all here.
fn receive(outbox: &Outbox, incomplete: usize, buffer: &mut [u8]) -> Result<usize, Ending> {
    outbox.wait_for_input(incomplete);
    match outbox.socket().receive(buffer, None) {
        Ok(0) => Err(Ending::Lost),
        Ok(received) => Ok(received),
        Err(error) => Err(lost(&error)),
    }
}

fn lost(error: &io::Error) -> Ending {
    tracing::debug!(%error, "connection broken");
    Ending::Lost
}

impl From<Operation> for Wish {
    fn from(operation: Operation) -> Self {
        Self { operation, then_flush: false }
    }
}

impl From<Gone> for Ending {
    fn from(_: Gone) -> Self {
        Self::Lost
    }
}
