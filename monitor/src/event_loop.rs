//! The thread that serves every client: it waits for all of them at once, and never for one.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem::replace;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qapi_schema::Error;
use sockets::Address;
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::broadcaster::Broadcaster;
use crate::connection::{Connection, Shared};
use crate::json::Budget;
use crate::mailbox::{Mailbox, Notice};
use crate::options::{Mode, Options};
use crate::outbox::{Outbox, SessionId};
use crate::response::Response;
use crate::transport::{Batch, Connector, Interest, Listener, Poller, Ready, Source, Stream};

/// How long clients that do not read may delay the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many clients of one listener are accepted before others have their turn.
const ACCEPTED: usize = 16;

/// Everything the server waits for.
pub(crate) struct EventLoop {
    mailbox: Arc<Mailbox>,
    broadcaster: Arc<Broadcaster>,
    greeting: Vec<u8>,
    /// For what all clients have begun to say.
    budget: Arc<Budget>,
    poller: Poller,
    /// Each with the place that it is a way to.
    listeners: Vec<(Listener, usize)>,
    places: Vec<Place>,
    connectors: Vec<(Connector, Options)>,
    /// Each with the place that it came to, if any.
    connections: BTreeMap<SessionId, (Connection, Option<usize>)>,
    /// Those that may have to end because their handshake takes too long, by the time they came.
    handshakes: VecDeque<(Instant, SessionId)>,
    sessions: u64,
    /// When the first delayed event is due, or was before a reset.
    delayed_until: Option<Instant>,
    /// When to give up, while the last output is being written.
    ends_at: Option<Instant>,
}

/// What clients connect to by one or several listeners: a name can stand for several addresses.
struct Place {
    options: Options,
    clients: usize,
    /// Clients have been refused since there was room the last time.
    refusing: bool,
}

