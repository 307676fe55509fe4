//! What is done about acts of the guest, and how a VM ends; pure.

use qapi_schema::run_state::{
    GuestPanicAction, PanicAction, RebootAction, ShutdownAction, ShutdownCause, WatchdogAction,
};

/// What `set-action` and the command line decide. The default is QEMU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// When the guest is to be reset.
    pub reboot: RebootAction,
    /// When it shuts down.
    pub shutdown: ShutdownAction,
    /// When it panics.
    pub panic: PanicAction,
    /// When a watchdog expires.
    pub watchdog: WatchdogAction,
}

impl Default for Actions {
    fn default() -> Self {
        Self {
            reboot: RebootAction::Reset,
            shutdown: ShutdownAction::Poweroff,
            panic: PanicAction::Shutdown,
            watchdog: WatchdogAction::Reset,
        }
    }
}

/// The end of a VM, and of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What ended it, as in SHUTDOWN.
    pub cause: ShutdownCause,
    /// The exit status of the process, if nothing fails on the way.
    pub status: u8,
}

impl End {
    /// An end with nothing wrong about it.
    pub const fn of(cause: ShutdownCause) -> Self {
        Self { cause, status: 0 }
    }
}

/// What a request to reset the guest comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReset {
    /// The guest is reset.
    Reset,
    /// It is shut down, see [`OnShutdown`].
    ShutDown,
}

/// What a request to shut the guest down comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnShutdown {
    /// The VM stops.
    Stop,
    /// The VM ends.
    End(End),
}

impl Actions {
    /// What is done about a reset with this cause.
    pub const fn on_reset(&self, cause: ShutdownCause) -> OnReset {
        match (self.reboot, cause) {
            // A part of the machine is not the guest.
            (RebootAction::Shutdown, ShutdownCause::SubsystemReset) | (RebootAction::Reset, _) => OnReset::Reset,
            (RebootAction::Shutdown, _) => OnReset::ShutDown,
        }
    }

    /// What is done about a shutdown with this cause.
    pub fn on_shutdown(&self, cause: ShutdownCause) -> OnShutdown {
        match self.shutdown {
            ShutdownAction::Pause => OnShutdown::Stop,
            ShutdownAction::Poweroff => {
                let failure = cause == ShutdownCause::GuestPanic && self.panic == PanicAction::ExitFailure;
                OnShutdown::End(End { cause, status: failure.into() })
            }
        }
    }

    /// What is done about a panic, as GUEST_PANICKED tells it.
    pub const fn on_panic(&self) -> GuestPanicAction {
        match (self.panic, self.shutdown) {
            (PanicAction::None, _) => GuestPanicAction::Run,
            (PanicAction::Pause, _) | (PanicAction::Shutdown, ShutdownAction::Pause) => GuestPanicAction::Pause,
            (PanicAction::Shutdown, ShutdownAction::Poweroff) | (PanicAction::ExitFailure, _) => {
                GuestPanicAction::Poweroff
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_reboots_is_reset_unless_told_otherwise() {
        let mut actions = Actions::default();
        assert_eq!(actions.on_reset(ShutdownCause::GuestReset), OnReset::Reset);
        actions.reboot = RebootAction::Shutdown;
        assert_eq!(actions.on_reset(ShutdownCause::GuestReset), OnReset::ShutDown);
        assert_eq!(actions.on_reset(ShutdownCause::HostQmpSystemReset), OnReset::ShutDown);
        assert_eq!(actions.on_reset(ShutdownCause::SubsystemReset), OnReset::Reset);
    }

    #[test]
    fn only_a_panic_ends_in_failure_and_only_if_told_so() {
        for &panic in PanicAction::ALL {
            for &cause in ShutdownCause::ALL {
                let failure = panic == PanicAction::ExitFailure && cause == ShutdownCause::GuestPanic;
                let actions = Actions { panic, ..Actions::default() };
                assert_eq!(actions.on_shutdown(cause), OnShutdown::End(End { cause, status: failure.into() }));
                let actions = Actions { shutdown: ShutdownAction::Pause, ..actions };
                assert_eq!(actions.on_shutdown(cause), OnShutdown::Stop);
            }
        }
    }

    #[test]
    fn a_panic_that_would_shut_down_stops_where_shutdowns_do_but_a_failure_is_still_one() {
        let on_panic = |panic, shutdown| Actions { panic, shutdown, ..Actions::default() }.on_panic();
        for (panic, shutdown, expected) in [
            (PanicAction::None, ShutdownAction::Poweroff, GuestPanicAction::Run),
            (PanicAction::None, ShutdownAction::Pause, GuestPanicAction::Run),
            (PanicAction::Pause, ShutdownAction::Poweroff, GuestPanicAction::Pause),
            (PanicAction::Pause, ShutdownAction::Pause, GuestPanicAction::Pause),
            (PanicAction::Shutdown, ShutdownAction::Poweroff, GuestPanicAction::Poweroff),
            (PanicAction::Shutdown, ShutdownAction::Pause, GuestPanicAction::Pause),
            (PanicAction::ExitFailure, ShutdownAction::Poweroff, GuestPanicAction::Poweroff),
            (PanicAction::ExitFailure, ShutdownAction::Pause, GuestPanicAction::Poweroff),
        ] {
            assert_eq!(on_panic(panic, shutdown), expected, "{panic} {shutdown}");
        }
    }
}
