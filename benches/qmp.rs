//! The monitor beside QEMU, qemu-storage-daemon and a server that only sends lines back: round trip, pipelined commands,
//! events, memory, start.
//!
//! The scheduler decides whether client and server share a core, and that decides what a round trip costs. Hence both
//! are measured: the server on one core, and the client on the same or on another one.
#![allow(clippy::expect_used)]

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Client, Contestant, connect, contestants, micros, on_cores, percentile, row};

mod support;

const COMMAND: &str = "{\"execute\": \"query-version\"}\n";
/// How often each contestant has its turn, and its round trips in one.
const TURNS: usize = 5;
const ROUNDS: usize = 10_000;
const PIPELINED: usize = 200_000;
const STARTS: usize = 20;
/// How many sessions there are, and how many times the guest is stopped or continued: first us, then QEMU.
const EVENTS: [(usize, usize, usize); 3] = [(1, 100_000, 10_000), (100, 5_000, 1_000), (1_000, 1_000, 200)];

fn main() {
    let arguments: Vec<_> = env::args().collect();
    if let [_, flag, socket] = &arguments[..]
        && let "--echo" | "--echo-blocking" = flag.as_str()
    {
        return echo(Path::new(socket), flag == "--echo");
    }
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("descriptors for all sessions");
    let contestants = contestants();
    compare_round_trips(&contestants);
    let each = |measure: &dyn Fn(&Contestant) -> f64| -> Vec<_> {
        contestants.iter().map(|contestant| (contestant.name, measure(contestant))).collect()
    };
    row("pipelined commands", "per s", &each(&|contestant| pipelined(contestant.start(1, &[]).client())));
    // The storage daemon has no command whose only effect is an event.
    for (sessions, ours, peers) in EVENTS {
        let guests = contestants.iter().filter(|contestant| contestant.name != "qemu-storage-daemon");
        let figures = guests.map(|contestant| {
            let events = if contestant.name == "whystop" { ours } else { peers };
            (contestant.name, deliveries(contestant, sessions, events))
        });
        row(&format!("event deliveries, {sessions} sessions"), "per s", &figures.collect::<Vec<_>>());
    }
    row(
        "exec to greeting, median",
        "ms",
        &each(&|contestant| {
            let mut sample: Vec<_> = (0..STARTS).map(|_| exec_to_greeting(contestant)).collect();
            micros(percentile(&mut sample, 50)) / 1e3
        }),
    );
    row("resident memory, idle", "MiB", &each(&|contestant| resident(contestant, 1) / 1024.0));
    row(
        "resident memory, further session",
        "KiB",
        &each(&|contestant| (resident(contestant, 1_000) - resident(contestant, 1)) / 999.0),
    );
    let ours = contestants.first().expect("ourselves");
    let daemon = ours.start(1, &[]);
    let mut sample = events_to_all(&mut daemon.clients(1_000));
    for share in [50, 99] {
        let figure = micros(percentile(&mut sample, share)) / 1e3;
        row(&format!("event at 1,000 sessions, {share} of 100"), "ms", &[(ours.name, figure)]);
    }
}

/// Round trips to everybody in turns, so that what else the machine does hits all of them.
fn compare_round_trips(contestants: &[Contestant]) {
    let start = || {
        let echoes = [("echo", Echo::start("--echo")), ("blocking echo", Echo::start("--echo-blocking"))];
        let daemons: Vec<_> =
            contestants.iter().map(|contestant| (contestant.name, contestant.start(1, &[]))).collect();
        let clients = echoes.iter().map(|(name, echo)| (*name, echo.client()));
        let clients: Vec<_> = clients.chain(daemons.iter().map(|(name, daemon)| (*name, daemon.client()))).collect();
        (clients, echoes, daemons)
    };
    on_cores(start, |place, (clients, ..)| {
        let mut samples = vec![Vec::new(); clients.len()];
        for _ in 0..TURNS {
            for ((_, client), sample) in clients.iter_mut().zip(&mut samples) {
                round_trips(client, sample);
            }
        }
        for share in [50, 99] {
            let names = clients.iter().map(|(name, _)| *name);
            let figures = names.zip(samples.iter_mut().map(|sample| micros(percentile(sample, share))));
            row(&format!("round trip, {place}, {share} of 100"), "us", &figures.collect::<Vec<_>>());
        }
    });
}

