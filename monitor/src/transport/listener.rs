//! A socket that clients connect to.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::net::SocketFlags;
use sockets::Address;
use sockets::tls::Credentials;

use super::poller::{Poller, Source, Watch};
use super::stream::Stream;

/// How long a listener rests when the process has no descriptor left for another client.
const REST: Duration = Duration::from_secs(1);

/// A listening socket in the loop.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: sockets::Listener,
    credentials: Option<Credentials>,
    watch: Watch,
    resting_until: Option<Instant>,
}

impl Listener {
    /// Of clients that must prove themselves, if there are `credentials`.
    pub(crate) const fn new(socket: sockets::Listener, credentials: Option<Credentials>) -> Self {
        Self { socket, credentials, watch: Watch::new(), resting_until: None }
    }

    /// Where it listens: with the port that was chosen, if none was given.
    pub(crate) const fn address(&self) -> &Address {
        self.socket.address()
    }

    /// Has the poller report clients.
    pub(crate) fn watch(&mut self, poller: &Poller, source: Source) -> io::Result<()> {
        let wanted = match self.resting_until {
            None => EventFlags::IN,
            Some(_) => EventFlags::empty(),
        };
        Ok(poller.watch(&self.socket, source, &mut self.watch, wanted)?)
    }

    /// The next client that waits.
    ///
    /// # Errors
    /// There is no room for a client. The listener rests: otherwise the client that keeps waiting would be reported for
    /// ever.
    pub(crate) fn accept(&mut self, now: Instant) -> io::Result<Option<Stream>> {
        let accepted = self.socket.accept(SocketFlags::NONBLOCK);
        if accepted.is_err() {
            self.resting_until = Some(now + REST);
        }
        match (accepted, &self.credentials) {
            (Ok(Some(socket)), Some(credentials)) => Ok(Some(Stream::secured(socket, credentials.accept()?))),
            (Ok(socket), _) => Ok(socket.map(Stream::socket)),
            (Err(error), _) => Err(io::Error::new(error.kind(), format!("{}: {error}", self.address()))),
        }
    }

    /// When it listens again.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.resting_until
    }

    /// Ends the rest.
    pub(crate) fn resume(&mut self) {
        self.resting_until = None;
    }
}
