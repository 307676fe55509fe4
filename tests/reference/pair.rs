//! The two daemons.

use std::process::Command;

use crate::support::daemon::{Daemon, whystop};
use crate::support::peer;

/// Ours and QEMU's, each in a directory of its own.
pub struct Pair {
    pub ours: Daemon,
    pub reference: Daemon,
    monitor: &'static str,
}

impl Pair {
    /// Both daemons with a monitor; `None` where QEMU's is missing.
    pub fn start(monitor: &'static str) -> Option<Self> {
        // Earlier ones answer some of the same bytes with other errors.
        let probe = "qemu-storage-daemon --version | grep -Eq 'version [1-9][0-9]+'";
        if !peer::is_there("qemu-storage-daemon 10 or later", Command::new("sh").args(["-c", probe])) {
            return None;
        }
        let ours = start(whystop(), monitor);
        Some(Self { ours, reference: start(Command::new("qemu-storage-daemon"), monitor), monitor })
    }

    /// Replaces a reference that has aborted.
    pub fn restart_reference(&mut self) {
        self.reference = start(Command::new("qemu-storage-daemon"), self.monitor);
    }

    /// Ours must end without having panicked.
    pub fn end(mut self) {
        self.ours.terminate();
        self.ours.wait().expect("a clean end");
    }
}

fn start(command: Command, monitor: &str) -> Daemon {
    Daemon::run(command, tempfile::tempdir().expect("a directory"), monitor).expect("a daemon")
}
