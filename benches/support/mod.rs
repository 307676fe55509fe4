//! What the benchmarks share: daemons as processes of their own, percentiles, and a table with ratios.
#![allow(dead_code, clippy::expect_used)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A server to compare.
pub struct Contestant {
    pub name: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
    /// The option for a monitor, and what its value says before and after the character device.
    monitor: (&'static str, &'static str, &'static str),
    /// A monitor serves any number of clients.
    shares_monitor: bool,
}

/// A server under test, with its sockets in a directory of its own.
pub struct Daemon {
    shares_monitor: bool,
    child: Child,
    directory: tempfile::TempDir,
}

/// The servers to compare: whystop, and its peers where they are installed.
pub fn contestants() -> Vec<Contestant> {
    let own = Contestant {
        name: "whystop",
        program: PathBuf::from(env!("CARGO_BIN_EXE_whystop")),
        arguments: &[],
        monitor: ("--monitor", "", ""),
        shares_monitor: true,
    };
    let storage_daemon = installed("qemu-storage-daemon").map(|program| Contestant {
        name: "qemu-storage-daemon",
        program,
        arguments: &[],
        monitor: ("--monitor", "", ""),
        shares_monitor: false,
    });
    let qemu = installed("qemu-system-x86_64").map(|program| Contestant {
        name: "qemu",
        program,
        arguments: &["-M", "none", "-display", "none", "-nodefaults"],
        monitor: ("-mon", "chardev=", ",mode=control"),
        shares_monitor: false,
    });
    [own].into_iter().chain(storage_daemon).chain(qemu).collect()
}

/// Where a program is that others have to install.
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: needs {program}");
        assert!(env::var_os("WHYSTOP_REQUIRE_PEERS").is_none(), "{program} is missing");
    }
    found
}

impl Contestant {
    /// Starts the server for so many QMP clients. `{dir}` in further arguments stands for its directory.
    pub fn start(&self, clients: usize, arguments: &[&str]) -> Daemon {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().display().to_string();
        let mut command = Command::new(&self.program);
        command.args(self.arguments).stdin(Stdio::null());
        for number in 0..if self.shares_monitor { 1 } else { clients } {
            let (option, before, after) = self.monitor;
            let chardev = format!("socket,id=m{number},path={place}/qmp{number}.sock,server=on,wait=off");
            command.arg("--chardev").arg(chardev).arg(option).arg(format!("{before}m{number}{after}"));
        }
        command.args(arguments.iter().map(|argument| argument.replace("{dir}", &place)));
        let child = command.spawn().expect("the server starts");
        Daemon { shares_monitor: self.shares_monitor, child, directory }
    }
}

impl Daemon {
    /// A path in its directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// A QMP client that has negotiated: the first one.
    pub fn client(&self) -> Client {
        self.clients(1).pop().expect("one")
    }

    /// QMP clients that have negotiated, as many as the server was started for.
    pub fn clients(&self, count: usize) -> Vec<Client> {
        let sockets = (0..count).map(|number| format!("qmp{}.sock", if self.shares_monitor { 0 } else { number }));
        let negotiated = |socket: String| {
            let mut client = Client(BufReader::new(connect(&self.path(&socket))));
            client.receive();
            client.call("{\"execute\": \"qmp_capabilities\"}\n");
            client
        };
        sockets.map(negotiated).collect()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("KiB")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

/// A QMP client.
pub struct Client(pub BufReader<UnixStream>);

impl Client {
    pub fn receive(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a message");
        line
    }

    pub fn call(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(command.as_bytes()).expect("sent");
        self.receive()
    }
}

/// Connects as soon as somebody listens.
pub fn connect(socket: &Path) -> UnixStream {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < patience, "{}: {error}", socket.display()),
        }
        // The server may have to run where we do.
        thread::yield_now();
    }
}

/// Starts servers on one core, and measures with the client on the same one, then on another: the scheduler would decide
/// that at its own will.
pub fn on_cores<T>(start: impl FnOnce() -> T, mut measure: impl FnMut(&str, &mut T)) {
    let everywhere = sched_getaffinity(None).expect("affinity");
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| everywhere.is_set(core));
    let server = cores.next().expect("a core");
    pin(server);
    let mut servers = start();
    for (place, core) in [("one core", Some(server)), ("two cores", cores.next())] {
        match core {
            Some(core) => {
                pin(core);
                measure(place, &mut servers);
            }
            None => println!("skipped: needs {place}"),
        }
    }
    drop(servers);
    sched_setaffinity(None, &everywhere).expect("it was allowed before");
}

/// This thread, and what it starts from now on, runs there.
fn pin(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).expect("a core of ours");
}

/// The value below which this share (0 to 100) of the sample lies.
pub fn percentile(sample: &mut [Duration], share: usize) -> Duration {
    sample.sort_unstable();
    sample[(sample.len() - 1) * share / 100]
}

/// One line of figures, each as a ratio of the first as well. `more` says that more is better.
pub fn row(what: &str, unit: &str, figures: &[(&str, f64)]) {
    print!("{what:<34}");
    for (name, figure) in figures {
        let ratio = figure / figures[0].1;
        print!("  {name} {figure:.1} {unit} ({ratio:.2}x)");
    }
    println!();
}

/// Microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
