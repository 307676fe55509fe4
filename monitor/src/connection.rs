//! One client: its stream, its session and its outbox, and the turns they take.
//!
//! A turn reads, runs what that completes, and writes the answers together with what is queued; and again, as long as
//! the client is there with its next request. It ends when others have waited long enough, for a number of commands or for
//! those that make much output. Input waits, in the kernel and at most one buffer of it here, while the session wants none
//! and while the client does not read.

use std::io;
use std::mem::take;
use std::sync::Arc;

use tracing::{debug, warn};

use crate::broadcaster::Broadcaster;
use crate::dispatcher::{Dispatcher, Progress};
use crate::event::EventMessage;
use crate::hmp::Terminal;
use crate::json::Budget;
use crate::outbox::Outbox;
use crate::response::Response;
use crate::session::{Session, Step};
use crate::transport::{Interest, Stream};

/// Memory that a connection keeps for its output.
const KEPT: usize = 512;

/// How often a client is read before others have their turn. One that waits for each answer has often sent its next
/// request by the time when the answer is written: looking at once is cheaper than asking the poller.
const READS: usize = 16;

/// How many items of its input are looked at in one turn.
const ITEMS: usize = 256;

/// A client that is connected.
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    outbox: Arc<Outbox>,
    /// Taken from the outbox and not yet written.
    unsent: Vec<u8>,
    /// How much of it is written.
    sent: usize,
    input: Input,
    /// Read, and not yet looked at.
    backlog: Vec<u8>,
    /// Stands between a person and the session.
    terminal: Option<Box<Terminal>>,
}

/// What may happen to input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// The client has said all it will, or the server listens no more.
    Ended,
}

/// What connections share.
pub(crate) struct Shared {
    pub(crate) broadcaster: Arc<Broadcaster>,
    pub(crate) dispatcher: Dispatcher,
    /// What is read goes here first.
    pub(crate) buffer: Box<[u8]>,
}

impl Connection {
    /// A client that is first told `greeting`.
    pub(crate) fn new(stream: Stream, outbox: Arc<Outbox>, greeting: &[u8], budget: Arc<Budget>) -> Self {
        outbox.answer(greeting);
        let (unsent, backlog) = (Vec::new(), Vec::new());
        Self {
            stream,
            session: Session::sharing(Arc::clone(outbox.client()), budget),
            outbox,
            unsent,
            sent: 0,
            input: Input::Open,
            backlog,
            terminal: None,
        }
    }

    /// A client that is a person.
    pub(crate) fn with_terminal(mut self) -> Self {
        self.terminal = Some(Box::default());
        self
    }

    /// Does what can be done without waiting; reads if there is something `readable`.
    ///
    /// When it is done, input waits for a reason: for more of it, for the client to read what could not be written, for
    /// the answer of a command, or [for another turn](Self::wants_turn).
    pub(crate) fn take_turn(&mut self, shared: &mut Shared, readable: bool) {
        let mut reads = if readable { READS } else { 0 };
        // What is queued goes out in one write with the answers, if there are going to be any.
        if !readable || !self.unsent.is_empty() || self.outbox.is_congested() {
            self.flush();
        }
        let mut items = ITEMS;
        while items > 0 && !self.outbox.is_congested() {
            if self.wants_turn() {
                let backlog = take(&mut self.backlog);
                self.run(&backlog, &mut items, &mut shared.dispatcher, &shared.broadcaster);
            } else if self.wants_to_read() && reads > 0 {
                reads = if self.read(&mut items, shared) { reads - 1 } else { 0 };
            } else {
                break;
            }
            let has_said_much = self.outbox.is_congested();
            self.flush();
            if has_said_much {
                break;
            }
        }
    }

    /// There is something to do that waits for nothing but a turn.
    pub(crate) fn wants_turn(&self) -> bool {
        let has_input = self.session.has_next() || !self.backlog.is_empty() && self.session.wants_input();
        has_input && !self.outbox.is_congested()
    }

    /// The command that ran elsewhere has been answered.
    pub(crate) const fn unblock(&mut self) {
        self.session.finish();
    }

    /// Reads and runs nothing more. A command that runs elsewhere is still answered.
    pub(crate) fn end_input(&mut self) {
        self.input = Input::Ended;
        self.backlog = Vec::new();
        self.session.clear();
    }

