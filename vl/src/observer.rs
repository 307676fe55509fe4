//! Who is told when the VM stops and starts, and what an observer may do then.

use crate::vm::Transaction;

/// Where an observer stands: the lowest is told first when the VM starts and last when it stops, so that what others
/// depend on runs before them and stops after them.
pub type Priority = i32;

/// A subsystem that follows the run state.
///
/// Every method but [`drain`](Self::drain) is called with the VM's lock held, on the thread that changes the state. It
/// must not block and must not call the [`Vm`](crate::Vm) but through a transaction it is given; it may take locks that
/// come after the VM's.
pub trait Observer: Send + Sync {
    /// The VM is about to start. RESUME is not yet emitted.
    fn will_start(&self) {}

    /// The VM runs. RESUME is emitted.
    fn started(&self) {}

    /// The VM is stopped. STOP is not yet emitted.
    fn stopped(&self) {}

    /// The guest was reset. RESET is not yet emitted. By the transaction a device says what is no longer held; the
    /// run state is not to be changed.
    fn reset(&self, _tx: &mut Transaction<'_>) {}

    /// Waits until nothing of the guest is under way any more, or the VM runs again. Called without a lock; may block.
    fn drain(&self) {}
}
