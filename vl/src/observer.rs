//! Who is told when the VM stops and starts, and what an observer may do then.

use crate::action::End;
use crate::vm::Transaction;

/// Where an observer stands: the lowest is told first when the VM starts and last when it stops, so that what others
/// depend on runs before them and stops after them. Of anything else the lowest is told first, too.
pub type Priority = i32;

/// What woke the guest up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeupReason {
    /// The alarm of its clock.
    Rtc,
    /// Its power management's timer.
    PmTimer,
    /// A key, a line of a modem, or the command `system_wakeup`.
    Other,
}

/// A subsystem that follows the run state.
///
/// Every method but [`drain`](Self::drain) and [`flush`](Self::flush) is called with the VM's lock held, on the thread that
/// changes the state. It must not block and must not call the [`Vm`](crate::Vm) but through a transaction it is given; it
/// may take locks that come after the VM's. Whoever calls the VM therefore holds none of those.
pub trait Observer: Send + Sync {
    /// The VM is about to start. RESUME is not yet emitted.
    fn will_start(&self) {}

    /// The VM goes on. RESUME is emitted. The guest may still sleep, as it did when it was stopped.
    fn started(&self) {}

    /// The VM is stopped. STOP is not yet emitted.
    fn stopped(&self) {}

    /// The guest was reset. RESET is not yet emitted. By the transaction a device says what is no longer held; the
    /// run state is not to be changed.
    fn reset(&self, _tx: &mut Transaction<'_>) {}

    /// The guest went to sleep. SUSPEND is not yet emitted. This is no stop: time goes on, and devices work.
    fn suspended(&self) {}

    /// The guest woke up. WAKEUP is not yet emitted.
    fn woken(&self, _reason: WakeupReason) {}

    /// The guest is to be asked to shut down. POWERDOWN is emitted.
    fn powerdown(&self) {}

    /// The guest is to be interrupted with a non-maskable interrupt. Returns whether this observer is able to.
    fn nmi(&self) -> bool {
        false
    }

    /// The VM has ended. SHUTDOWN is emitted. Told once, the last of all; the process is to end with the status given.
    fn ended(&self, _end: End) {}

    /// Waits until nothing of the guest is under way any more, or the VM runs again. Called without a lock; may block.
    fn drain(&self) {}

    /// Brings what the guest has written to stable storage, once everything is drained. Called without a lock; may block.
    /// Nobody is told whether it failed: whoever asks for a flush later has to be.
    fn flush(&self) {}
}
