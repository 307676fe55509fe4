//! The virtual machine's run state behind its lock: the only place where it changes, and where STOP, RESUME, RESET,
//! SUSPEND, WAKEUP and SHUTDOWN are emitted.

use std::fmt;
use std::sync::Arc;

use qapi_schema::common::Timestamp;
use qapi_schema::run_state::{
    IoErrorReason, IoOperationType, RunState, ShutdownCause, StatusInfo, StopReasonInfo, event,
};
use qapi_schema::{Event, EventSink};

use crate::action::{Actions, End};
use crate::clock::Clock;
use crate::observer::{Observer, Priority, WakeupReason};
use crate::record::{IoFailure, Stops};
use crate::run_state::{
    IllegalTransition, NotSuspended, Start, StartRefused, after_reset, is_live, may_start, stop_reason, transition,
};
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
    /// The state that a stopped VM goes on in: `suspended` if the guest sleeps.
    live_state: RunState,
    stops: Stops,
    actions: Actions,
    /// Something in the machine can wake the guest up.
    can_wake_up: bool,
    /// SHUTDOWN was emitted: nothing follows it.
    ended: bool,
    /// In ascending priority.
    observers: Vec<(Priority, Arc<dyn Observer>)>,
}

impl Vm {
    /// A VM that was not started yet.
    pub fn new(events: Arc<dyn EventSink>, clock: impl Clock + 'static) -> Self {
        let state = State {
            run_state: RunState::Prelaunch,
            live_state: RunState::Running,
            stops: Stops::default(),
            actions: Actions::default(),
            can_wake_up: false,
            ended: false,
            observers: Vec::new(),
        };
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

    /// What is done about acts of the guest.
    pub fn actions(&self) -> Actions {
        self.state.lock().actions
    }

    /// Decides what is done about acts of the guest, from the next one on.
    pub fn update_actions(&self, update: impl FnOnce(&mut Actions)) {
        update(&mut self.state.lock().actions);
    }

    /// Says that something in the machine can wake up a guest that sleeps.
    pub fn support_wakeup(&self) {
        self.state.lock().can_wake_up = true;
    }

    /// Whether something in the machine can wake up a guest that sleeps.
    pub fn supports_wakeup(&self) -> bool {
        self.state.lock().can_wake_up
    }

    /// Emits an event that changes nothing, in its place between those that do.
    pub fn emit(&self, event: &dyn Event) {
        self.transaction(|tx| tx.emit(event));
    }

    /// Waits until nothing of the guest is under way any more, or the VM runs again.
    pub fn drain(&self) {
        self.observers().iter().for_each(|observer| observer.drain());
    }

    /// Brings what the guest has written to stable storage.
    pub fn flush(&self) {
        self.observers().iter().for_each(|observer| observer.flush());
    }

    fn observers(&self) -> Vec<Arc<dyn Observer>> {
        self.state.lock().observers.iter().map(|(_, observer)| observer.clone()).collect()
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

    /// Whether the VM is not stopped: the guest runs or sleeps.
    pub fn is_live(&self) -> bool {
        is_live(self.state.run_state)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.ended
    }

    pub(crate) fn actions(&self) -> Actions {
        self.state.actions
    }

    /// Emits an event, stamped with the time of this transaction.
    pub fn emit(&self, event: &dyn Event) {
        self.vm.events.emit(self.now, event);
    }

    /// Stops a VM that is live: observers are told, STOP is emitted. Does nothing to a stopped one, whose first cause stays
    /// its reason.
    ///
    /// # Errors
    /// `to` is no stopped state, or may not follow the present one.
    pub fn vm_stop(&mut self, to: RunState) -> Result<(), IllegalTransition> {
        if !self.is_live() {
            return Ok(());
        }
        let from = self.state.run_state;
        let reason = stop_reason(to).filter(|_| !is_live(to)).ok_or(IllegalTransition { from, to })?;
        self.halt(to)?;
        let stop_id = self.state.stops.begin(reason, self.now);
        self.emit(&event::Stop { reason, stop_id });
        Ok(())
    }

    /// Lets the VM go on: observers are told, RESUME is emitted. Does nothing to one that is live.
    ///
    /// # Errors
    /// The VM must be reset first, or has ended.
    pub fn vm_start(&mut self) -> Result<(), StartRefused> {
        if self.state.ended {
            return Err(StartRefused::Ended);
        }
        if may_start(self.state.run_state)? == Start::Run {
            self.observers().for_each(|observer| observer.will_start());
            self.state.run_state = self.state.live_state;
            self.state.stops.end(self.now);
            self.emit(&event::Resume);
            self.observers().for_each(|observer| observer.started());
        }
        Ok(())
    }

    /// Resets the guest: observers are told, RESET is emitted. One that is stopped becomes `prelaunch`, and so does one that
    /// sleeps, which is a stop, and is told as one.
    ///
    /// # Errors
    /// The VM can't be reset in its present state, or has ended.
    pub fn reset(&mut self, cause: ShutdownCause) -> Result<(), IllegalTransition> {
        let from = self.state.run_state;
        if self.state.ended {
            return Err(IllegalTransition { from, to: RunState::Prelaunch });
        }
        let to = after_reset(from)?;
        if !is_live(to) {
            self.vm_stop(to)?;
        }
        self.state.run_state = to;
        self.state.live_state = RunState::Running;
        let observers: Vec<_> = self.observers().cloned().collect();
        observers.iter().for_each(|observer| observer.reset(self));
        if is_told(cause) {
            self.emit(&event::Reset { guest: caused_by_guest(cause), reason: cause });
        }
        Ok(())
    }

    /// The guest goes to sleep, at once or when the VM goes on.
    pub(crate) fn suspend(&mut self) {
        if self.state.live_state == RunState::Suspended {
            return;
        }
        self.state.live_state = RunState::Suspended;
        if self.is_live() {
            self.state.run_state = RunState::Suspended;
        }
        self.observers().for_each(|observer| observer.suspended());
        self.emit(&event::Suspend);
    }

    /// The guest wakes up.
    pub(crate) fn wake_up(&mut self, reason: WakeupReason) -> Result<(), NotSuspended> {
        if self.state.run_state != RunState::Suspended {
            return Err(NotSuspended);
        }
        self.state.live_state = RunState::Running;
        self.state.run_state = RunState::Running;
        self.observers().for_each(|observer| observer.woken(reason));
        self.emit(&event::Wakeup);
        Ok(())
    }

    pub(crate) fn powerdown(&mut self) {
        self.emit(&event::Powerdown);
        self.observers().for_each(|observer| observer.powerdown());
    }

    /// Returns whether any observer took it.
    pub(crate) fn nmi(&mut self) -> bool {
        self.observers().filter(|observer| observer.nmi()).count() > 0
    }

    /// Ends the VM, whatever its state: SHUTDOWN is emitted, and nothing of the guest is started any more. What is held
    /// stays held.
    pub(crate) fn end(&mut self, end: End) {
        self.state.ended = true;
        self.emit_shutdown(end.cause);
        if self.is_live() {
            // Legal by the table, and the process ends in any case.
            let _ = self.halt(RunState::Shutdown);
        }
        self.observers().for_each(|observer| observer.ended(end));
    }

    pub(crate) fn emit_shutdown(&self, cause: ShutdownCause) {
        self.emit(&event::Shutdown { guest: caused_by_guest(cause), reason: cause });
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

/// Whether RESET is emitted: not for a reset that is none of the guest's.
const fn is_told(cause: ShutdownCause) -> bool {
    match cause {
        ShutdownCause::None | ShutdownCause::SubsystemReset | ShutdownCause::SnapshotLoad => false,
        ShutdownCause::HostError
        | ShutdownCause::HostQmpQuit
        | ShutdownCause::HostQmpSystemReset
        | ShutdownCause::HostSignal
        | ShutdownCause::HostUi
        | ShutdownCause::GuestShutdown
        | ShutdownCause::GuestReset
        | ShutdownCause::GuestPanic => true,
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
