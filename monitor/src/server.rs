//! The QMP server, as a program sees it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use qapi_schema::CommandTable;
use sockets::tls::Credentials;
use sockets::{Access, Address};

use crate::broadcaster::Broadcaster;
use crate::connection::Shared;
use crate::dispatcher::Dispatcher;
use crate::event_loop::EventLoop;
use crate::greeting::Version;
use crate::mailbox::{Mailbox, Notice};
use crate::options::{Mode, Options};
use crate::preconfig::Preconfig;
use crate::transport::{Connector, Listener, RawMode, open_stdio};

/// How much is read of one client before others have their turn.
const BUFFER: usize = 32 << 10;

/// A QMP server: its addresses first, then [`Self::run`].
///
/// The commands come last, because those who carry them out want the [`Self::broadcaster`] and a [`Self::handle`].
pub struct Server {
    mailbox: Arc<Mailbox>,
    broadcaster: Arc<Broadcaster>,
    event_loop: EventLoop,
    options: Options,
    preconfig: Arc<Preconfig>,
    /// Of the terminal that a person types on.
    raw: Option<RawMode>,
}

/// Reaches a server from elsewhere, also from its own commands.
#[derive(Clone, Debug)]
pub struct Handle {
    mailbox: Arc<Mailbox>,
}

impl Server {
    /// A server without addresses.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn new(version: &Version) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::new()?);
        let broadcaster = Arc::new(Broadcaster::new(Arc::clone(&mailbox)));
        let event_loop = EventLoop::new(Arc::clone(&mailbox), Arc::clone(&broadcaster), version.greeting())?;
        let (options, preconfig) = (Options::default(), Arc::default());
        Ok(Self { mailbox, broadcaster, event_loop, options, preconfig, raw: None })
    }

    /// Sets how the clients of the endpoints are treated that are added from now on.
    pub const fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Where events are sent to reach the clients.
    pub fn broadcaster(&self) -> Arc<Broadcaster> {
        Arc::clone(&self.broadcaster)
    }

    /// A handle, which may outlive the server.
    pub fn handle(&self) -> Handle {
        Handle { mailbox: Arc::clone(&self.mailbox) }
    }

    /// What says which commands are permitted now.
    pub fn preconfig(&self) -> Arc<Preconfig> {
        Arc::clone(&self.preconfig)
    }

    /// Listens at `address` for any number of clients, each with a session of its own. They are served once the server
    /// runs. Returns where it listens, which can be several addresses of a host, with the port that was chosen if it was
    /// 0.
    ///
    /// The file of a unix socket replaces one that nobody serves, and is removed when the server ends.
    ///
    /// # Errors
    /// The address is in use, or not allowed, or cannot be had.
    pub fn listen(&mut self, address: &Address, access: &Access) -> io::Result<Vec<Address>> {
        let sockets = sockets::Listener::bind(address, access)?;
        let bound = sockets.iter().map(|socket| socket.address().clone()).collect();
        let listener = |socket| Listener::new(socket, access.credentials().cloned());
        self.event_loop.add_listeners(sockets.into_iter().map(listener), self.options)?;
        Ok(bound)
    }

    /// Waits for a client of the address that was listened at last. It is served once the server runs.
    ///
    /// # Errors
    /// Waiting failed.
    pub fn await_client(&mut self) -> io::Result<()> {
        self.event_loop.await_client()
    }

    /// Connects to a client that listens at `address`; with `credentials`, over TLS. With an interval to `reconnect`, tries
    /// again and again whenever there is no connection.
    ///
    /// # Errors
    /// The address is not allowed; or nobody listens there, and there is no interval.
    pub fn connect(
        &mut self,
        address: Address,
        credentials: Option<Credentials>,
        reconnect: Option<Duration>,
    ) -> io::Result<()> {
        let (connector, stream) = Connector::connect(address, credentials, reconnect, Instant::now())?;
        self.event_loop.add_connector(connector, stream, self.options);
        Ok(())
    }

    /// Serves a client on stdin and stdout.
    ///
    /// # Errors
    /// They cannot be made non-blocking.
    pub fn stdio(&mut self) -> io::Result<()> {
        if self.options.mode == Mode::Readline {
            self.raw = RawMode::enter();
        }
        self.event_loop.add_stream(open_stdio()?, self.options);
        Ok(())
    }

    /// Serves all clients on this thread, until [`Handle::shutdown`].
    ///
    /// # Errors
    /// Waiting for the clients failed.
    pub fn run(self, commands: Arc<CommandTable>) -> io::Result<()> {
        let dispatcher = Dispatcher::new(commands, self.preconfig, self.mailbox);
        let buffer = vec![0; BUFFER].into_boxed_slice();
        // Until the end.
        let _raw = self.raw;
        self.event_loop.run(Shared { broadcaster: self.broadcaster, dispatcher, buffer })
    }

    /// Serves all clients on a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(self, commands: Arc<CommandTable>) -> io::Result<JoinHandle<io::Result<()>>> {
        thread::Builder::new().name("qmp".into()).spawn(|| self.run(commands))
    }
}

impl Handle {
    /// Ends the server. Requests that have not begun are not run; clients get what was answered and emitted up to now,
    /// as far as they read it within a second.
    pub fn shutdown(&self) {
        self.mailbox.post(Notice::Shutdown);
    }

    /// Calls `call` on the server's thread, once the commands that run there now have been answered. A command whose
    /// effect is to come after its reply uses this.
    pub fn after_replies(&self, call: impl FnOnce() + Send + 'static) {
        self.mailbox.post(Notice::Call(Box::new(call)));
    }
}
