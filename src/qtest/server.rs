//! Where clients of qtest come from, and the threads that serve them, one client after another.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hw::irq::Interceptor;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, retry_on_intr};
use rustix::net::SocketFlags;
use sockets::{Listener, Remote};

use super::lines::{Line, Lines};
use super::log::Log;
use super::outbox::{Outbox, Peer};
use super::protocol::LONGEST_LINE;
use super::session::{Session, Target};
use crate::chardev::{Chardev, Role};

/// A longer answer gives its memory back.
const KEPT: usize = 64 << 10;

/// How long to wait when no client can be accepted.
const REST: Duration = Duration::from_millis(100);

/// A client that is there, or may come.
#[derive(Debug)]
pub struct Endpoint(Source);

#[derive(Debug)]
enum Source {
    Peer(Peer),
    /// The addresses that clients connect to.
    Listeners(Arc<[Listener]>),
}

impl Endpoint {
    /// Connects to the client, or listens for clients.
    ///
    /// # Errors
    /// Nobody listens there, the address cannot be had, or the kind of connection is none for qtest.
    pub fn open(chardev: Chardev) -> io::Result<Self> {
        let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        let source = match chardev {
            Chardev::Stdio => {
                let [input, output] = [io::stdin().as_fd(), io::stdout().as_fd()].map(|fd| fcntl_dupfd_cloexec(fd, 0));
                Source::Peer(Peer::new(input?, Some(output?)))
            }
            Chardev::Socket { role: Role::Client { credentials: Some(_), .. }, .. } => {
                return Err(invalid("'tls-creds' is not possible for qtest"));
            }
            Chardev::Socket { role: Role::Client { reconnect: Some(_), .. }, .. } => {
                return Err(invalid("connecting again is not possible for qtest: there is one connection"));
            }
            Chardev::Socket { address, role: Role::Client { .. } } => {
                Source::Peer(Peer::new(Remote::resolve(address, None)?.connect()?, None))
            }
            Chardev::Socket { role: Role::Server { access, .. }, .. } if access.credentials().is_some() => {
                return Err(invalid("'tls-creds' is not possible for qtest"));
            }
            // There is nothing to wait for: only the client makes the machine do anything.
            Chardev::Socket { address, role: Role::Server { access, wait: _ } } => {
                Source::Listeners(Listener::bind(&address, &access)?.into())
            }
        };
        Ok(Self(source))
    }
}