    /// No command runs elsewhere.
    pub(crate) fn is_idle(&self) -> bool {
        self.session.is_idle()
    }

    /// There is nothing more to read, and nothing more to write.
    pub(crate) fn is_over(&self) -> bool {
        self.input == Input::Ended
            && self.backlog.is_empty()
            && self.session.is_idle()
            && self.outbox.is_empty()
            && self.unsent.is_empty()
    }

    /// What the stream is to be watched for.
    pub(crate) fn interest(&self) -> Interest {
        let input = self.wants_to_read() && self.backlog.is_empty() && !self.outbox.is_congested();
        Interest { input, output: !self.unsent.is_empty() }
    }

    pub(crate) const fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    fn wants_to_read(&self) -> bool {
        self.input == Input::Open && self.session.wants_input() && self.may_read()
    }

    /// People wait for an answer, and see it, before they are heard again.
    fn may_read(&self) -> bool {
        self.terminal.as_ref().is_none_or(|terminal| terminal.wants_input() && self.unsent.is_empty())
    }

    /// Reads, and runs what that completes. Returns whether all of it was read, and there may be more by now.
    fn read(&mut self, items: &mut usize, shared: &mut Shared) -> bool {
        let mut received = Vec::new();
        let outcome = self.stream.receive(&mut shared.buffer, &mut received);
        if !received.is_empty() {
            self.session.receive(received);
        }
        match outcome {
            Ok(0) => self.input = Input::Ended,
            Ok(length) => {
                let input = shared.buffer.get(..length).unwrap_or_default();
                if let Some(terminal) = &mut self.terminal {
                    terminal.handle_input(input);
                    return false;
                }
                self.run(input, items, &mut shared.dispatcher, &shared.broadcaster);
                return length < shared.buffer.len();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                debug!(session = self.outbox.session().0, %error, "cannot read");
                self.input = Input::Ended;
            }
        }
        false
    }

    /// Runs what waits and the requests in `input`, at most so many `items`, as long as the session takes any, or until
    /// there is more output than the client should have.
    fn run(&mut self, mut input: &[u8], items: &mut usize, dispatcher: &mut Dispatcher, broadcaster: &Broadcaster) {
        while *items > 0 && !self.outbox.is_congested() {
            let Some(step) = self.session.handle_input(&mut input) else { break };
            *items -= 1;
            match step {
                Step::Answer(response) => self.answer(&response),
                Step::Negotiated(response) => {
                    self.answer(&response);
                    broadcaster.subscribe(Arc::clone(&self.outbox));
                }
                Step::Run(request) => match dispatcher.run(request, &self.outbox) {
                    Progress::Answered => {}
                    Progress::Running => self.session.begin(),
                },
            }
        }
        if !input.is_empty() {
            self.backlog = input.to_vec();
        }
    }

    fn answer(&self, response: &Response) {
        let mut message = Vec::new();
        response.write(&mut message);
        self.outbox.answer(&message);
    }

    /// Writes all that is queued by now, or as much as the client takes.
    fn flush(&mut self) {
        self.write();
        if self.unsent.is_empty() {
            self.outbox.take(&mut self.unsent);
            self.translate();
            self.write();
        }
    }

    /// Makes text of what the session says to a person, and requests of what the person has typed.
    fn translate(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.handle_messages(&self.unsent);
            self.outbox.wrote(self.unsent.len(), |lost| EventMessage::now(&lost));
            self.unsent = terminal.take_screen();
            self.backlog.extend(terminal.take_requests());
        }
    }

    /// Writes what was taken.
    fn write(&mut self) {
        while let Some(rest @ [_, ..]) = self.unsent.get(self.sent..) {
            match self.stream.write(rest) {
                Ok(length) => {
                    self.sent += length;
                    if self.terminal.is_none()
                        && let Some(lost) = self.outbox.wrote(length, |lost| EventMessage::now(&lost))
                    {
                        warn!(session = self.outbox.session().0, lost, "client reads again, and has missed events");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    debug!(session = self.outbox.session().0, %error, "cannot write");
                    self.outbox.close();
                    break;
                }
            }
        }
        self.sent = 0;
        self.unsent.clear();
        self.unsent.shrink_to(KEPT);
    }
}