impl EventLoop {
    /// A loop that looks into `mailbox`, and tells each client `greeting`.
    pub(crate) fn new(mailbox: Arc<Mailbox>, broadcaster: Arc<Broadcaster>, greeting: Vec<u8>) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.watch_mailbox(&mailbox)?;
        Ok(Self {
            mailbox,
            broadcaster,
            greeting,
            budget: Arc::default(),
            poller,
            listeners: Vec::new(),
            places: Vec::new(),
            connectors: Vec::new(),
            connections: BTreeMap::new(),
            handshakes: VecDeque::new(),
            sessions: 0,
            delayed_until: None,
            ends_at: None,
        })
    }

    /// Accepts clients of `listeners`, which share what `options` grant.
    pub(crate) fn add_listeners(
        &mut self,
        listeners: impl IntoIterator<Item = Listener>,
        options: Options,
    ) -> io::Result<()> {
        let place = self.places.len();
        self.places.push(Place { options, clients: 0, refusing: false });
        for mut listener in listeners {
            listener.watch(&self.poller, listener_source(self.listeners.len()))?;
            self.listeners.push((listener, place));
        }
        Ok(())
    }

    /// Serves the client of `connector`, if it is there yet, and makes its further attempts.
    pub(crate) fn add_connector(&mut self, mut connector: Connector, stream: Option<Stream>, options: Options) {
        if let Some(stream) = stream {
            connector.connected(self.add_stream(stream, options));
        }
        self.connectors.push((connector, options));
    }

    /// Serves a client.
    pub(crate) fn add_stream(&mut self, stream: Stream, options: Options) -> SessionId {
        self.add_session(stream, options, None)
    }

    fn add_session(&mut self, stream: Stream, options: Options, place: Option<usize>) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        if stream.is_handshaking() {
            self.handshakes.push_back((Instant::now() + HANDSHAKE, session));
        }
        let outbox = Arc::new(Outbox::new(session, options, Arc::clone(&self.mailbox)));
        let connection = Connection::new(stream, outbox, &self.greeting, Arc::clone(&self.budget));
        let connection = match options.mode {
            Mode::Control => connection,
            Mode::Readline => connection.with_terminal(),
        };
        self.connections.insert(session, (connection, place));
        debug!(session = session.0, "client connected");
        self.mailbox.post(Notice::Output(session));
        session
    }

    /// Accepts clients until one of the latest place is there. None is served before [`Self::run`].
    pub(crate) fn await_client(&mut self) -> io::Result<()> {
        let mut batch = Batch::new();
        while self.places.last().is_some_and(|place| place.clients == 0) {
            let timeout = self.rest_ends_at().map(|end| end.saturating_duration_since(Instant::now()));
            self.poller.wait(timeout, &mut batch)?;
            for ready in batch.iter() {
                if let Source::Listener(index) = ready.source {
                    self.accept(index as usize);
                }
            }
            let now = Instant::now();
            self.resume_listeners(|deadline| deadline <= now);
        }
        Ok(())
    }

    /// Serves everybody until the notice to end.
    pub(crate) fn run(mut self, mut shared: Shared) -> io::Result<()> {
        let (mut batch, mut notices) = (Batch::new(), Vec::new());
        while !self.is_over() {
            let deadline = self.deadline();
            let timeout = if self.mailbox.may_sleep() {
                deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
            } else {
                Some(Duration::ZERO)
            };
            self.poller.wait(timeout, &mut batch)?;
            self.mailbox.collect(&mut notices);
            for ready in batch.iter() {
                self.handle_ready(ready, &mut shared);
            }
            for notice in notices.drain(..) {
                self.handle_notice(notice, &mut shared);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.keep_deadlines(Instant::now());
                self.end_handshakes(Instant::now(), &mut shared);
            }
        }
        for (session, is_idle) in
            self.connections.iter().map(|(id, (client, _))| (*id, client.is_idle())).collect::<Vec<_>>()
        {
            if is_idle {
                warn!(session = session.0, "client does not read: it is left without its last messages");
            } else {
                info!(session = session.0, "a command does not end: it is left without its answer");
            }
            self.close(session, &mut shared);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.ends_at.is_some_and(|ends_at| self.connections.is_empty() || ends_at <= Instant::now())
    }

    /// When something happens by itself.
    fn deadline(&self) -> Option<Instant> {
        let connectors = self.connectors.iter().filter_map(|(connector, _)| connector.deadline());
        let handshakes = self.handshakes.front().map(|(deadline, _)| *deadline);
        connectors.chain(self.rest_ends_at()).chain(handshakes).chain(self.delayed_until).chain(self.ends_at).min()
    }

    /// When a listener that rests goes on.
    fn rest_ends_at(&self) -> Option<Instant> {
        self.listeners.iter().filter_map(|(listener, _)| listener.deadline()).min()
    }

    fn keep_deadlines(&mut self, now: Instant) {
        if self.delayed_until.take_if(|deadline| *deadline <= now).is_some() {
            self.broadcaster.expire();
        }
        self.resume_listeners(|deadline| deadline <= now);
        for index in 0..self.connectors.len() {
            let source = connector_source(index);
            let Some((connector, _)) = self.connectors.get_mut(index) else { return };
            if connector.deadline().is_some_and(|deadline| deadline <= now)
                && let Some(stream) = connector.retry(now, &self.poller, source)
            {
                self.connected(index, stream);
            }
        }
    }

    /// Nobody waits for ever for a peer that does not say who it is.
    fn end_handshakes(&mut self, now: Instant, shared: &mut Shared) {
        while let Some((_, session)) = self.handshakes.pop_front_if(|(deadline, _)| *deadline <= now) {
            let Some((connection, _)) = self.connections.get_mut(&session) else { continue };
            let stream = connection.stream();
            if stream.is_handshaking() {
                let (address, peer) = stream.addresses();
                let (address, peer) = (address.map(display), peer.map(display));
                warn!(session = session.0, address, peer, "TLS handshake takes too long: client is disconnected");
                self.close(session, shared);
            }
        }
    }

    fn handle_ready(&mut self, ready: Ready, shared: &mut Shared) {
        match ready.source {
            Source::Mailbox => self.mailbox.rearm(),
            Source::Listener(index) => self.accept(index as usize),
            Source::Connector(index) => {
                let (index, now) = (index as usize, Instant::now());
                let connector = self.connectors.get_mut(index);
                let finish = |(connector, _): &mut (Connector, _)| connector.finish(now, &self.poller, ready.source);
                if let Some(stream) = connector.and_then(finish) {
                    self.connected(index, stream);
                }
            }
            Source::Session(session) => self.serve(session, ready.readable, shared),
        }
    }

    fn handle_notice(&mut self, notice: Notice, shared: &mut Shared) {
        match notice {
            Notice::Output(session) => self.serve(session, false, shared),
            Notice::Overflow(session) => warn!(session = session.0, "client does not read: its events are dropped"),
            Notice::Answered(session) => {
                if let Some((connection, _)) = self.connections.get_mut(&session) {
                    connection.unblock();
                }
                self.serve(session, false, shared);
            }
            Notice::Deadline(deadline) => self.delayed_until = deadline,
            Notice::Call(call) => call(),
            Notice::Shutdown => self.begin_to_end(shared),
        }
    }

    /// Gives a client its turn.
    fn serve(&mut self, session: SessionId, readable: bool, shared: &mut Shared) {
        let Some((connection, _)) = self.connections.get_mut(&session) else { return };
        if self.ends_at.is_some() {
            connection.end_input();
        }
        let readable = readable || connection.stream().is_always_readable();
        connection.take_turn(shared, readable);
        if connection.is_over() {
            return self.close(session, shared);
        }
        let interest = connection.interest();
        match connection.stream().watch(&self.poller, Source::Session(session), interest) {
            Ok(()) if connection.wants_turn() || interest.input && connection.stream().is_always_readable() => {
                self.mailbox.post(Notice::Output(session));
            }
            Ok(()) => {}
            Err(error) => {
                warn!(session = session.0, %error, "cannot serve client");
                self.close(session, shared);
            }
        }
    }

    fn close(&mut self, session: SessionId, shared: &mut Shared) {
        self.broadcaster.unsubscribe(session);
        let Some((mut connection, place)) = self.connections.remove(&session) else { return };
        debug!(session = session.0, "client disconnected");
        // Closing it is not enough where the process has more descriptors of it, as of standard input.
        let nothing = Interest { input: false, output: false };
        if let Err(error) = connection.stream().watch(&self.poller, Source::Session(session), nothing) {
            warn!(session = session.0, %error, "cannot cease to watch client");
        }
        if self.ends_at.is_some() {
            connection.stream().finish(&mut shared.buffer);
        }
        drop(connection);
        let now = Instant::now();
        for (connector, _) in &mut self.connectors {
            connector.disconnected(session, now);
        }
        // There is room for another one.
        if let Some(place) = place.and_then(|index| self.places.get_mut(index)) {
            place.clients -= 1;
            place.refusing = false;
        }
        self.resume_listeners(|_| true);
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTED {
            let Some(&mut (ref mut listener, at)) = self.listeners.get_mut(index) else { return };
            let Some(place) = self.places.get_mut(at) else { return };
            match listener.accept(Instant::now()) {
                Ok(Some(stream)) if place.clients >= place.options.max_clients => {
                    place.refuse(stream, listener.address());
                }
                Ok(Some(stream)) => {
                    place.clients += 1;
                    let options = place.options;
                    self.add_session(stream, options, Some(at));
                }
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "cannot accept clients for a while");
                    return self.watch_listener(index);
                }
            }
        }
    }

    fn connected(&mut self, index: usize, stream: Stream) {
        let Some(&(_, options)) = self.connectors.get(index) else { return };
        let session = self.add_stream(stream, options);
        if let Some((connector, _)) = self.connectors.get_mut(index) {
            connector.connected(session);
        }
    }

    /// Ends the rest of those listeners whose deadline is `due`.
    fn resume_listeners(&mut self, due: impl Fn(Instant) -> bool) {
        for index in 0..self.listeners.len() {
            let Some((listener, _)) = self.listeners.get_mut(index) else { return };
            if listener.deadline().is_some_and(&due) {
                listener.resume();
                self.watch_listener(index);
            }
        }
    }

    fn watch_listener(&mut self, index: usize) {
        let Some((listener, _)) = self.listeners.get_mut(index) else { return };
        if let Err(error) = listener.watch(&self.poller, listener_source(index)) {
            warn!(address = %listener.address(), %error, "cannot accept clients any more");
        }
    }

    /// Takes no client and no request any more, and lets the clients read what there is.
    fn begin_to_end(&mut self, shared: &mut Shared) {
        self.listeners.clear();
        self.connectors.clear();
        self.ends_at.get_or_insert_with(|| Instant::now() + PATIENCE);
        for session in self.connections.keys().copied().collect::<Vec<_>>() {
            self.serve(session, false, shared);
        }
    }
}