/// A server that runs. Dropping it ends it: clients are disconnected, and a command that is carried out is left alone.
pub struct Handle {
    outbox: Arc<Outbox>,
    listeners: Option<Arc<[Listener]>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.outbox.end();
        self.listeners.iter().flat_map(|listeners| listeners.iter()).for_each(Listener::close);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Serves whoever is at `endpoint`, on threads of its own. A machine goes on without its client.
///
/// # Errors
/// The system refuses a thread.
pub fn serve(endpoint: Endpoint, log: Log, target: Arc<dyn Target>) -> io::Result<Handle> {
    let outbox = Arc::new(Outbox::new(log));
    let session = Session::new(target, Arc::clone(&outbox) as Arc<dyn Interceptor>);
    let listeners = match &endpoint.0 {
        Source::Peer(_) => None,
        Source::Listeners(listeners) => Some(Arc::clone(listeners)),
    };
    let of_relay = Arc::clone(&outbox);
    thread::Builder::new().name("qtest-irq".into()).spawn(move || of_relay.relay())?;
    let handle = Handle { outbox: Arc::clone(&outbox), listeners };
    let mut server = Server { outbox, session };
    thread::Builder::new().name("qtest".into()).spawn(move || server.run(endpoint.0))?;
    Ok(handle)
}

struct Server {
    outbox: Arc<Outbox>,
    session: Session,
}

impl Server {
    fn run(&mut self, source: Source) {
        match source {
            Source::Peer(peer) => self.serve(peer),
            Source::Listeners(listeners) => {
                while !self.outbox.is_ended() {
                    match accept(&listeners) {
                        Ok(socket) => self.serve(Peer::new(socket, None)),
                        Err(error) => {
                            if !self.outbox.is_ended() {
                                tracing::warn!(%error, "no client of qtest is accepted for a while");
                                thread::sleep(REST);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Serves a client until it leaves.
    fn serve(&mut self, peer: Peer) {
        let peer = Arc::new(peer);
        // Before the client is there, who hears of no input lowered that it has not seen raised.
        self.session.begin();
        self.outbox.open(Arc::clone(&peer));
        if let Err(error) = self.converse(&peer) {
            tracing::debug!(%error, "cannot read from the client of qtest");
        }
        self.outbox.close();
    }

    /// Answers commands until there are no more.
    fn converse(&mut self, peer: &Peer) -> io::Result<()> {
        let (mut lines, mut answer) = (Lines::new(LONGEST_LINE), Vec::new());
        loop {
            match read(peer.input(), lines.space()) {
                Ok(0) => return Ok(()),
                Ok(length) => lines.filled(length),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    wait([peer.input()], PollFlags::IN)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            self.outbox.begin();
            while let Some(line) = lines.take_line() {
                if let Line::Whole(line) = line {
                    self.outbox.log().received(line);
                }
                self.session.handle(line, &mut answer);
                if !self.outbox.answer(&answer) {
                    return Ok(());
                }
                if answer.capacity() > KEPT {
                    answer = Vec::new();
                }
                answer.clear();
            }
            if !self.outbox.finish() {
                return Ok(());
            }
        }
    }
}

/// Waits for a client at one of several addresses.
fn accept(listeners: &[Listener]) -> io::Result<OwnedFd> {
    loop {
        wait(listeners.iter().map(AsFd::as_fd), PollFlags::IN)?;
        for listener in listeners {
            if let Some(socket) = listener.accept(SocketFlags::empty())? {
                return Ok(socket);
            }
        }
    }
}

/// Waits until one of these can be read from or written to.
pub(super) fn wait<'fd>(fds: impl IntoIterator<Item = BorrowedFd<'fd>>, events: PollFlags) -> io::Result<()> {
    let mut fds: Vec<_> = fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, events)).collect();
    retry_on_intr(|| poll(&mut fds, None))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hw::irq::Controller;
    use hw::{Bus, VirtualClock};
    use sockets::{Access, Address};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Sender, channel};
    use vl::Observer;
    use vm_device::DevicePio;
    use vm_device::bus::{PioAddress, PioAddressOffset};

    struct Machine {
        bus: Bus,
        clock: VirtualClock,
        controller: Arc<Controller>,
    }

    impl Machine {
        fn new() -> Arc<Self> {
            let clock = VirtualClock::driven().expect("a thread");
            clock.will_start();
            Arc::new(Self { bus: Bus::default(), clock, controller: Controller::new("ioapic", 24) })
        }
    }

    impl Target for Machine {
        fn bus(&self) -> &Bus {
            &self.bus
        }

        fn clock(&self) -> &VirtualClock {
            &self.clock
        }

        fn controller(&self, path: &str) -> Option<Arc<Controller>> {
            Some(Arc::clone(&self.controller)).filter(|controller| controller.name() == path)
        }
    }

    /// A port that is written to until the machine ends.
    struct Last(Arc<Outbox>, Sender<()>);

    impl DevicePio for Last {
        fn pio_read(&self, _base: PioAddress, _offset: PioAddressOffset, _data: &mut [u8]) {}

        fn pio_write(&self, _base: PioAddress, _offset: PioAddressOffset, _data: &[u8]) {
            self.1.send(()).expect("awaited");
            while !self.0.is_ended() {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn the_command_that_ends_the_machine_is_answered() {
        let (machine, handle, mut client) = Client::connected(Log::none());
        let (sender, begun) = channel();
        machine.bus.map_ports(7, 1, Arc::new(Last(Arc::clone(&handle.outbox), sender))).expect("free");
        client.send("outb 7 1\n");
        begun.recv().expect("it begins");
        drop(handle);
        assert_eq!(client.line(), "OK");
        assert!(client.is_left_alone());
    }

    struct Client(BufReader<UnixStream>);

    impl Client {
        fn connected(log: Log) -> (Arc<Machine>, Handle, Self) {
            let (ours, theirs) = UnixStream::pair().expect("a socket pair");
            let (machine, endpoint) = (Machine::new(), Endpoint(Source::Peer(Peer::new(theirs.into(), None))));
            let handle = serve(endpoint, log, machine.clone()).expect("threads");
            (machine, handle, Self(BufReader::new(ours)))
        }

        fn send(&mut self, text: &str) {
            self.0.get_mut().write_all(text.as_bytes()).expect("it is read");
        }

        fn line(&mut self) -> String {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line");
            line.trim_end().to_owned()
        }

        fn is_left_alone(&mut self) -> bool {
            // A disconnection with input that was not read is an error, which says the same.
            self.0.read_to_end(&mut Vec::new()).is_ok_and(|length| length == 0)
        }
    }

    #[test]
    fn interrupts_that_a_command_causes_precede_its_answer() {
        let (machine, _handle, mut client) = Client::connected(Log::none());
        client.send("irq_intercept_in ioapic\n");
        assert_eq!(client.line(), "OK");
        let line = machine.controller.line(7);
        let timer = machine.clock.timer(move || [true, false, true].into_iter().for_each(|high| line.set(high)));
        timer.arm(10);
        client.send("clock_step 10\nendianness\n");
        let lines: Vec<_> = (0..5).map(|_| client.line()).collect();
        assert_eq!(lines, ["IRQ raise 7", "IRQ lower 7", "IRQ raise 7", "OK 10", "OK little"]);
    }

    #[test]
    fn interrupts_between_commands_are_whole_lines_and_in_order() {
        let (machine, _handle, mut client) = Client::connected(Log::none());
        client.send("irq_intercept_in ioapic\n");
        assert_eq!(client.line(), "OK");
        let threads = [1, 2].map(|input| {
            let line = machine.controller.line(input);
            thread::spawn(move || (0..1000).for_each(|turn| line.set(turn % 2 == 0)))
        });
        for _ in 0..100 {
            client.send("readl 0\n");
        }
        let (mut answers, mut levels, mut changes) = (0, [false; 3], 0);
        while answers < 100 || changes < 2000 {
            let line = client.line();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["OK", "0x0000000000000000"] => answers += 1,
                ["IRQ", change @ ("raise" | "lower"), input] => {
                    let level = &mut levels[input.parse::<usize>().expect("a number")];
                    assert_eq!(std::mem::replace(level, change == "raise"), change != "raise", "{line}");
                    changes += 1;
                }
                _ => panic!("{line}"),
            }
        }
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }

    #[test]
    fn a_client_that_does_not_read_is_left_and_devices_go_on() {
        let (machine, _handle, mut client) = Client::connected(Log::none());
        client.send("irq_intercept_in ioapic\n");
        assert_eq!(client.line(), "OK");
        let line = machine.controller.line(7);
        // More than the socket and the outbox hold.
        (0..400_000).for_each(|turn| line.set(turn % 2 == 0));
        let mut rest = Vec::new();
        let _ = client.0.read_to_end(&mut rest);
        assert!(rest.len() < 4 << 20, "{}", rest.len());
    }

    #[test]
    fn what_a_client_asked_for_is_not_done_once_the_server_ends() {
        let (machine, handle, mut client) = Client::connected(Log::none());
        let (begun, on_begin) = std::sync::mpsc::channel();
        let (end, on_end) = std::sync::mpsc::channel();
        let on_end = parking_lot::Mutex::new(on_end);
        let timer = machine.clock.timer(move || {
            begun.send(()).expect("awaited");
            on_end.lock().recv().expect("it ends");
        });
        timer.arm(1);
        client.send("clock_set 1\nclock_set 2\n");
        on_begin.recv().expect("it begins");
        drop(handle);
        end.send(()).expect("awaited");
        assert!(client.is_left_alone());
        // The end of the thread.
        while Arc::strong_count(&machine) > 1 {
            thread::yield_now();
        }
        assert_eq!(machine.clock.now(), 1);
    }

    #[test]
    fn one_client_after_another_is_served_where_the_server_listens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("qtest");
        let chardev = Chardev::Socket {
            address: Address::Unix(path.clone()),
            role: Role::Server { access: Access::default(), wait: false },
        };
        let handle = serve(Endpoint::open(chardev).expect("free"), Log::none(), Machine::new()).expect("threads");
        for _ in 0..2 {
            let mut client = Client(BufReader::new(UnixStream::connect(&path).expect("it listens")));
            client.send("irq_intercept_in ioapic\nset_irq_in ioapic unnamed-gpio-in 5 1\nread");
            // Raised anew for each of them.
            assert_eq!([client.line(), client.line(), client.line()], ["OK", "IRQ raise 5", "OK"]);
        }
        let mut client = Client(BufReader::new(UnixStream::connect(&path).expect("it listens")));
        client.send("endianness\n");
        assert_eq!(client.line(), "OK little");
        drop(handle);
        assert!(!path.exists(), "the socket's file is left behind");
        assert!(client.is_left_alone());
    }

    #[test]
    fn megabytes_and_long_lines_come_through() {
        let (_machine, _handle, mut client) = Client::connected(Log::none());
        client.send(&format!("write 0 0x100000 0x{}\n", "5a".repeat(1 << 20)));
        assert_eq!(client.line(), "OK");
        client.send("b64read 0 0x300000\nreadb 0\n");
        assert_eq!(client.line(), format!("OK {}", "AAAA".repeat(1 << 20)));
        assert_eq!(client.line(), "OK 0x0000000000000000");
    }

    #[test]
    fn the_log_tells_each_answer_after_its_command() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let (_machine, handle, mut client) =
            Client::connected(Log::create(path.to_str().expect("UTF-8")).expect("a file"));
        client.send("endianness\nreadb 0\n");
        assert_eq!((client.line(), client.line()), ("OK little".into(), "OK 0x0000000000000000".into()));
        drop(handle);
        let text = std::fs::read_to_string(path).expect("written");
        let said: Vec<_> = text.lines().filter_map(|line| line.split_once("] ")).map(|(_, said)| said).collect();
        assert_eq!(said[..5], ["OPENED", "endianness", "OK little", "readb 0", "OK 0x0000000000000000"]);
    }

    #[test]
    fn what_qtest_has_no_use_for_is_refused() {
        let open = |text| {
            let chardev = Chardev::parse_legacy(text, &sockets::Objects::default()).expect("valid");
            Endpoint::open(chardev).map(|_| ()).map_err(|error| error.to_string())
        };
        let error = "connecting again is not possible for qtest: there is one connection";
        assert_eq!(open("unix:q,reconnect-ms=5"), Err(error.into()));
        assert_eq!(open("unix:q,reconnect=5"), Err(error.into()));
        assert!(open("unix:/nowhere/q").expect_err("nobody listens").contains("/nowhere/q"));
    }
}
