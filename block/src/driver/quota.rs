//! The driver `quota`: a filter that runs out of space once the node beneath has allocated a limit.
//!
//! It makes a thin pool of anything, needs neither root nor a file system of its own, and fails like a full disk:
//! with ENOSPC, before anything was written. The limit is moved by reopening the node.
//!
//! Space is charged in granules of 4 KiB, beginning with what the node beneath has allocated when the quota is opened.
//! Writes and zeroes that keep their space are charged before they are done, all or nothing, so that concurrent writers
//! never pass the limit together. What a discard gives back is not guessed but looked up in the node beneath. What others
//! allocate behind the quota's back is not seen, nor is space that was preallocated and never written to.
//!
//! The accounting takes at most 1/24 of the data that was stored, and 85 MiB per TiB of disk; much less for a disk that is
//! written to in long runs (`granules.rs`).

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::Error;
use rustix::io::Errno;

use super::range_lock::{Mode, RangeLock};
use super::{BlockDriver, DriverOptions, Reopening, unchangeable};
use crate::error::message;
use crate::node::Node;
use account::Account;

mod account;
mod granules;

/// What space is charged in, in bytes.
pub const GRANULE: u64 = 4096;

/// The options of `quota`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaOptions {
    /// How many bytes the node beneath may allocate. A part of a granule doesn't count.
    pub limit: u64,
}

/// The driver `quota`.
///
/// Locks, outermost first: a range (shared by writes, alone for what gives space back), the account. The account's is
/// never held during I/O.
#[derive(Debug)]
pub struct Quota {
    child: Arc<Node>,
    ranges: RangeLock,
    account: Mutex<Account>,
}

impl Quota {
    /// A quota on what `child` allocates.
    ///
    /// # Errors
    /// The child can't tell what it has allocated.
    pub fn new(child: Arc<Node>, options: QuotaOptions) -> Result<Self, Error> {
        let mut account = Account::new(options.limit / GRANULE);
        let mut from = 0;
        while let Some(data) = child.next_data(from).map_err(|error| Error::generic(message(&error)))? {
            account.charge(&granules(&data));
            from = data.end;
        }
        Ok(Self { child, ranges: RangeLock::default(), account: Mutex::new(account) })
    }

    /// How many bytes are charged.
    pub fn used(&self) -> u64 {
        self.account.lock().used().saturating_mul(GRANULE)
    }

    /// Does what allocates `range`, if the limit permits.
    fn allocate(&self, range: Range<u64>, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let granules = granules(&range);
        let guard = self.ranges.lock(granules.clone(), Mode::Shared);
        self.account.lock().reserve(&granules).map_err(|account::OverLimit| Errno::NOSPC)?;
        let result = write();
        if result.is_ok() {
            self.account.lock().settle(&granules);
        } else {
            drop(guard);
            self.take_back(granules);
        }
        result
    }

    /// A write failed: gives back what it was charged for and has not allocated after all.
    fn take_back(&self, granules: Range<u64>) {
        let _guard = self.ranges.lock(granules.clone(), Mode::Exclusive);
        if !self.account.lock().is_unsettled(&granules) {
            return;
        }
        // Whoever can't be asked may have allocated everything.
        let settle = |account: &mut Account, range: &_| account.settle(range);
        if self.for_each_extent(&granules, settle, Account::give_back_unsettled).is_err() {
            self.account.lock().settle(&granules);
        }
    }

    /// Gives back what the child no longer has allocated after it was to free `bytes`. A granule that is covered in part is
    /// kept: it may be allocated although there is no data in it.
    fn give_back(&self, bytes: &Range<u64>) -> io::Result<()> {
        let covered = bytes.start.div_ceil(GRANULE)..bytes.end / GRANULE;
        self.for_each_extent(&covered, |_, _| (), Account::give_back)
    }

    /// Tells the account which granules the child has allocated, and which it hasn't.
    fn for_each_extent(
        &self,
        range: &Range<u64>,
        allocated: impl Fn(&mut Account, &Range<u64>),
        free: impl Fn(&mut Account, &Range<u64>),
    ) -> io::Result<()> {
        let mut from = range.start;
        while from < range.end {
            let data = self.child.next_data(from.saturating_mul(GRANULE))?;
            let data = data.map_or(range.end..range.end, |data| granules(&data));
            let (start, end) = (data.start.clamp(from, range.end), data.end.min(range.end));
            let mut account = self.account.lock();
            if from < start {
                free(&mut account, &(from..start));
            }
            if start < end {
                allocated(&mut account, &(start..end));
            }
            from = end;
        }
        Ok(())
    }

    fn zero_occupied(&self, mut range: Range<u64>) -> io::Result<()> {
        while let Some(run) = self.next_occupied(&range)? {
            self.child.write_zeroes(run.start, run.end - run.start, true, false)?;
            range.start = run.end;
        }
        Ok(())
    }

    /// The next bytes of `range` that may be anything but zeroes: charged, or allocated by others.
    fn next_occupied(&self, range: &Range<u64>) -> io::Result<Option<Range<u64>>> {
        let charged = self.account.lock().next_charged(range.start / GRANULE);
        let charged = charged.map(|run| run.start * GRANULE..run.end.saturating_mul(GRANULE));
        let data = self.child.next_data(range.start)?;
        let first = charged.into_iter().chain(data).min_by_key(|run| run.start);
        let cut = first.map(|run| run.start.max(range.start)..run.end.min(range.end));
        Ok(cut.filter(|run| !run.is_empty()))
    }
}

/// The granules that a range of bytes touches.
const fn granules(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / GRANULE..bytes.end.div_ceil(GRANULE)
}

impl BlockDriver for Quota {
    fn name(&self) -> &'static str {
        "quota"
    }

    fn child(&self) -> Option<&Arc<Node>> {
        Some(&self.child)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.child.read(offset, buffer)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.allocate(offset..offset + data.len() as u64, || self.child.write(offset, data, false))
    }

    fn flush(&self) -> io::Result<()> {
        self.child.flush()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let range = offset..offset + length;
        let _guard = self.ranges.lock(granules(&range), Mode::Exclusive);
        let result = self.child.discard(offset, length);
        result.and(self.give_back(&range))
    }

    /// With `unmap`, what was never allocated is left alone: it reads as zeroes and costs nothing.
    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        let range = offset..offset + length;
        if !unmap {
            return self.allocate(range, || self.child.write_zeroes(offset, length, false, false));
        }
        let _guard = self.ranges.lock(granules(&range), Mode::Exclusive);
        let result = self.zero_occupied(range.clone());
        result.and(self.give_back(&range))
    }

    fn length(&self) -> io::Result<u64> {
        self.child.length()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let cut = length.div_ceil(GRANULE)..u64::MAX / GRANULE;
        let _guard = self.ranges.lock(cut.clone(), Mode::Exclusive);
        self.child.truncate(length)?;
        self.account.lock().give_back(&cut);
        Ok(())
    }

    /// What counts against the limit.
    fn allocated(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.used()))
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.child.next_data(from)
    }

    /// The limit is what can be changed. One below what is used takes nothing away.
    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error> {
        let DriverOptions::Quota(QuotaOptions { limit }, child) = options else {
            return Err(unchangeable("driver"));
        };
        if !Arc::ptr_eq(child, &self.child) {
            return Err(unchangeable("file"));
        }
        let limit = limit / GRANULE;
        let commit = move || self.account.lock().set_limit(limit);
        Ok(Reopening { read_only: false, shrinks: false, commit: Box::new(commit) })
    }
}