/// Whoever still holds the outbox must not fill it.
impl Drop for Connection {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;
    use crate::options::Options;
    use crate::outbox::SessionId;
    use crate::transport::{Batch, Poller, Source};
    use proptest::prelude::*;
    use qapi_schema::{Command, CommandOptions, CommandTable};
    use rustix::net::sockopt::set_socket_send_buffer_size;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    const LIMIT: usize = 2_000;

    /// A connection over a narrow socket, and the loop around it.
    struct Bench {
        connection: Connection,
        shared: Shared,
        poller: Poller,
        client: UnixStream,
        received: Vec<u8>,
        ran: Arc<AtomicUsize>,
    }

    impl Bench {
        fn new() -> Self {
            Self::over(SocketType::STREAM)
        }

        fn over(kind: SocketType) -> Self {
            let (client, server) =
                socketpair(AddressFamily::UNIX, kind, SocketFlags::NONBLOCK, None).expect("socketpair");
            set_socket_send_buffer_size(&server, 1).expect("size");
            let mailbox = Arc::new(Mailbox::new().expect("eventfd"));
            let outbox = Arc::new(Outbox::new(
                SessionId(1),
                Options { outbuf: LIMIT, ..Options::default() },
                Arc::clone(&mailbox),
            ));
            let ran = Arc::new(AtomicUsize::new(0));
            let shared = Shared {
                broadcaster: Arc::new(Broadcaster::new(Arc::clone(&mailbox))),
                dispatcher: Dispatcher::new(Arc::new(commands(&ran)), Arc::default(), mailbox),
                buffer: vec![0; 300].into_boxed_slice(),
            };
            let connection = Connection::new(Stream::socket(server), outbox, b"hello\r\n", Arc::default());
            let poller = Poller::new().expect("epoll");
            let client = UnixStream::from(client);
            let mut bench = Self { connection, shared, poller, client, received: Vec::new(), ran };
            bench.connection.take_turn(&mut bench.shared, false);
            bench.watch();
            bench
        }

        fn watch(&mut self) {
            let interest = self.connection.interest();
            let source = Source::Session(SessionId(1));
            self.connection.stream().watch(&self.poller, source, interest).expect("epoll");
        }

        /// Gives the connection turns until it waits, as the event loop does.
        fn settle(&mut self) {
            let mut batch = Batch::new();
            loop {
                self.poller.wait(Some(Duration::ZERO), &mut batch).expect("epoll");
                let readable = batch.iter().next().map(|ready| ready.readable);
                if readable.is_none() && !self.connection.wants_turn() {
                    return;
                }
                self.connection.take_turn(&mut self.shared, readable == Some(true));
                if self.connection.is_over() {
                    return;
                }
                self.watch();
            }
        }

        /// Writes at most `length` bytes of `input`.
        fn send(&mut self, input: &mut &[u8], length: usize) {
            let some = input.get(..length.min(input.len())).expect("within");
            if let Ok(sent) = self.client.write(some) {
                *input = input.get(sent..).expect("within");
            }
            self.settle();
        }

        /// Reads at most `length` bytes.
        fn receive(&mut self, length: usize) {
            let mut buffer = vec![0; length];
            if let Ok(length) = self.client.read(&mut buffer) {
                self.received.extend_from_slice(&buffer[..length]);
            }
            self.settle();
        }

        fn replies(&self) -> usize {
            self.received.iter().filter(|&&byte| byte == b'\n').count()
        }
    }

    /// Two names for one thing.
    fn commands(ran: &Arc<AtomicUsize>) -> CommandTable {
        let command = |name| {
            let ran = Arc::clone(ran);
            Command::new(name, CommandOptions::default(), move |members| {
                members.finish()?;
                Ok(Box::new(ran.fetch_add(1, Ordering::Relaxed)))
            })
        };
        ["query-count", "count"].map(command).into_iter().collect()
    }

    /// Negotiation and `count` queries.
    fn queries(count: usize) -> Vec<u8> {
        let queries = b"{'execute': 'query-count'}".repeat(count);
        [b"{'execute': 'qmp_capabilities'}".as_slice(), &queries].concat()
    }

    fn all_replies(count: usize) -> String {
        let replies = (0..count).map(|number| format!("{{\"return\": {number}}}\r\n"));
        ["hello\r\n{\"return\": {}}\r\n".to_owned()].into_iter().chain(replies).collect()
    }

