//! A client that listens while the server connects to it, again and again if so told.
//!
//! ```text
//!   Waiting --(time is over)--> Connecting --(accepted)--> Connected
//!      ^                            |                          |
//!      +--------(refused)-----------+-------(client left)------+
//! ```

use std::io;
use std::mem::replace;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::sockopt::socket_error;
use sockets::tls::Credentials;
use sockets::{Address, Attempt, Remote};
use tracing::debug;

use super::poller::{Poller, Source, Watch};
use super::stream::Stream;
use crate::outbox::SessionId;

/// An address that is connected to.
#[derive(Debug)]
pub(crate) struct Connector {
    remote: Remote,
    /// What the host of this name must prove itself to.
    tls: Option<(Credentials, String)>,
    reconnect: Option<Duration>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The next attempt is at this time; never, if there is none.
    Waiting(Option<Instant>),
    Connecting(OwnedFd, Watch),
    Connected(SessionId),
}

impl Connector {
    /// Connects to `address`; with `credentials`, over TLS.
    ///
    /// # Errors
    /// The first attempt failed and there is to be no other.
    pub(crate) fn connect(
        address: Address,
        credentials: Option<Credentials>,
        reconnect: Option<Duration>,
        now: Instant,
    ) -> io::Result<(Self, Option<Stream>)> {
        let remote = Remote::resolve(address, credentials.as_ref())?;
        let tls = credentials.map(|credentials| secured(credentials, remote.address())).transpose()?;
        let mut connector = Self { remote, tls, reconnect, state: State::Waiting(None) };
        match (connector.first(), reconnect) {
            (Ok(stream), _) => Ok((connector, Some(stream))),
            (Err(error), None) => Err(error),
            (Err(error), Some(_)) => {
                connector.failed(&error, now);
                Ok((connector, None))
            }
        }
    }

    /// The first attempt is made before the loop runs, and may wait for its outcome.
    fn first(&self) -> io::Result<Stream> {
        let socket = self.remote.connect()?;
        fcntl_setfl(&socket, fcntl_getfl(&socket)? | OFlags::NONBLOCK)?;
        self.stream(socket)
    }

    /// When the next attempt is due.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(deadline) => deadline,
            State::Connecting(..) | State::Connected(_) => None,
        }
    }

    /// Makes the next attempt. Returns the stream if it succeeds at once.
    pub(crate) fn retry(&mut self, now: Instant, poller: &Poller, source: Source) -> Option<Stream> {
        match self.attempt(poller, source) {
            Ok(stream) => stream,
            Err(error) => {
                self.failed(&error, now);
                None
            }
        }
    }

    fn attempt(&mut self, poller: &Poller, source: Source) -> io::Result<Option<Stream>> {
        match self.remote.begin()? {
            Attempt::Connected(socket) => self.stream(socket).map(Some),
            Attempt::Begun(socket) => {
                let mut watch = Watch::new();
                poller.watch(&socket, source, &mut watch, EventFlags::OUT)?;
                self.state = State::Connecting(socket, watch);
                Ok(None)
            }
        }
    }

    /// The poller reports the outcome of an attempt. Returns the stream if it has succeeded.
    pub(crate) fn finish(&mut self, now: Instant, poller: &Poller, source: Source) -> Option<Stream> {
        match replace(&mut self.state, State::Waiting(None)) {
            State::Connecting(socket, mut watch) => {
                match outcome(&socket, poller, source, &mut watch).and_then(|()| self.stream(socket)) {
                    Ok(stream) => return Some(stream),
                    Err(error) => self.failed(&error, now),
                }
            }
            other @ (State::Waiting(_) | State::Connected(_)) => self.state = other,
        }
        None
    }

    /// The stream became this session.
    pub(crate) fn connected(&mut self, session: SessionId) {
        self.state = State::Connected(session);
    }

    /// This session is over.
    pub(crate) fn disconnected(&mut self, session: SessionId, now: Instant) {
        match self.state {
            State::Connected(own) if own == session => self.wait(now),
            State::Connected(_) | State::Waiting(_) | State::Connecting(..) => {}
        }
    }

    fn stream(&self, socket: OwnedFd) -> io::Result<Stream> {
        match &self.tls {
            None => Ok(Stream::socket(socket)),
            Some((credentials, host)) => Ok(Stream::secured(socket, credentials.connect(host)?)),
        }
    }

    fn failed(&mut self, error: &io::Error, now: Instant) {
        debug!(address = %self.remote.address(), %error, "cannot connect");
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        self.state = State::Waiting(self.reconnect.map(|interval| now + interval));
    }
}

fn secured(credentials: Credentials, address: &Address) -> io::Result<(Credentials, String)> {
    match address {
        Address::Inet(inet) => Ok((credentials, inet.host.clone())),
        Address::Unix(_) | Address::Abstract { .. } | Address::Inherited(_) => {
            let message = "TLS takes a host name to compare the server's certificate with";
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}

fn outcome(socket: &OwnedFd, poller: &Poller, source: Source, watch: &mut Watch) -> io::Result<()> {
    poller.watch(socket, source, watch, EventFlags::empty())?;
    Ok(socket_error(socket)??)
}
