//! The monitor beside a bare echo server and qemu-storage-daemon: start, round trip, pipelined commands, memory.
#![allow(clippy::expect_used)]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Client, Daemon, connect, contestants, micros, percentile, row};

mod support;

const COMMAND: &str = "{\"execute\": \"query-version\"}\n";
const ROUNDS: usize = 20_000;
const PIPELINED: usize = 200_000;
const STARTS: usize = 20;
const SESSIONS: u64 = 1_000;
const EVENTS: usize = 200;

fn main() {
    let arguments: Vec<_> = env::args().collect();
    if let [_, flag, socket] = &arguments[..]
        && flag == "--echo"
    {
        return echo(Path::new(socket));
    }
    let (mut p50, mut p99) = floor();
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("descriptors for all sessions");
    let (mut start, mut rate, mut idle, mut session) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut to_all = Vec::new();
    for (name, program) in contestants() {
        start.push((name, micros(median((0..STARTS).map(|_| exec_to_greeting(name, &program)))) / 1e3));
        let daemon = Daemon::start(name, &program, &[]);
        let mut client = daemon.client();
        idle.push((name, daemon.resident() as f64 / 1024.0));
        let mut sample = round_trips(&mut client);
        p50.push((name, micros(percentile(&mut sample, 50))));
        p99.push((name, micros(percentile(&mut sample, 99))));
        rate.push((name, pipelined(client)));
        if name == "whystop" {
            let before = daemon.resident();
            let mut clients: Vec<_> = (0..SESSIONS).map(|_| daemon.client()).collect();
            session.push((name, (daemon.resident() - before) as f64 / SESSIONS as f64));
            let mut sample = events_to_all(&mut clients);
            to_all.extend([50, 99].map(|share| ("whystop", micros(percentile(&mut sample, share)) / 1e3)));
        }
    }
    row("round trip, median", "us", &p50);
    row("round trip, 99 of 100", "us", &p99);
    row("pipelined commands", "per s", &rate);
    row("exec to greeting, median", "ms", &start);
    row("resident memory, idle", "MiB", &idle);
    row("resident memory, further session", "KiB", &session);
    row("event at 1,000 sessions, 50 and 99", "ms", &to_all);
}

type Figures = Vec<(&'static str, f64)>;

/// The round trip to a server that does nothing but send lines back.
fn floor() -> (Figures, Figures) {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("echo.sock");
    let mut child = Command::new(env::current_exe().expect("this program"))
        .arg("--echo")
        .arg(&socket)
        .stdin(Stdio::null())
        .spawn()
        .expect("the echo server starts");
    let mut sample = round_trips(&mut Client(BufReader::new(connect(&socket))));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let figures = |share, sample: &mut Vec<Duration>| vec![("echo", micros(percentile(sample, share)))];
    (figures(50, &mut sample), figures(99, &mut sample))
}

/// One client, one epoll instance, one line at a time.
fn echo(socket: &Path) {
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("bound");
    let (stream, _) = listener.accept().expect("a client");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&epoll, &stream, epoll::EventData::new_u64(0), epoll::EventFlags::IN).expect("watched");
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let mut events = Vec::with_capacity(4);
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).expect("waited");
        line.clear();
        if reader.read_until(b'\n', &mut line).expect("a line") == 0 {
            return;
        }
        reader.get_mut().write_all(&line).expect("sent");
    }
}

fn round_trips(client: &mut Client) -> Vec<Duration> {
    let measure = |_| {
        let start = Instant::now();
        client.call(COMMAND);
        start.elapsed()
    };
    (0..ROUNDS).map(measure).collect()
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
    (0..EVENTS).map(measure).collect()
}

/// Commands per second when they are sent without waiting for the replies.
fn pipelined(client: Client) -> f64 {
    let mut writer = client.0.get_ref().try_clone().expect("a second handle");
    let start = Instant::now();
    let sender = thread::spawn(move || {
        let batch = COMMAND.repeat(500);
        (0..PIPELINED / 500).for_each(|_| writer.write_all(batch.as_bytes()).expect("sent"));
    });
    let mut client = client;
    let mut line = Vec::new();
    for _ in 0..PIPELINED {
        line.clear();
        client.0.read_until(b'\n', &mut line).expect("a reply");
    }
    sender.join().expect("sent");
    PIPELINED as f64 / start.elapsed().as_secs_f64()
}

fn exec_to_greeting(name: &'static str, program: &Path) -> Duration {
    let start = Instant::now();
    let daemon = Daemon::start(name, program, &[]);
    Client(BufReader::new(connect(&daemon.path("qmp.sock")))).receive();
    start.elapsed()
}

fn median(sample: impl Iterator<Item = Duration>) -> Duration {
    percentile(&mut sample.collect::<Vec<_>>(), 50)
}
