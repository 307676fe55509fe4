//! What the benchmarks share: daemons as processes of their own, percentiles, and a table with ratios.
#![allow(dead_code, clippy::expect_used)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server under test, with its sockets in a directory of its own.
pub struct Daemon {
    pub name: &'static str,
    child: Child,
    directory: tempfile::TempDir,
}

/// The servers to compare: whystop, and qemu-storage-daemon where it is installed.
pub fn contestants() -> Vec<(&'static str, PathBuf)> {
    let peer = "qemu-storage-daemon";
    let path = env::var_os("PATH").unwrap_or_default();
    let peer_path = env::split_paths(&path).map(|directory| directory.join(peer)).find(|file| file.is_file());
    if peer_path.is_none() {
        println!("skipped: needs {peer}");
        assert!(env::var_os("WHYSTOP_REQUIRE_PEERS").is_none(), "{peer} is missing");
    }
    let own = ("whystop", PathBuf::from(env!("CARGO_BIN_EXE_whystop")));
    [own].into_iter().chain(peer_path.map(|path| (peer, path))).collect()
}

impl Daemon {
    /// Starts a server with a monitor at `qmp.sock`. `{dir}` in further arguments stands for its directory.
    pub fn start(name: &'static str, program: &Path, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let chardev = "socket,id=m,path={dir}/qmp.sock,server=on,wait=off";
        let monitor = ["--chardev", chardev, "--monitor", "m"];
        let arguments = monitor.iter().chain(arguments);
        let place = directory.path().display().to_string();
        let child = Command::new(program)
            .args(arguments.map(|argument| argument.replace("{dir}", &place)))
            .stdin(Stdio::null())
            .spawn()
            .expect("the server starts");
        Self { name, child, directory }
    }

    /// A path in its directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// A QMP client that has negotiated.
    pub fn client(&self) -> Client {
        let mut client = Client(BufReader::new(connect(&self.path("qmp.sock"))));
        client.receive();
        client.call(r#"{"execute": "qmp_capabilities"}"#);
        client
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
    }
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
