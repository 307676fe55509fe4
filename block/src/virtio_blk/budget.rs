//! How much data of a device may be on its way at the same time: what a guest can make the host keep for it.

use vl::sync::atomic::{AtomicUsize, Ordering};

/// The most that is asked of the disk at once. What is longer goes in pieces.
pub(super) const PIECE: usize = 1 << 20;

/// The most that is kept for requests that are under way, or held.
const MOST: usize = 64 * PIECE;

/// Bytes in use.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    /// Reserves up to a [`PIECE`], if so much is left.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let add = |used: usize| Some(used + bytes).filter(|sum| *sum <= MOST);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
    }

    /// Whether so much is left.
    pub(super) fn has(&self, bytes: usize) -> bool {
        self.0.load(Ordering::SeqCst) + bytes <= MOST
    }

    /// Gives back. Returns whether somebody might have been refused meanwhile.
    pub(super) fn release(&self, bytes: usize) -> bool {
        bytes > 0 && self.0.fetch_sub(bytes, Ordering::SeqCst) > MOST - PIECE
    }
}
