//! Memory for what clients have begun to say: however many there are, they share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is left of the memory, in bytes.
#[derive(Debug)]
pub struct Budget(AtomicUsize);

/// A part of a budget, given back when it is dropped.
#[derive(Debug, Default)]
pub struct Charge(Option<(Arc<Budget>, usize)>);

impl Budget {
    /// A budget of so many bytes.
    pub const fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// One item that is as large as [`Limits`](super::Limits) permit has room, whatever it consists of.
impl Default for Budget {
    fn default() -> Self {
        Self::new(512 << 20)
    }
}

impl Charge {
    /// Takes more of `budget`, always the same; `false` if that has no more.
    pub(super) fn grow(&mut self, budget: &Arc<Budget>, bytes: usize) -> bool {
        let has = budget.take(bytes);
        if has {
            self.0.get_or_insert_with(|| (Arc::clone(budget), 0)).1 += bytes;
        }
        has
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some((budget, bytes)) = &self.0 {
            budget.0.fetch_add(*bytes, Ordering::Relaxed);
        }
    }
}
