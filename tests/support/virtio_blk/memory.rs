//! Guest memory that a driver gives to its rings and requests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

/// A range of guest memory, parts of which are in use.
pub struct GuestMemory {
    /// What is free: starts and ends. No two ranges touch.
    free: Mutex<BTreeMap<u64, u64>>,
}

/// A part that is in use until this is dropped.
pub struct Allocation {
    memory: Arc<GuestMemory>,
    range: Range<u64>,
}

impl GuestMemory {
    /// All of it is free.
    pub fn new(range: Range<u64>) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(BTreeMap::from([(range.start, range.end)])) })
    }

    /// The lowest part of this size at a multiple of `align`.
    pub fn allocate(self: &Arc<Self>, size: u64, align: u64) -> Result<Allocation, String> {
        let mut free = self.free.lock();
        let fit = free.iter().find_map(|(&start, &end)| {
            let at = start.next_multiple_of(align);
            (at + size <= end).then_some((start, at, end))
        });
        let (start, at, end) = fit.ok_or_else(|| format!("no {size} bytes of guest memory are free"))?;
        free.remove(&start);
        free.extend([(start, at), (at + size, end)].into_iter().filter(|(start, end)| start < end));
        Ok(Allocation { memory: self.clone(), range: at..at + size })
    }
}

impl Allocation {
    /// Where it is.
    pub fn address(&self) -> u64 {
        self.range.start
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let mut free = self.memory.free.lock();
        let Range { mut start, mut end } = self.range;
        if let Some(after) = free.remove(&end) {
            end = after;
        }
        if let Some((&before, _)) = free.range(..start).next_back().filter(|(_, before)| **before == start) {
            start = before;
        }
        if start < end {
            free.insert(start, end);
        }
    }
}
