//! The virtual machine's run state behind its lock: the only place where it changes, and where STOP, RESUME, RESET and
//! SHUTDOWN are emitted.

use std::fmt;
use std::sync::Arc;

use qapi_schema::common::Timestamp;
use qapi_schema::run_state::{
    IoErrorReason, IoOperationType, RunState, ShutdownCause, StatusInfo, StopReasonInfo, event,
};
use qapi_schema::{Event, EventSink};

use crate::clock::Clock;
use crate::observer::{Observer, Priority};
use crate::record::{IoFailure, Stops};
use crate::run_state::{IllegalTransition, Start, StartRefused, may_start, stop_reason, transition};
use crate::sync::{Mutex, MutexGuard};

/// A virtual machine, as far as running and stopping goes.
///
/// Its lock is the outermost of all: VM, held requests, broadcaster, session outbox.
pub struct Vm {
    state: Mutex<State>,
    events: Arc<dyn EventSink>,
    clock: Box<dyn Clock>,
}

struct State {
    run_state: RunState,
    stops: Stops,
    /// SHUTDOWN was emitted: nothing follows it.
    ended: bool,
    /// In ascending priority.
    observers: Vec<(Priority, Arc<dyn Observer>)>,
}

impl Vm {
    /// A VM that was not started yet.
    pub fn new(events: Arc<dyn EventSink>, clock: impl Clock + 'static) -> Self {
        let state =
            State { run_state: RunState::Prelaunch, stops: Stops::default(), ended: false, observers: Vec::new() };
        Self { state: Mutex::new(state), events, clock: Box::new(clock) }
    }

    /// From now on tells `observer` what happens. Registered while the VM runs, it hears of the next change first.
    pub fn observe(&self, priority: Priority, observer: Arc<dyn Observer>) {
        let observers = &mut self.state.lock().observers;
        let at = observers.partition_point(|(other, _)| *other <= priority);
        observers.insert(at, (priority, observer));
    }

    /// Holds the run state still while `body` runs: nobody stops, starts or queries the VM in between.
    ///
    /// `body` must not block and must not call this VM but through the transaction. It may take locks that come after
    /// the VM's, see [`Vm`].
    pub fn transaction<R>(&self, body: impl FnOnce(&mut Transaction<'_>) -> R) -> R {
        let state = self.state.lock();
        body(&mut Transaction { now: self.clock.now(), vm: self, state })
    }

    /// The run state.
    pub fn status(&self) -> StatusInfo {
        let status = self.state.lock().run_state;
        StatusInfo { running: status == RunState::Running, status }
    }

    /// Why the VM is stopped, and its latest stop.
    pub fn stop_reason(&self) -> StopReasonInfo {
        let state = self.state.lock();
        StopReasonInfo { reason: stop_reason(state.run_state), last_stop: state.stops.last().cloned() }
    }

    /// Emits an event that changes nothing, in its place between those that do.
    pub fn emit(&self, event: &dyn Event) {
        self.transaction(|tx| tx.emit(event));
    }

    /// Waits until nothing of the guest is under way any more, or the VM runs again.
    pub fn drain(&self) {
        let observers: Vec<_> = self.state.lock().observers.iter().map(|(_, observer)| observer.clone()).collect();
        for observer in observers {
            observer.drain();
        }
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("run_state", &self.state.lock().run_state).finish_non_exhaustive()
    }
}

/// Changes of a VM that nobody can come between.
pub struct Transaction<'a> {
    vm: &'a Vm,
    state: MutexGuard<'a, State>,
    now: Timestamp,
}

