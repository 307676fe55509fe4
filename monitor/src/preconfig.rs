//! The phase before the machine is built, in which most commands make no sense.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether only those commands are permitted that the schema allows before the machine is built (`allow-preconfig`).
/// Unless told otherwise, all are.
#[derive(Debug, Default)]
pub struct Preconfig(AtomicBool);

impl Preconfig {
    /// Begins the phase.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ends the phase. Returns whether it had begun.
    pub fn end(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// The phase has begun and not ended.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
