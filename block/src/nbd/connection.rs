//! One client's connection, from the handshake to the last reply.
//!
//! ```text
//!  socket -> Receiver -> Request -> Disk::submit -> Outbox -> socket
//!            the leader             any thread      any thread
//! ```
//!
//! The leader of the connection's [`Crew`] takes a request off the stream and executes it itself. As long as the disk is
//! quick it keeps the lead, so that a request costs one receive, one disk operation and one send, and many requests
//! that arrived together share the receive and the send. When the disk is slow it hands the lead over first, so that
//! up to sixteen requests are executed at the same time.
//!
//! A request that is held or parked has left its thread: `submit` returned without an answer, and the reply is sent by
//! whichever thread gives the answer, perhaps after hours. The end of a connection therefore has an order: no more is
//! received, every `submit` returns, the disk drops what waits for this client, the last replies leave.

mod batch;
mod handshake;
mod outbox;
mod receiver;

use std::sync::Arc;
use std::thread::{self, Scope, ThreadId};
use std::time::Instant;

pub(super) use outbox::Outbox;
use sockets::tls::Credentials;

use super::export::{Attachment, Table};
use super::protocol::NbdError;
use super::transmission::ReplyHeader;
use crate::crew::Crew;
use crate::disk::Disk;
use crate::pace::Pace;
use crate::request::{Answer, Client, Operation, Request};
use batch::Reply;
use handshake::{Outcome, handshake};
use receiver::{Ending, Incoming, Receiver, Wish};

/// Serves a client until it is gone and owed nothing. The handshake must be over by `deadline`, and over TLS if there are
/// credentials.
pub(super) fn serve(outbox: &Arc<Outbox>, table: &Table, credentials: Option<&Credentials>, deadline: Option<Instant>) {
    match handshake(outbox, table, credentials, deadline) {
        Ok(Outcome::Transmission(attachment, terms, input)) => {
            tracing::debug!(export = attachment.export().options().name, "client connected");
            Connection::new(&attachment, outbox, Receiver::new(input, terms)).run();
            tracing::debug!(export = attachment.export().options().name, "client disconnected");
        }
        Ok(Outcome::Over(farewell)) => tracing::debug!(?farewell, "handshake ended without an export"),
        Err(error) => tracing::debug!(%error, "handshake failed"),
    }
    outbox.close();
}

struct Connection<'a> {
    attachment: &'a Attachment,
    client: Client,
    outbox: &'a Arc<Outbox>,
    crew: Crew<Receiver>,
    pace: Pace,
}

impl<'a> Connection<'a> {
    fn new(attachment: &'a Attachment, outbox: &'a Arc<Outbox>, receiver: Receiver) -> Self {
        Self { attachment, client: Client::default(), outbox, crew: Crew::new(receiver), pace: Pace::new() }
    }

    fn run(self) {
        thread::scope(|scope| self.work(scope));
        self.disk().cancel(&self.client);
        self.outbox.drain();
    }

    fn disk(&self) -> &Arc<dyn Disk> {
        self.attachment.export().disk()
    }

    /// The life of one of the connection's threads.
    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let thread = thread::current().id();
        while let Some((lead, mut receiver)) = self.crew.lead() {
            loop {
                let incoming = match receiver.next(self.outbox) {
                    Ok(incoming) => incoming,
                    Err(Ending::Disconnect) => break,
                    Err(Ending::Lost) => {
                        self.outbox.close();
                        break;
                    }
                };
                if !self.hold_the_lead(&incoming) {
                    self.outbox.flush();
                    if lead.hand_over(receiver) {
                        self.enlist(scope);
                    }
                    self.execute(thread, incoming);
                    self.outbox.flush();
                    break;
                }
                self.execute(thread, incoming);
            }
        }
    }

    /// Whether executing a request takes less time than finding another leader.
    fn hold_the_lead(&self, incoming: &Incoming) -> bool {
        match &incoming.wish {
            Ok(wish) => wish.may_be_quick() && self.pace.is_quick(),
            Err(_) => true,
        }
    }

    fn enlist<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let started = thread::Builder::new().name("nbd-worker".into()).spawn_scoped(scope, || self.work(scope));
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start a thread: requests of an NBD client wait for each other");
            self.crew.understaffed();
        }
    }

    fn execute(&self, thread: ThreadId, Incoming { cookie, payload, wish }: Incoming) {
        let data = wish.as_ref().map_or(0, Wish::reply_length);
        let replier = Replier { outbox: Arc::clone(self.outbox), thread, cookie, payload, data };
        match wish {
            Ok(wish) if self.attachment.export().options().writethrough => self.submit(wish.written_through(), replier),
            Ok(wish) => self.submit(wish, replier),
            Err(error) => replier.send(Err(error), Vec::new()),
        }
    }

    fn submit(&self, wish: Wish, replier: Replier) {
        let counts = wish.may_be_quick();
        let Wish { operation, then_flush } = wish;
        let client = self.client.clone();
        let request = if then_flush {
            let (disk, guest) = (Arc::clone(self.disk()), client.clone());
            Request::new(client, operation, move |answer| match answer {
                Ok(_) => disk.submit(Request::new(guest, Operation::Flush, |answer| replier.answer(answer))),
                Err(error) => replier.answer(Err(error)),
            })
        } else {
            Request::new(client, operation, |answer| replier.answer(answer))
        };
        let started = Instant::now();
        self.disk().submit(request);
        if counts {
            self.pace.record(started.elapsed());
        }
    }
}

/// What it takes to answer one request.
struct Replier {
    outbox: Arc<Outbox>,
    /// The connection's thread that executes it, and flushes the outbox sooner or later.
    thread: ThreadId,
    cookie: u64,
    payload: usize,
    /// How much data the client expects.
    data: usize,
}

impl Replier {
    fn answer(self, answer: Answer) {
        match answer {
            Ok(data) if data.len() == self.data => self.send(Ok(()), data),
            Ok(data) => {
                // The client takes what follows a reply by what it asked for, not by what it is told.
                tracing::error!(expected = self.data, got = data.len(), "answer of the wrong length");
                self.send(Err(NbdError::Io), Vec::new());
            }
            Err(error) => self.send(Err(NbdError::from(&error)), Vec::new()),
        }
    }

    fn send(self, result: Result<(), NbdError>, data: Vec<u8>) {
        let header = ReplyHeader { cookie: self.cookie, result };
        let due = self.outbox.push(Reply::new(header, data, self.payload));
        if due || thread::current().id() != self.thread {
            self.outbox.flush();
        }
    }
}