impl Transaction<'_> {
    /// The present run state.
    pub fn run_state(&self) -> RunState {
        self.state.run_state
    }

    /// Whether the guest runs.
    pub fn is_running(&self) -> bool {
        self.state.run_state == RunState::Running
    }

    /// Emits an event, stamped with the time of this transaction.
    pub fn emit(&self, event: &dyn Event) {
        self.vm.events.emit(self.now, event);
    }

    /// Stops a running VM: observers are told, STOP is emitted. Does nothing to a stopped one, whose first cause stays
    /// its reason.
    ///
    /// # Errors
    /// `to` may not follow `running`.
    pub fn vm_stop(&mut self, to: RunState) -> Result<(), IllegalTransition> {
        if !self.is_running() {
            return Ok(());
        }
        let illegal = IllegalTransition { from: RunState::Running, to };
        let reason = stop_reason(to).ok_or(illegal)?;
        self.halt(to)?;
        let stop_id = self.state.stops.begin(reason, self.now);
        self.emit(&event::Stop { reason, stop_id });
        Ok(())
    }

    /// Lets the VM run: observers are told, RESUME is emitted. Does nothing to one that runs.
    ///
    /// # Errors
    /// The VM must be reset first, or has ended.
    pub fn vm_start(&mut self) -> Result<(), StartRefused> {
        if self.state.ended {
            return Err(StartRefused::Ended);
        }
        if may_start(self.state.run_state)? == Start::Run {
            self.observers().for_each(|observer| observer.will_start());
            self.state.run_state = RunState::Running;
            self.state.stops.end(self.now);
            self.emit(&event::Resume);
            self.observers().for_each(|observer| observer.started());
        }
        Ok(())
    }

    /// Resets the guest: observers are told, RESET is emitted. One that is stopped becomes `prelaunch`.
    ///
    /// # Errors
    /// The VM can't be reset in its present state, or has ended.
    pub fn reset(&mut self, reason: ShutdownCause) -> Result<(), IllegalTransition> {
        if self.state.ended {
            return Err(IllegalTransition { from: self.state.run_state, to: RunState::Prelaunch });
        }
        if !self.is_running() && self.state.run_state != RunState::Prelaunch {
            self.state.run_state = transition(self.state.run_state, RunState::Prelaunch)?;
        }
        let observers: Vec<_> = self.observers().cloned().collect();
        observers.iter().for_each(|observer| observer.reset(self));
        self.emit(&event::Reset { guest: caused_by_guest(reason), reason });
        Ok(())
    }

    /// Ends the VM, whatever its state: SHUTDOWN is emitted, and nothing of the guest is started any more. What is held
    /// stays held.
    pub fn shutdown(&mut self, reason: ShutdownCause) {
        self.state.ended = true;
        self.emit(&event::Shutdown { guest: caused_by_guest(reason), reason });
        if self.is_running() {
            // Legal by the table, and the process ends in any case.
            let _ = self.halt(RunState::Shutdown);
        }
    }

    /// Notes a guest request that failed and is held in the present stop.
    pub fn record_io_failure(&mut self, failure: IoFailure) {
        let now = self.now;
        self.state.stops.add_failure(failure, now);
    }

    /// Notes that a request of the present stop is no longer held, because its client is gone.
    pub fn forget_held(&mut self, qom_path: &str, operation: IoOperationType, reason: IoErrorReason) {
        self.state.stops.remove_held(qom_path, operation, reason);
    }

    fn halt(&mut self, to: RunState) -> Result<(), IllegalTransition> {
        self.state.run_state = transition(self.state.run_state, to)?;
        self.observers().rev().for_each(|observer| observer.stopped());
        Ok(())
    }

    fn observers(&self) -> impl DoubleEndedIterator<Item = &Arc<dyn Observer>> {
        self.state.observers.iter().map(|(_, observer)| observer)
    }
}

const fn caused_by_guest(reason: ShutdownCause) -> bool {
    match reason {
        ShutdownCause::GuestShutdown | ShutdownCause::GuestReset | ShutdownCause::GuestPanic => true,
        ShutdownCause::None
        | ShutdownCause::HostError
        | ShutdownCause::HostQmpQuit
        | ShutdownCause::HostQmpSystemReset
        | ShutdownCause::HostSignal
        | ShutdownCause::HostUi
        | ShutdownCause::SubsystemReset
        | ShutdownCause::SnapshotLoad => false,
    }
}
