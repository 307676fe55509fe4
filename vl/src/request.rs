//! What a guest does by its devices, and what a host asks for: requests that the [`Actions`](crate::Actions) decide
//! about, and what each of them emits.
//!
//! ```text
//!   guest_panicked    none:           GUEST_PANICKED run
//!                     pause:          GUEST_PANICKED pause, STOP panic
//!                     shutdown:       GUEST_PANICKED poweroff, STOP panic, SHUTDOWN guest-panic and the end
//!                     exit-failure:   the same, with exit status 1
//!   watchdog_expired  WATCHDOG, then the reset, POWERDOWN, SHUTDOWN and the end, STOP watchdog, a line, nothing, an NMI
//!   shutdown_request  poweroff:       SHUTDOWN and the end
//!                     pause:          SHUTDOWN, STOP shutdown
//!   reset_request     reset:          RESET
//!                     shutdown:       as shutdown_request
//!   internal_error    STOP internal-error
//!   suspend_request   SUSPEND         wakeup_request  WAKEUP         powerdown_request  POWERDOWN
//! ```
//!
//! A STOP is missing where the VM was stopped before, whose reason then stays; nothing is emitted once the VM has ended.
//!
//! Every request is one transaction, does not block, and has taken effect when it returns: with `SHUTDOWN and the end`
//! nothing of the guest is started any more, and the process is about to end. It may be called on any thread, also that
//! of a device in the middle of the guest's access, but not with a lock held that an [`Observer`](crate::Observer) takes,
//! and not from within one.

use qapi_schema::Error;
use qapi_schema::run_state::{GuestPanicAction, GuestPanicInformation, RunState, ShutdownCause, WatchdogAction, event};

use crate::action::{End, OnReset, OnShutdown};
use crate::observer::WakeupReason;
use crate::run_state::{IllegalTransition, NotSuspended};
use crate::vm::{Transaction, Vm};

impl Vm {
    /// The guest panicked; `info` is how it describes that, if it does.
    pub fn guest_panicked(&self, info: Option<GuestPanicInformation>) {
        self.request(|tx| {
            let action = tx.actions().on_panic();
            tx.emit(&event::GuestPanicked { action, info });
            match action {
                GuestPanicAction::Run => {}
                GuestPanicAction::Pause => tx.stop_live(RunState::GuestPanicked),
                GuestPanicAction::Poweroff => {
                    tx.stop_live(RunState::GuestPanicked);
                    tx.shut_down(ShutdownCause::GuestPanic);
                }
            }
        });
    }

    /// The guest panicked, and deals with it itself.
    pub fn guest_crashloaded(&self, info: Option<GuestPanicInformation>) {
        self.request(|tx| tx.emit(&event::GuestCrashloaded { action: GuestPanicAction::Run, info }));
    }

    /// The guest shut down by its panic device: GUEST_PVSHUTDOWN, then a [`shutdown_request`](Self::shutdown_request).
    pub fn guest_pvshutdown(&self) {
        self.request(|tx| {
            tx.emit(&event::GuestPvshutdown);
            tx.shut_down(ShutdownCause::GuestShutdown);
        });
    }

    /// A watchdog expired.
    pub fn watchdog_expired(&self) {
        self.transaction(|tx| tx.watchdog_expired());
    }

    /// The guest shut down, or somebody on the host wants it to have: with the action *pause* the VM stops until a reset,
    /// else it ends.
    pub fn shutdown_request(&self, cause: ShutdownCause) {
        self.request(|tx| tx.shut_down(cause));
    }

    /// The guest is to be reset. One that runs goes on; one that is stopped or sleeps becomes `prelaunch`, awake. With the
    /// action *shutdown* it is a [`shutdown_request`](Self::shutdown_request) instead.
    ///
    /// # Errors
    /// The VM can't be reset in its present state, or has ended.
    pub fn reset_request(&self, cause: ShutdownCause) -> Result<(), IllegalTransition> {
        self.transaction(|tx| tx.reset_or_shut_down(cause))
    }

    /// The guest is to be asked to shut down, whatever the VM's state: a power device hears of it.
    pub fn powerdown_request(&self) {
        self.request(|tx| tx.powerdown());
    }