fn round_trips(client: &mut Client, sample: &mut Vec<Duration>) {
    sample.extend((0..ROUNDS).map(|_| {
        let start = Instant::now();
        client.call(COMMAND);
        start.elapsed()
    }));
}

/// A server that does nothing but send lines back: what the system alone costs.
struct Echo {
    child: Child,
    directory: tempfile::TempDir,
}

impl Echo {
    fn start(kind: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.arg(kind).arg(directory.path().join("echo.sock")).stdin(Stdio::null());
        Self { child: command.spawn().expect("the echo server starts"), directory }
    }

    fn client(&self) -> Client {
        Client(BufReader::new(connect(&self.directory.path().join("echo.sock"))))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

/// One client, one line at a time. A monitor has to wait for more than one client, hence with epoll; a server that waits
/// in `read` shows what that costs.
fn echo(socket: &Path, waits: bool) {
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("bound");
    let (stream, _) = listener.accept().expect("a client");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&epoll, &stream, epoll::EventData::new_u64(0), epoll::EventFlags::IN).expect("watched");
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let mut events = Vec::with_capacity(4);
    loop {
        if waits {
            events.clear();
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).expect("waited");
        }
        line.clear();
        if reader.read_until(b'\n', &mut line).expect("a line") == 0 {
            return;
        }
        reader.get_mut().write_all(&line).expect("sent");
    }
}

/// How long after a command the event that it causes has been read by every session.
fn events_to_all(clients: &mut [Client]) -> Vec<Duration> {
    let (first, others) = clients.split_first_mut().expect("sessions");
    let measure = |number| {
        let start = Instant::now();
        let command = if number % 2 == 0 { "stop" } else { "cont" };
        // The event precedes the reply.
        first.call(&format!("{{\"execute\": \"{command}\"}}"));
        others.iter_mut().for_each(|client| drop(client.receive()));
        let elapsed = start.elapsed();
        first.receive();
        elapsed
    };
    (0..200).map(measure).collect()
}

/// How many events reach a client per second, over all clients, if one of them stops and continues the guest so often.
fn deliveries(contestant: &Contestant, sessions: usize, events: usize) -> f64 {
    let daemon = contestant.start(sessions, &[]);
    let mut clients = daemon.clients(sessions);
    let (first, others) = clients.split_first_mut().expect("sessions");
    let mut writer = first.0.get_ref().try_clone().expect("a second handle");
    let commands = "{\"execute\": \"stop\"}\n{\"execute\": \"cont\"}\n".repeat(50);
    let start = Instant::now();
    let sender = thread::spawn(move || {
        (0..events / 100).for_each(|_| writer.write_all(commands.as_bytes()).expect("sent"));
    });
    // Each event and each reply.
    skip_lines(first, 2 * events);
    others.iter_mut().for_each(|client| skip_lines(client, events));
    let elapsed = start.elapsed();
    sender.join().expect("sent");
    (events * sessions) as f64 / elapsed.as_secs_f64()
}

/// Commands per second when they are sent without waiting for the replies.
fn pipelined(mut client: Client) -> f64 {
    let mut writer = client.0.get_ref().try_clone().expect("a second handle");
    let start = Instant::now();
    let sender = thread::spawn(move || {
        let batch = COMMAND.repeat(500);
        (0..PIPELINED / 500).for_each(|_| writer.write_all(batch.as_bytes()).expect("sent"));
    });
    skip_lines(&mut client, PIPELINED);
    sender.join().expect("sent");
    PIPELINED as f64 / start.elapsed().as_secs_f64()
}

/// Reads so many messages, which are all that come.
fn skip_lines(client: &mut Client, mut count: usize) {
    let mut buffer = vec![0; 64 << 10];
    while count > 0 {
        let length = client.0.read(&mut buffer).expect("messages");
        assert!(length > 0, "the server left");
        count -= buffer[..length].iter().filter(|&&byte| byte == b'\n').count();
    }
}

fn exec_to_greeting(contestant: &Contestant) -> Duration {
    let start = Instant::now();
    let daemon = contestant.start(1, &[]);
    Client(BufReader::new(connect(&daemon.path("qmp0.sock")))).receive();
    start.elapsed()
}

/// The memory of a server with so many idle clients, in KiB.
fn resident(contestant: &Contestant, sessions: usize) -> f64 {
    let daemon = contestant.start(sessions, &[]);
    let _clients = daemon.clients(sessions);
    daemon.resident() as f64
}
