//! What a backend has done, for `query-blockstats`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use qapi_schema::block_core::BlockDeviceStats;

use crate::request::Operation;

/// Counters of one backend. Each is exact; together they are no snapshot.
#[derive(Debug)]
pub struct Statistics {
    epoch: Instant,
    read: Counter,
    write: Counter,
    flush: Counter,
    unmap: Counter,
    /// Nanoseconds from `epoch` to the end of the latest operation, 0 before the first.
    latest: AtomicU64,
}

#[derive(Debug, Default)]
struct Counter {
    operations: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    failed: AtomicU64,
    invalid: AtomicU64,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            read: Counter::default(),
            write: Counter::default(),
            flush: Counter::default(),
            unmap: Counter::default(),
            latest: AtomicU64::new(0),
        }
    }
}

impl Statistics {
    /// Counts an operation that succeeded.
    pub fn done(&self, operation: &Operation, started: Instant) {
        let counter = self.counter(operation);
        counter.operations.fetch_add(1, Relaxed);
        if let Some((_, length)) = operation.range() {
            counter.bytes.fetch_add(length, Relaxed);
        }
        self.took(counter, started);
    }

    /// Counts an operation that failed for the guest. As in QEMU one that is held counts when it is answered, and one
    /// whose error is ignored as done.
    pub fn failed(&self, operation: &Operation, started: Instant) {
        let counter = self.counter(operation);
        counter.failed.fetch_add(1, Relaxed);
        self.took(counter, started);
    }

    /// Counts an operation that made no sense.
    pub fn invalid(&self, operation: &Operation) {
        self.counter(operation).invalid.fetch_add(1, Relaxed);
    }

    fn took(&self, counter: &Counter, started: Instant) {
        let now = Instant::now();
        counter.nanoseconds.fetch_add(nanoseconds(started, now), Relaxed);
        self.latest.fetch_max(nanoseconds(self.epoch, now), Relaxed);
    }

    /// As QEMU counts: write-zeroes is a write.
    const fn counter(&self, operation: &Operation) -> &Counter {
        match operation {
            Operation::Read { .. } => &self.read,
            Operation::Write { .. } | Operation::WriteZeroes { .. } => &self.write,
            Operation::Flush => &self.flush,
            Operation::Discard { .. } => &self.unmap,
        }
    }

    /// As `query-blockstats` shows them, with the highest offset written to of the node.
    pub fn to_qapi(&self, highest_written: u64) -> BlockDeviceStats {
        let latest = self.latest.load(Relaxed);
        let idle = (latest > 0).then(|| nanoseconds(self.epoch, Instant::now()).saturating_sub(latest));
        BlockDeviceStats {
            rd_bytes: load(&self.read.bytes),
            wr_bytes: load(&self.write.bytes),
            unmap_bytes: load(&self.unmap.bytes),
            rd_operations: load(&self.read.operations),
            wr_operations: load(&self.write.operations),
            flush_operations: load(&self.flush.operations),
            unmap_operations: load(&self.unmap.operations),
            rd_total_time_ns: load(&self.read.nanoseconds),
            wr_total_time_ns: load(&self.write.nanoseconds),
            flush_total_time_ns: load(&self.flush.nanoseconds),
            unmap_total_time_ns: load(&self.unmap.nanoseconds),
            idle_time_ns: idle.map(signed),
            failed_rd_operations: load(&self.read.failed),
            failed_wr_operations: load(&self.write.failed),
            failed_flush_operations: load(&self.flush.failed),
            failed_unmap_operations: load(&self.unmap.failed),
            invalid_rd_operations: load(&self.read.invalid),
            invalid_wr_operations: load(&self.write.invalid),
            invalid_unmap_operations: load(&self.unmap.invalid),
            account_invalid: true,
            account_failed: true,
            ..of_node(highest_written)
        }
    }
}

/// The statistics of a node: as in QEMU only the highest offset is known of one, operations are counted at backends.
pub fn of_node(highest_written: u64) -> BlockDeviceStats {
    BlockDeviceStats {
        rd_bytes: 0,
        wr_bytes: 0,
        zone_append_bytes: 0,
        unmap_bytes: 0,
        rd_operations: 0,
        wr_operations: 0,
        zone_append_operations: 0,
        flush_operations: 0,
        unmap_operations: 0,
        rd_total_time_ns: 0,
        wr_total_time_ns: 0,
        zone_append_total_time_ns: 0,
        flush_total_time_ns: 0,
        unmap_total_time_ns: 0,
        wr_highest_offset: signed(highest_written),
        rd_merged: 0,
        wr_merged: 0,
        zone_append_merged: 0,
        unmap_merged: 0,
        idle_time_ns: None,
        failed_rd_operations: 0,
        failed_wr_operations: 0,
        failed_zone_append_operations: 0,
        failed_flush_operations: 0,
        failed_unmap_operations: 0,
        invalid_rd_operations: 0,
        invalid_wr_operations: 0,
        invalid_zone_append_operations: 0,
        invalid_flush_operations: 0,
        invalid_unmap_operations: 0,
        account_invalid: false,
        account_failed: false,
        timed_stats: Vec::new(),
    }
}

fn nanoseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

fn load(counter: &AtomicU64) -> i64 {
    signed(counter.load(Relaxed))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
