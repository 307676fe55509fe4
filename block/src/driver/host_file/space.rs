//! Giving space back to the file system, and zeroing without writing: `fallocate`, where it is supported.

use std::fs;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// What the file system has refused so far, and need not be asked for again.
#[derive(Debug, Default)]
pub(super) struct Space {
    no_punching: AtomicBool,
    no_zeroing: AtomicBool,
}

impl Space {
    /// Gives `range` back, where that is possible.
    pub(super) fn discard(&self, file: &fs::File, range: Range<u64>) -> io::Result<()> {
        self.punch(file, range).map(|_| ())
    }

    /// Zeroes `range`; false if that must be done by writing. Without `unmap` the space is there afterwards.
    pub(super) fn zero(&self, file: &fs::File, range: Range<u64>, unmap: bool) -> io::Result<bool> {
        if unmap && self.punch(file, range.clone())? {
            return Ok(true);
        }
        if attempt(&self.no_zeroing, file, FallocateFlags::ZERO_RANGE, range.clone())? {
            return Ok(true);
        }
        // Some file systems (tmpfs) can't zero a range, but can give it back and allocate it anew.
        Ok(!unmap && self.punch(file, range.clone())? && allocate(file, range)?)
    }

    fn punch(&self, file: &fs::File, range: Range<u64>) -> io::Result<bool> {
        attempt(&self.no_punching, file, FallocateFlags::PUNCH_HOLE, range)
    }
}

fn attempt(refused: &AtomicBool, file: &fs::File, flags: FallocateFlags, range: Range<u64>) -> io::Result<bool> {
    if refused.load(Ordering::Relaxed) {
        return Ok(false);
    }
    match call(file, flags, range) {
        Ok(()) => Ok(true),
        // Not this range; another one perhaps.
        Err(Errno::INVAL) => Ok(false),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::NOTTY) => {
            refused.store(true, Ordering::Relaxed);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn allocate(file: &fs::File, range: Range<u64>) -> io::Result<bool> {
    match call(file, FallocateFlags::empty(), range) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::NOTTY) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn call(file: &fs::File, flags: FallocateFlags, range: Range<u64>) -> Result<(), Errno> {
    loop {
        match fallocate(file, flags | FallocateFlags::KEEP_SIZE, range.start, range.end - range.start) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