    /// The guest goes to sleep. No stop: the VM is `suspended`, and can be stopped. A guest that does so in a stopped VM
    /// sleeps from the next `cont`; one that sleeps goes on sleeping.
    pub fn suspend_request(&self) {
        self.request(|tx| tx.suspend());
    }

    /// The guest saved itself on its disk: SUSPEND_DISK, then a [`shutdown_request`](Self::shutdown_request).
    pub fn suspend_disk_request(&self) {
        self.request(|tx| {
            tx.emit(&event::SuspendDisk);
            tx.shut_down(ShutdownCause::GuestShutdown);
        });
    }

    /// Something wakes the guest up, and it runs.
    ///
    /// # Errors
    /// It does not sleep, or was stopped while it slept.
    pub fn wakeup_request(&self, reason: WakeupReason) -> Result<(), NotSuspended> {
        self.transaction(|tx| tx.wake_up(reason))
    }

    /// The VM itself fails: a device finds its own state broken, or is asked for what it can neither do nor refuse, and to
    /// go on could hurt the guest's data. The VM stops until a reset. `what` is logged.
    pub fn internal_error(&self, what: &str) {
        tracing::error!("internal error: {what}");
        self.request(|tx| tx.stop_live(RunState::InternalError));
    }

    /// Interrupts the guest with a non-maskable interrupt.
    ///
    /// # Errors
    /// No observer is able to.
    pub fn nmi_request(&self) -> Result<(), Error> {
        let taken = self.transaction(|tx| tx.nmi());
        taken.then_some(()).ok_or_else(|| Error::generic("This machine has no non-maskable interrupt"))
    }

    /// Ends the VM, whatever its state and its actions: SHUTDOWN is emitted. For `quit`, signals, and whoever embeds the
    /// VM. What is held stays held. Does nothing if it has ended already.
    pub fn end(&self, cause: ShutdownCause) {
        self.request(|tx| tx.end(End::of(cause)));
    }

    /// SHUTDOWN is the last that is heard of a VM.
    fn request(&self, body: impl FnOnce(&mut Transaction<'_>)) {
        self.transaction(|tx| {
            if !tx.has_ended() {
                body(tx);
            }
        });
    }
}

impl Transaction<'_> {
    /// A watchdog expired, see [`Vm::watchdog_expired`].
    pub fn watchdog_expired(&mut self) {
        if self.has_ended() {
            return;
        }
        let action = self.actions().watchdog;
        self.emit(&event::Watchdog { action });
        match action {
            WatchdogAction::Reset => {
                // A guest whose state can't be lost is stopped, and its watchdog with it.
                let _ = self.reset_or_shut_down(ShutdownCause::GuestReset);
            }
            WatchdogAction::Shutdown => self.powerdown(),
            // QEMU ends without a word here, which a client takes for a crash.
            WatchdogAction::Poweroff => self.end(End::of(ShutdownCause::GuestShutdown)),
            WatchdogAction::Pause => self.stop_live(RunState::Watchdog),
            WatchdogAction::Debug => tracing::warn!("the guest's watchdog expired"),
            WatchdogAction::None => {}
            WatchdogAction::InjectNmi => {
                self.nmi();
            }
        }
    }

    /// Stops the VM if it is live, in a state that may follow both live ones.
    fn stop_live(&mut self, to: RunState) {
        if let Err(illegal) = self.vm_stop(to) {
            tracing::error!(%illegal, "the VM was not stopped");
        }
    }

    fn shut_down(&mut self, cause: ShutdownCause) {
        match self.actions().on_shutdown(cause) {
            OnShutdown::End(end) => self.end(end),
            OnShutdown::Stop => {
                self.emit_shutdown(cause);
                self.stop_live(RunState::Shutdown);
            }
        }
    }

    fn reset_or_shut_down(&mut self, cause: ShutdownCause) -> Result<(), IllegalTransition> {
        match self.actions().on_reset(cause) {
            OnReset::ShutDown if !self.has_ended() => {
                self.shut_down(cause);
                Ok(())
            }
            OnReset::ShutDown | OnReset::Reset => self.reset(cause),
        }
    }
}