impl Place {
    /// Tells a client that there are too many, in place of the greeting, and leaves it.
    fn refuse(&mut self, mut stream: Stream, address: &Address) {
        let max = self.options.max_clients;
        if !replace(&mut self.refusing, true) {
            warn!(%address, max, "too many clients: those who come now are refused");
        }
        let error = Error::generic(format!("Too many clients: this monitor serves {max} at a time"));
        let message = match self.options.mode {
            Mode::Control => {
                let mut message = Vec::new();
                Response::error(None, error).write(&mut message);
                message
            }
            Mode::Readline => format!("{error}\r\n").into_bytes(),
        };
        // Whoever does not take it is left without, as one that would have to say first who it is.
        let _ = stream.write(&message);
        stream.finish(&mut [0; 512]);
    }
}

fn listener_source(index: usize) -> Source {
    Source::Listener(u32::try_from(index).unwrap_or(u32::MAX))
}

fn connector_source(index: usize) -> Source {
    Source::Connector(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockets::Access;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::thread;

    fn event_loop() -> EventLoop {
        let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
        let broadcaster = Arc::new(Broadcaster::new(Arc::clone(&mailbox)));
        EventLoop::new(mailbox, broadcaster, Vec::new()).expect("epoll")
    }

    fn listener(path: &Path) -> Listener {
        let sockets = sockets::Listener::bind(&Address::Unix(path.to_owned()), &Access::default());
        Listener::new(sockets.expect("a free path").remove(0), None)
    }

    #[test]
    fn a_client_that_is_awaited_has_come_to_the_latest_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ["a", "b"].map(|name| directory.path().join(name));
        let mut event_loop = event_loop();
        for path in &paths {
            event_loop.add_listeners([listener(path)], Options::default()).expect("epoll");
        }
        let _first = UnixStream::connect(&paths[0]).expect("it listens");
        let waiting = thread::spawn(move || {
            event_loop.await_client().expect("epoll");
            event_loop.places[1].clients
        });
        let _latest = UnixStream::connect(&paths[1]).expect("it listens");
        assert_eq!(waiting.join().expect("no panic"), 1);
    }

    #[test]
    fn the_addresses_of_one_monitor_share_its_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ["a", "b"].map(|name| directory.path().join(name));
        let mut event_loop = event_loop();
        let options = Options { max_clients: 1, ..Options::default() };
        event_loop.add_listeners(paths.iter().map(|path| listener(path)), options).expect("epoll");

        let _clients = paths.each_ref().map(|path| UnixStream::connect(path).expect("it listens"));
        event_loop.accept(0);
        event_loop.accept(1);
        assert_eq!(event_loop.connections.len(), 1);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_client_that_does_not_say_who_it_is_has_ten_seconds() {
        use std::io::Read;
        use std::net::{TcpListener, TcpStream};

        use crate::dispatcher::Dispatcher;
        use crate::log::logged;

        let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
        let broadcaster = Arc::new(Broadcaster::new(Arc::clone(&mailbox)));
        let dispatcher = Dispatcher::new(Arc::default(), Arc::default(), Arc::clone(&mailbox));
        let mut shared = Shared { broadcaster: Arc::clone(&broadcaster), dispatcher, buffer: Box::new([0; 512]) };
        let mut event_loop = EventLoop::new(mailbox, broadcaster, b"greeting".to_vec()).expect("epoll");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("it listens");
        let (server, peer) = listener.accept().expect("a client");
        server.set_nonblocking(true).expect("flag");
        let before = Instant::now();
        let stream = Stream::secured(server.into(), credentials().accept().expect("a session"));
        let session = event_loop.add_stream(stream, Options::default());
        let after = Instant::now();

        let deadline = event_loop.deadline().expect("it is waited for");
        assert!((before + HANDSHAKE..=after + HANDSHAKE).contains(&deadline));
        event_loop.end_handshakes(deadline - Duration::from_nanos(1), &mut shared);
        event_loop.serve(session, true, &mut shared);
        assert_eq!(event_loop.connections.len(), 1, "too soon");
        let told = logged(|| event_loop.end_handshakes(deadline, &mut shared));
        assert!(told.contains(&format!(" address={address} peer={peer} ")), "{told}");
        assert!(event_loop.connections.is_empty() && event_loop.deadline().is_none());
        // Who is not known is told nothing.
        let mut told = Vec::new();
        client.read_to_end(&mut told).expect("the end");
        assert_eq!(told, b"");
    }

    /// Of a server, which vouches for itself.
    #[cfg(feature = "tls")]
    fn credentials() -> sockets::tls::Credentials {
        use qapi_schema::{FromValue, Visitor, crypto::QCryptoTLSCredsEndpoint};

        let directory = tempfile::tempdir().expect("a directory");
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        for (name, text) in [
            ("ca-cert.pem", pair.cert.pem()),
            ("server-cert.pem", pair.cert.pem()),
            ("server-key.pem", pair.signing_key.serialize_pem()),
        ] {
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        let options = serde_json::json!({
            "endpoint": "server", "dir": directory.path(),
        });
        let objects = sockets::Objects::default();
        objects.add("t", FromValue::from_value(options, &Visitor::json()).expect("options")).expect("readable");
        objects.tls_creds("t", QCryptoTLSCredsEndpoint::Server).expect("there")
    }
}
