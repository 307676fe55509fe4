//! The server: accepts clients and gives each of them a connection.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle, Scope};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SocketFlags;
use sockets::tls::Credentials;
use sockets::{Access, Address, Listener};

use super::connection::{self, Outbox};
use super::export::{ExportOptions, Removal, RemovalError, Table};
use super::socket::Socket;
use super::wake::Wake;
use crate::disk::Disk;

/// When descriptors or memory have run out: until they are asked for again, if no client leaves before.
const PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What clients may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for the handshake; `None` for as long as it takes.
    pub handshake: Option<Duration>,
    /// Clients at the same time; `None` for any number.
    pub connections: Option<usize>,
}

impl Limits {
    /// As the options have them: 0 for none, and what is not said is the default.
    pub fn new(handshake_seconds: Option<u32>, max_connections: Option<u32>) -> Self {
        let Self { handshake, connections } = Self::default();
        let time = |seconds: u32| (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        let count = |most: u32| (most > 0).then_some(most as usize);
        Self {
            handshake: handshake_seconds.map_or(handshake, time),
            connections: max_connections.map_or(connections, count),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake: Some(Duration::from_secs(10)), connections: Some(100) }
    }
}

/// A server with its clients, until it is dropped: then it has closed all connections, and every request of theirs is
/// answered.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    accepting: Option<JoinHandle<()>>,
}

/// What the server's threads share.
struct Shared {
    limits: Limits,
    /// What clients need, if they do.
    credentials: Option<Credentials>,
    table: Table,
    clients: Mutex<Clients>,
    wake: Wake,
}

#[derive(Default)]
struct Clients {
    stopping: bool,
    connected: Vec<Arc<Outbox>>,
}

impl Server {
    /// Listens on `address`, for those whom `access` lets in.
    ///
    /// # Errors
    /// It can't be listened on, or the system refuses a thread or a descriptor.
    pub fn start(address: &Address, access: &Access, limits: Limits) -> io::Result<Self> {
        Self::serve(Listener::bind(address, access)?, access, limits)
    }

    /// Listens on a socket that was handed over, which goes by the name `address`.
    ///
    /// # Errors
    /// It can't listen, or not safely, or the system refuses a thread or a descriptor.
    pub fn start_on(socket: OwnedFd, address: &Address, access: &Access, limits: Limits) -> io::Result<Self> {
        Self::serve(vec![Listener::adopt(socket, address, access)?], access, limits)
    }

    fn serve(listeners: Vec<Listener>, access: &Access, limits: Limits) -> io::Result<Self> {
        let addresses = listeners.iter().map(Listener::address).cloned().collect();
        let shared = Arc::new(Shared {
            limits,
            credentials: access.credentials().cloned(),
            table: Table::default(),
            clients: Mutex::default(),
            wake: Wake::new()?,
        });
        let accepting = thread::Builder::new().name("nbd-accept".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(listeners)
        })?;
        Ok(Self { shared, addresses, accepting: Some(accepting) })
    }

    /// Where it listens, with the port it was given. A host name can stand for several.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Offers a disk. Returns whether the name was free.
    ///
    /// `gone` is called once, from any thread and without locks, when the export was removed and the last request of
    /// its last client is answered.
    pub fn add(
        &self,
        options: ExportOptions,
        disk: Arc<dyn Disk>,
        gone: impl FnOnce() + Send + Sync + 'static,
    ) -> bool {
        self.shared.table.add(options, disk, gone)
    }

    /// Stops offering a disk.
    ///
    /// # Errors
    /// There is none of this name, or it may not be removed now.
    pub fn remove(&self, name: &str, removal: Removal) -> Result<(), RemovalError> {
        self.shared.table.remove(name, removal)
    }

    /// Removes all exports, closes all connections, and waits for their requests.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.close();
        let panicked = self.accepting.take().is_some_and(|accepting| accepting.join().is_err());
        if panicked {
            tracing::error!("a thread of the NBD server panicked");
        }
    }
}

impl Shared {
    fn close(&self) {
        self.table.clear();
        let mut clients = self.clients.lock();
        clients.stopping = true;
        clients.connected.iter().for_each(|client| client.close());
        drop(clients);
        self.wake.wake();
    }

    /// The life of the accepting thread. It stops listening at once, and ends after the threads of all clients.
    fn accept(&self, listeners: Vec<Listener>) {
        thread::scope(move |scope| {
            let mut exhausted = false;
            while !self.clients.lock().stopping {
                let ready = self.wait(if exhausted { &[] } else { &listeners });
                exhausted = ready.into_iter().any(|listener| match listener.accept(SocketFlags::empty()) {
                    Ok(Some(socket)) => {
                        self.welcome(socket.into(), scope);
                        false
                    }
                    Ok(None) => false,
                    Err(error) => is_exhaustion(&error),
                });
            }
        });
    }

    /// Waits until clients wait at some of the listeners, or something else has changed.
    fn wait<'a>(&self, listeners: &'a [Listener]) -> Vec<&'a Listener> {
        let mut polled: Vec<_> = listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
        polled.push(PollFd::new(&self.wake, PollFlags::IN));
        let timeout = if listeners.is_empty() { Some(&PAUSE) } else { None };
        if let Err(error) = retry_on_intr(|| poll(&mut polled, timeout)) {
            tracing::warn!(%error, "cannot wait for NBD clients");
        }
        self.wake.clear();
        let ready = listeners.iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        ready.map(|(listener, _)| listener).collect()
    }

    /// Starts to serve a client, or turns it away by closing its connection.
    fn welcome<'scope>(&'scope self, socket: Socket, scope: &'scope Scope<'scope, '_>) {
        let registration = match self.register(socket) {
            Ok(Some(registration)) => registration,
            Ok(None) => return tracing::warn!("an NBD client was turned away: there are enough"),
            Err(error) => return tracing::warn!(%error, "an NBD client was turned away"),
        };
        let thread = thread::Builder::new().name("nbd-client".into());
        if let Err(error) = thread.spawn_scoped(scope, move || registration.serve()) {
            tracing::warn!(%error, "an NBD client was turned away");
        }
    }

    /// `None` if there are clients enough, or none are wanted any more.
    fn register(&self, socket: Socket) -> io::Result<Option<Registration<'_>>> {
        let mut clients = self.clients.lock();
        if self.limits.connections.is_some_and(|limit| clients.connected.len() >= limit) || clients.stopping {
            return Ok(None);
        }
        let outbox = Arc::new(Outbox::new(socket)?);
        clients.connected.push(Arc::clone(&outbox));
        Ok(Some(Registration { shared: self, outbox }))
    }
}

/// A client that counts as connected, until it is dropped.
struct Registration<'a> {
    shared: &'a Shared,
    outbox: Arc<Outbox>,
}

impl Registration<'_> {
    fn serve(&self) {
        let deadline = self.shared.limits.handshake.map(|time| Instant::now() + time);
        connection::serve(&self.outbox, &self.shared.table, self.shared.credentials.as_ref(), deadline);
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.shared.clients.lock().connected.retain(|client| !Arc::ptr_eq(client, &self.outbox));
        // It may have left what others wait for.
        self.shared.wake.wake();
    }
}

/// Whether asking again at once would be in vain, and go on for ever.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted =
        matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM));
    if exhausted {
        tracing::warn!(%error, "cannot accept NBD clients for now");
    }
    exhausted
}
