//! What the tests that run the real binary share: the daemon, and its clients.

#![allow(dead_code, reason = "no test needs all of it")]

pub mod board;
pub mod certificates;
pub mod daemon;
pub mod emulator;
pub mod guest;
pub mod peer;
pub mod qmp;
pub mod qtest;
pub mod terminal;
pub mod virtio_blk;

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

/// Nothing that a test waits for takes this long, unless it never comes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for something to read: bytes, a connection to accept, the end of a process.
pub fn await_readable(what: &str, fd: impl AsFd) -> Result<(), String> {
    let deadline = Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
    match retry_on_intr(|| poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&deadline))) {
        Ok(0) => Err(format!("waited in vain for {what}")),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("poll: {error}")),
    }
}
