//! A machine under test, started as QEMU's own test library starts one: the test listens, and the emulator comes.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{PidfdFlags, pidfd_open};
use tempfile::TempDir;

use super::daemon::Daemon;
use super::qmp::QmpClient;
use super::qtest::Qtest;
use super::{DEADLINE, peer};

/// A running machine. Dropping it kills it.
pub struct Emulator {
    /// The process.
    pub daemon: Daemon,
    /// Its hardware.
    pub qtest: Arc<Qtest>,
    /// Its monitor, negotiated.
    pub qmp: QmpClient,
}

impl Emulator {
    /// Starts a machine in a directory of its own.
    pub fn start(command: Command, options: &[impl AsRef<str>]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        Self::start_with(command, directory, options, "qtest")
    }

    /// Starts a machine in `directory`, with this accelerator.
    pub fn start_with(
        mut command: Command,
        directory: TempDir,
        options: &[impl AsRef<str>],
        accelerator: &str,
    ) -> Result<Self, String> {
        let path = |name: &str| directory.path().join(name);
        let listen = |path: &Path| UnixListener::bind(path).map_err(|error| format!("{}: {error}", path.display()));
        let (qtest, qmp) = (path("qtest-of-the-test.sock"), path("qmp-of-the-test.sock"));
        let (qtest_listener, qmp_listener) = (listen(&qtest)?, listen(&qmp)?);
        command
            .args(["-qtest", &format!("unix:{}", qtest.display())])
            .args(["-qtest-log", &path("qtest.log").display().to_string()])
            .args(["-chardev", &format!("socket,path={},id=char0", qmp.display())])
            .args(["-mon", "chardev=char0,mode=control", "-display", "none", "-audio", "none"])
            .args(options.iter().map(AsRef::as_ref))
            .args(["-accel", accelerator]);
        let mut daemon = Daemon::spawn(command, directory)?;
        let qtest = accept(&mut daemon, "qtest", &qtest_listener)?;
        let qtest = Qtest::over(qtest).map_err(|error| error.to_string())?;
        let qmp = accept(&mut daemon, "QMP", &qmp_listener)?;
        let endianness = qtest.endianness()?;
        if endianness != "little" {
            return Err(format!("endianness: {endianness}"));
        }
        let qmp = QmpClient::over(qmp).map_err(|error| error.to_string())?.negotiate()?;
        Ok(Self { daemon, qtest: Arc::new(qtest), qmp })
    }

    /// Ends it as QEMU's test library does.
    pub fn end(mut self) -> Result<(), String> {
        self.daemon.terminate();
        self.daemon.wait()
    }
}

/// Waits until the emulator comes, or ends.
fn accept(daemon: &mut Daemon, what: &str, listener: &UnixListener) -> Result<UnixStream, String> {
    let process = pidfd_open(daemon.pid(), PidfdFlags::empty()).map_err(|error| format!("pidfd_open: {error}"))?;
    let deadline = Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
    let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let mut both = [readable(listener.as_fd()), readable(process.as_fd())];
    let ready = retry_on_intr(|| poll(&mut both, Some(&deadline))).map_err(|error| format!("poll: {error}"))?;
    if ready == 0 {
        return Err(format!("the emulator does not come to {what}\n{}", daemon.stderr()));
    }
    if both[0].revents().is_empty() {
        daemon.wait()?;
        return Err(format!("the emulator ended before it came to {what}\n{}", daemon.stderr()));
    }
    listener.accept().map(|(stream, _)| stream).map_err(|error| format!("{what}: {error}"))
}

/// QEMU, to compare with.
pub struct Reference {
    /// Whether its virtual time can be driven. Packages of QEMU come without the accelerator that does it, a module;
    /// `QEMU_MODULE_DIR` says where one is.
    pub has_clock: bool,
}

impl Reference {
    /// `None` where it is missing.
    pub fn find() -> Option<Self> {
        let probe = "qemu-system-x86_64 --version | grep -Eq 'version [1-9][0-9]+'";
        if !peer::is_there("qemu-system-x86_64", Command::new("sh").args(["-c", probe])) {
            return None;
        }
        let probe = "echo quit | qemu-system-x86_64 -M none -display none -nodefaults -monitor stdio -accel qtest";
        let mut probe =
            Command::new("sh").args(["-c", probe]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Self { has_clock: probe.wait().ok()?.success() })
    }

    /// The same, where its virtual time can be driven.
    pub fn find_with_clock() -> Option<Self> {
        let reference = Self::find()?;
        if !reference.has_clock {
            eprintln!("skipped: needs the accelerator qtest of qemu-system-x86_64");
            return None;
        }
        Some(reference)
    }

    /// Starts it. Without its accelerator `qtest` it gets a processor that halts at once.
    pub fn start(&self, options: &[impl AsRef<str>]) -> Result<Emulator, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        self.start_in(directory, options)
    }

    /// The same, in a directory that was prepared.
    pub fn start_in(&self, directory: TempDir, options: &[impl AsRef<str>]) -> Result<Emulator, String> {
        let mut command = Command::new("qemu-system-x86_64");
        // Where it says what it aborts for.
        command.stdout(Stdio::null());
        if self.has_clock {
            return Emulator::start_with(command, directory, options, "qtest");
        }
        let firmware = directory.path().join("halt.bin");
        std::fs::write(&firmware, halting_firmware()).map_err(|error| error.to_string())?;
        command.arg("-bios").arg(firmware);
        Emulator::start_with(command, directory, options, "tcg")
    }
}

/// A processor starts 16 bytes below the end: `cli`, `hlt`, and back to `hlt`. It stays in real mode, where an NMI finds
/// memory of zeros, which are harmless instructions. One in protected mode, as other firmwares are after a reset, would
/// shut the processor down for want of an interrupt table, and reset the machine.
fn halting_firmware() -> Vec<u8> {
    let mut image = vec![0xf4; 64 << 10];
    image.splice((64 << 10) - 16..(64 << 10) - 12, [0xfa, 0xf4, 0xeb, 0xfd]);
    image
}
