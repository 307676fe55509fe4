//! Which run state may follow which, and the reason that each stopped state stands for.
//!
//! The day of most VMs, [`TRANSITIONS`] has the rest:
//!
//! ```text
//!   -S            cont                    I/O error, action stop
//!  ----> prelaunch ----> running ----------------------------------> io-error
//!            ^            |  ^ ^                                       |  |
//!            |       stop |  | +------- cont, retries what is held ----+  |
//!            |            v  | cont                                       |
//!            |           paused                                           |
//!            +------------------------ system_reset ----------------------+
//! ```
//!
//! A guest that sleeps is no stop: the VM is live, and goes on as what it was, with the events that a client knows it by.
//!
//! ```text
//!             SUSPEND                       STOP
//!   running ----------> suspended    live ------> stopped
//!           <----------                   <------
//!             WAKEUP                       RESUME
//! ```
//!
#![doc = include_str!("../../docs/run-state.svg")]

use std::fmt;

use qapi_schema::Error;
use qapi_schema::run_state::{RunState, StopReason};

use RunState::{
    Debug, FinishMigrate, GuestPanicked, Inmigrate, InternalError, IoError, Paused, Postmigrate, Prelaunch, RestoreVm,
    Running, SaveVm, Shutdown, Suspended, Watchdog,
};

/// QEMU 10's transitions: each state with those that may follow it. Beyond QEMU's, what can stop a guest that runs can stop
/// one that sleeps, whose devices work, and each goes on as what it was; QEMU would abort there.
pub const TRANSITIONS: &[(RunState, &[RunState])] = &[
    (Debug, &[Running, FinishMigrate, Prelaunch, Suspended]),
    (
        Inmigrate,
        &[
            InternalError,
            IoError,
            Paused,
            Running,
            Shutdown,
            Suspended,
            Watchdog,
            GuestPanicked,
            FinishMigrate,
            Prelaunch,
            Postmigrate,
        ],
    ),
    (InternalError, &[Paused, FinishMigrate, Prelaunch]),
    (IoError, &[Running, FinishMigrate, Prelaunch, Suspended]),
    (Paused, &[Running, FinishMigrate, Postmigrate, Prelaunch, Suspended]),
    (Postmigrate, &[Running, FinishMigrate, Prelaunch, Suspended]),
    (Prelaunch, &[Running, FinishMigrate, Inmigrate, Suspended]),
    (
        FinishMigrate,
        &[
            Running,
            Paused,
            Postmigrate,
            Prelaunch,
            InternalError,
            IoError,
            Shutdown,
            Suspended,
            Watchdog,
            GuestPanicked,
        ],
    ),
    (RestoreVm, &[Running, Prelaunch, Suspended]),
    (
        Running,
        &[
            Debug,
            InternalError,
            IoError,
            Paused,
            FinishMigrate,
            RestoreVm,
            SaveVm,
            Shutdown,
            Watchdog,
            GuestPanicked,
            Suspended,
        ],
    ),
    (SaveVm, &[Running, Suspended]),
    (Shutdown, &[Paused, FinishMigrate, Prelaunch]),
    (
        Suspended,
        &[
            Running,
            FinishMigrate,
            Prelaunch,
            Paused,
            SaveVm,
            RestoreVm,
            Shutdown,
            Debug,
            InternalError,
            IoError,
            Watchdog,
            GuestPanicked,
        ],
    ),
    (Watchdog, &[Running, FinishMigrate, Prelaunch, Suspended]),
    (GuestPanicked, &[Running, FinishMigrate, Prelaunch, Suspended]),
];

/// A change of the run state that [`TRANSITIONS`] does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// The present state.
    pub from: RunState,
    /// The state that may not follow it.
    pub to: RunState,
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A virtual machine that is '{}' can't become '{}'", self.from, self.to)
    }
}

impl std::error::Error for IllegalTransition {}

impl From<IllegalTransition> for Error {
    fn from(illegal: IllegalTransition) -> Self {
        Self::generic(illegal.to_string())
    }
}

/// Why a VM can't be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartRefused {
    /// The guest is in no state to go on before a reset.
    ResetRequired,
    /// The VM has ended: its process is about to.
    Ended,
}

impl fmt::Display for StartRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResetRequired => "Resetting the Virtual Machine is required",
            Self::Ended => "The Virtual Machine is shutting down",
        })
    }
}

impl std::error::Error for StartRefused {}

impl From<StartRefused> for Error {
    fn from(refused: StartRefused) -> Self {
        Self::generic(refused.to_string())
    }
}

