//! A socket that clients connect to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{SocketFlags, accept_with, bind, getsockname, listen};

use super::endpoint::Endpoint;
use super::poller::{Poller, Source, Watch};
use super::socket_file::SocketFile;
use super::stream::Stream;

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long a listener rests when the process has no descriptor left for another client.
const REST: Duration = Duration::from_secs(1);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    endpoint: Endpoint,
    watch: Watch,
    resting_until: Option<Instant>,
    _file: Option<SocketFile>,
}

impl Listener {
    /// Listens at `endpoint`.
    pub(crate) fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        endpoint.check()?;
        Self::bind_checked(endpoint).map_err(|error| endpoint.error(&error))
    }

    fn bind_checked(endpoint: &Endpoint) -> io::Result<Self> {
        let socket = endpoint.socket(SocketFlags::NONBLOCK)?;
        let (endpoint, file) = match endpoint {
            Endpoint::Unix(path) => (endpoint.clone(), Some(SocketFile::bind(&socket, path)?)),
            Endpoint::Tcp(address) => {
                set_socket_reuseaddr(&socket, true)?;
                bind(&socket, address)?;
                (Endpoint::Tcp(SocketAddr::try_from(getsockname(&socket)?)?), None)
            }
        };
        listen(&socket, BACKLOG)?;
        Ok(Self { socket, endpoint, watch: Watch::new(), resting_until: None, _file: file })
    }

    /// Where it listens: with the port that was chosen, if none was given.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
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
        match retry_on_intr(|| accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)) {
            Ok(socket) => {
                if let Endpoint::Tcp(_) = self.endpoint {
                    set_tcp_nodelay(&socket, true)?;
                }
                Ok(Some(Stream::socket(socket)))
            }
            Err(Errno::AGAIN | Errno::CONNABORTED) => Ok(None),
            Err(error) => {
                self.resting_until = Some(now + REST);
                Err(self.endpoint.error(&error.into()))
            }
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
