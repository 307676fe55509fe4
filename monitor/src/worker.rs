//! The thread for commands that may block.
//!
//! There is one for all sessions, started when it is first needed: such commands run one after the other, as in QEMU.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{io, thread};

use qapi_schema::CommandTable;

use crate::dispatcher;
use crate::mailbox::{Mailbox, Notice};
use crate::outbox::Outbox;
use crate::request::Request;

/// Runs commands elsewhere, in the order in which they were submitted.
pub(crate) struct Worker {
    commands: Arc<CommandTable>,
    mailbox: Arc<Mailbox>,
    jobs: Option<Sender<Job>>,
}

struct Job {
    request: Request,
    outbox: Arc<Outbox>,
}

impl Worker {
    pub(crate) const fn new(commands: Arc<CommandTable>, mailbox: Arc<Mailbox>) -> Self {
        Self { commands, mailbox, jobs: None }
    }

    /// Takes a request, which a notice follows when it is answered. A session must not submit another one before, so
    /// that what waits here is bounded by the number of sessions.
    pub(crate) fn submit(&mut self, request: Request, outbox: Arc<Outbox>) -> io::Result<()> {
        let job = Job { request, outbox };
        self.jobs()?.send(job).map_err(|_| io::Error::other("the worker has ended"))
    }

    fn jobs(&mut self) -> io::Result<&Sender<Job>> {
        match self.jobs {
            Some(ref jobs) => Ok(jobs),
            None => Ok(self.jobs.insert(self.start()?)),
        }
    }

    fn start(&self) -> io::Result<Sender<Job>> {
        let (sender, receiver) = channel();
        let (commands, mailbox) = (Arc::clone(&self.commands), Arc::clone(&self.mailbox));
        thread::Builder::new().name("qmp-worker".into()).spawn(move || work(&commands, &mailbox, &receiver))?;
        Ok(sender)
    }
}

/// Runs what comes until the dispatcher is gone. What a client has asked for that is gone by then is not begun.
fn work(commands: &CommandTable, mailbox: &Mailbox, jobs: &Receiver<Job>) {
    let mut scratch = Vec::new();
    while let Ok(Job { request, outbox }) = jobs.recv() {
        if !outbox.is_closed() {
            dispatcher::run(commands, request, &outbox, &mut scratch);
        }
        mailbox.post(Notice::Answered(outbox.session()));
    }
}
