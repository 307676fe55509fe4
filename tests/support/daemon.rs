//! The daemon under test: the real binary in a directory of its own, which ends with the test.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

use super::{DEADLINE, await_readable};

/// The binary.
pub fn whystop() -> Command {
    Command::new(env!("CARGO_BIN_EXE_whystop"))
}

/// A running daemon with a QMP socket and an NBD server. Dropping it kills it.
pub struct Daemon {
    child: Child,
    directory: TempDir,
}

impl Daemon {
    /// Starts a daemon in `directory`, and waits until it serves.
    pub fn start(directory: TempDir, options: &[impl AsRef<str>]) -> Result<Self, String> {
        let mut command = whystop();
        let nbd = format!("addr.type=unix,addr.path={}", directory.path().join("nbd.sock").display());
        command.args(["--nbd-server", &nbd]).args(options.iter().map(AsRef::as_ref));
        Self::run(command, directory, "qmp")
    }

    /// Runs any daemon with these options, and one with a monitor on the character device `qmp`.
    pub fn run(mut command: Command, directory: TempDir, monitor: &str) -> Result<Self, String> {
        let socket = directory.path().join("qmp.sock");
        command
            .args(["--chardev", &format!("socket,id=qmp,path={},server=on,wait=off", socket.display())])
            .args(["--monitor", monitor]);
        let mut daemon = Self::spawn(command, directory)?;
        daemon.await_greeting()?;
        Ok(daemon)
    }

    /// Runs any daemon in `directory`, and waits for nothing.
    pub fn spawn(mut command: Command, directory: TempDir) -> Result<Self, String> {
        let stderr = File::create(directory.path().join("stderr")).expect("a writable directory");
        command.current_dir(directory.path()).stdin(Stdio::null()).stderr(stderr);
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self { child, directory })
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its QMP socket.
    pub fn qmp_socket(&self) -> PathBuf {
        self.directory().join("qmp.sock")
    }

    /// Its NBD socket.
    pub fn nbd_socket(&self) -> PathBuf {
        self.directory().join("nbd.sock")
    }

    /// What it wrote to its standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.directory().join("stderr")).unwrap_or_default()
    }

    /// Asks it to end, as an operator would.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("it was not reaped yet");
    }

    /// Waits for its end, which must be a clean one: with status 0, and without a panic on any thread.
    pub fn wait(&mut self) -> Result<(), String> {
        self.wait_for_status(0)
    }

    /// The same with another status.
    pub fn wait_for_status(&mut self, code: i32) -> Result<(), String> {
        let status = wait(&mut self.child)?;
        let stderr = self.stderr();
        if status.code() != Some(code) || stderr.contains("panicked at") {
            return Err(format!("the daemon did not end cleanly: {status}\n{stderr}"));
        }
        Ok(())
    }

    /// The greeting says that all options have been carried out. Until its socket listens there is nothing to wait on
    /// but the daemon itself.
    pub fn await_greeting(&mut self) -> Result<(), String> {
        let start = Instant::now();
        let greets = |socket: PathBuf| {
            let mut stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.read_exact(&mut [0])
        };
        while greets(self.qmp_socket()).is_err() {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the daemon did not start: {status}\n{}", self.stderr()));
            }
            if start.elapsed() > DEADLINE {
                return Err(format!("the daemon does not listen\n{}", self.stderr()));
            }
            thread::yield_now();
        }
        Ok(())
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only for one that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a child, but not for ever.
pub fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    wait_for_end(Pid::from_child(child))?;
    child.wait().map_err(|error| error.to_string())
}

/// Waits for the end of any process, but not for ever.
pub fn wait_for_end(pid: Pid) -> Result<(), String> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => await_readable("the end of a process", pidfd),
        // It has ended already, and was no child of ours.
        Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(format!("pidfd_open: {error}")),
    }
}