    #[test]
    fn what_is_queued_and_the_answers_to_a_batch_go_out_in_one_write() {
        // Where one read returns what one write wrote.
        let mut bench = Bench::over(SocketType::SEQPACKET);
        bench.receive(1_000);
        assert_eq!(bench.received, b"hello\r\n");
        bench.connection.outbox.event(&EventMessage { name: "EVENT", text: b"event\r\n".into() });
        bench.send(&mut queries(5).as_slice(), usize::MAX);
        bench.receive(1_000);
        assert_eq!(str::from_utf8(&bench.received), Ok(all_replies(5).replace("hello", "hello\r\nevent").as_str()));
    }

    #[test]
    fn commands_of_a_client_that_does_not_read_are_not_run() {
        let mut bench = Bench::new();
        let queries = queries(2_000);
        let mut input = queries.as_slice();
        for _ in 0..1_000 {
            bench.send(&mut input, 100);
        }
        let ran = bench.ran.load(Ordering::Relaxed);
        assert!((10..1_500).contains(&ran), "{ran} commands were run");
        let unread = bench.connection.outbox.clone();
        assert!(unread.is_congested());

        while bench.replies() < 2_002 {
            bench.send(&mut input, usize::MAX);
            bench.receive(10_000);
        }
        assert_eq!(str::from_utf8(&bench.received), Ok(all_replies(2_000).as_str()));
    }

    #[test]
    fn a_client_that_has_said_all_gets_all_answers_and_then_it_is_over() {
        let mut bench = Bench::new();
        let queries = queries(500);
        let mut input = queries.as_slice();
        while !input.is_empty() {
            bench.send(&mut input, usize::MAX);
            bench.receive(100);
        }
        bench.client.shutdown(std::net::Shutdown::Write).expect("shutdown");
        while bench.replies() < 502 {
            bench.receive(1_000);
        }
        assert_eq!(str::from_utf8(&bench.received), Ok(all_replies(500).as_str()));
        assert!(bench.connection.is_over());
    }

    #[test]
    fn what_a_client_that_is_gone_asked_for_is_done_and_what_it_asked_is_not_answered() {
        let mut bench = Bench::new();
        bench.send(&mut queries(10).as_slice(), usize::MAX);
        bench.client.write_all(b"{'execute': 'count'} {'execute': 'query-count'} {'execute': 'count'}").expect("room");
        bench.client = UnixStream::pair().expect("socketpair").0;
        bench.connection.outbox.event(&EventMessage { name: "EVENT", text: b"unread".into() });
        bench.connection.take_turn(&mut bench.shared, false);
        bench.settle();
        assert!(bench.connection.is_over());
        assert_eq!(bench.ran.load(Ordering::Relaxed), 12);
    }

    #[test]
    fn others_have_their_turn_before_all_that_a_client_has_said_is_done() {
        let mut bench = Bench::new();
        bench.shared.buffer = vec![0; 100_000].into_boxed_slice();
        let commands = b"{'execute': 'count'}".repeat(1_000);
        bench.client.set_nonblocking(false).expect("flag");
        bench.client.write_all(&[&queries(0), commands.as_slice()].concat()).expect("room");
        bench.client = UnixStream::pair().expect("socketpair").0;
        bench.connection.take_turn(&mut bench.shared, true);
        let ran = bench.ran.load(Ordering::Relaxed);
        assert!((1..ITEMS).contains(&ran), "{ran} commands were run in one turn");
        assert!(bench.connection.wants_turn());
        while bench.connection.wants_turn() {
            bench.connection.take_turn(&mut bench.shared, false);
        }
        assert_eq!(bench.ran.load(Ordering::Relaxed), 1_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the client does in between, nothing waits for ever and nothing is lost.
        #[test]
        fn however_a_client_writes_and_reads_it_gets_every_answer(
            steps in prop::collection::vec((0..3_000_usize, 1..4_000_usize), 1..60),
        ) {
            let mut bench = Bench::new();
            let queries = queries(1_000);
            let mut input = queries.as_slice();
            for (send, receive) in steps {
                bench.send(&mut input, send);
                bench.receive(receive);
            }
            for _ in 0..10_000 {
                bench.send(&mut input, usize::MAX);
                bench.receive(usize::from(u16::MAX));
                if bench.replies() == 1_002 {
                    break;
                }
            }
            prop_assert!(bench.received == all_replies(1_000).into_bytes());
        }
    }
}