/// Whether `to` may follow `from`.
///
/// # Errors
/// It may not.
pub fn transition(from: RunState, to: RunState) -> Result<RunState, IllegalTransition> {
    let followers = TRANSITIONS.iter().find(|(state, _)| *state == from).map_or(&[][..], |(_, followers)| followers);
    if followers.contains(&to) { Ok(to) } else { Err(IllegalTransition { from, to }) }
}

/// Why a guest can't be woken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSuspended;

impl fmt::Display for NotSuspended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unable to wake up: guest is not in suspended state")
    }
}

impl std::error::Error for NotSuspended {}

impl From<NotSuspended> for Error {
    fn from(refused: NotSuspended) -> Self {
        Self::generic(refused.to_string())
    }
}

/// Whether the VM is not stopped: time goes on and devices work, for a guest that runs or sleeps.
pub const fn is_live(state: RunState) -> bool {
    matches!(state, Running | Suspended)
}

/// The state after a reset.
///
/// # Errors
/// The guest's state must not be lost now.
pub fn after_reset(state: RunState) -> Result<RunState, IllegalTransition> {
    match state {
        Running | Prelaunch | Inmigrate | FinishMigrate => Ok(state),
        Debug | InternalError | IoError | Paused | Postmigrate | RestoreVm | SaveVm | Shutdown | Suspended
        | Watchdog | GuestPanicked => transition(state, Prelaunch),
    }
}

/// What `cont` is to do about a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing: it is live already.
    Nothing,
    /// Let it run, or sleep on.
    Run,
}

/// Whether a VM in this state may be started.
///
/// # Errors
/// It must be reset first.
pub const fn may_start(state: RunState) -> Result<Start, StartRefused> {
    match state {
        Running | Suspended => Ok(Start::Nothing),
        Shutdown | InternalError => Err(StartRefused::ResetRequired),
        Debug | Inmigrate | IoError | Paused | Postmigrate | Prelaunch | FinishMigrate | RestoreVm | SaveVm
        | Watchdog | GuestPanicked => Ok(Start::Run),
    }
}

/// Why a VM in this state is stopped, or the guest sleeps; `None` if it runs.
pub const fn stop_reason(state: RunState) -> Option<StopReason> {
    Some(match state {
        Running => return None,
        Paused => StopReason::User,
        Debug => StopReason::Debug,
        Shutdown => StopReason::Shutdown,
        IoError => StopReason::Ioerror,
        Watchdog => StopReason::Watchdog,
        GuestPanicked => StopReason::Panic,
        SaveVm => StopReason::Savevm,
        RestoreVm => StopReason::Loadvm,
        FinishMigrate | Postmigrate => StopReason::Migrate,
        Prelaunch => StopReason::Prelaunch,
        Inmigrate => StopReason::Incoming,
        Suspended => StopReason::Suspended,
        InternalError => StopReason::InternalError,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_row_once() {
        let mut rows: Vec<_> = TRANSITIONS.iter().map(|(state, _)| state.as_str()).collect();
        rows.sort_unstable();
        let mut all: Vec<_> = RunState::ALL.iter().map(|state| state.as_str()).collect();
        all.sort_unstable();
        assert_eq!(rows, all);
    }

    #[test]
    fn a_transition_outside_the_table_is_refused_by_name() {
        assert_eq!(transition(Running, IoError), Ok(IoError));
        let refused = transition(IoError, Watchdog).expect_err("no such row");
        assert_eq!(refused.to_string(), "A virtual machine that is 'io-error' can't become 'watchdog'");
    }

    #[test]
    fn every_stopped_state_has_a_reason_and_only_running_has_none() {
        for &state in RunState::ALL {
            assert_eq!(stop_reason(state).is_none(), state == Running, "{state}");
        }
    }

    #[test]
    fn every_state_that_may_start_can_become_what_the_guest_was() {
        for &state in RunState::ALL {
            if may_start(state) == Ok(Start::Run) {
                assert_eq!(transition(state, Running), Ok(Running), "{state}");
                assert_eq!(transition(state, Suspended), Ok(Suspended), "{state}");
            }
        }
    }

    #[test]
    fn whatever_stops_a_guest_that_runs_stops_one_that_sleeps() {
        for &state in RunState::ALL {
            if !is_live(state) && transition(Running, state).is_ok() {
                assert_eq!(transition(Suspended, state), Ok(state), "{state}");
            }
        }
    }
}
