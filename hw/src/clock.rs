//! The virtual clock, and the timers on it.
//!
//! It follows the host's monotonic clock while the VM runs and stands still while the VM is stopped; or it is driven, as by
//! a test, and moves only when told to. Either way a timer fires only while the VM runs.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use vl::{Transaction, Vm};

type Callback = Arc<dyn Fn(Due<'_>) + Send + Sync>;

/// By deadline, then by age of the timer.
type Key = (u64, u64);

/// A clock in nanoseconds since the machine was made. Register it as an observer of the VM.
///
/// Lock order: the VM's, then `state`. Callbacks are called with neither held.
pub struct VirtualClock(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// One callback at a time, so that they come in the order of their deadlines.
    firing: Mutex<()>,
}

struct State {
    time: Time,
    running: bool,
    /// The clock is gone: nothing fires any more.
    abandoned: bool,
    next_timer: u64,
    armed: BTreeMap<Key, Callback>,
}

enum Time {
    /// As it was told.
    Driven(u64),
    /// What had passed when the VM was last stopped, and when it was started again, if it runs.
    Host(Duration, Option<Instant>),
}

impl State {
    fn now(&self) -> u64 {
        match &self.time {
            Time::Driven(now) => *now,
            Time::Host(before, since) => {
                let passed = *before + since.map_or(Duration::ZERO, |since| since.elapsed());
                u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
            }
        }
    }

    /// When the next timer fires, if the VM runs.
    fn deadline(&self) -> Option<u64> {
        self.armed.keys().next().map(|&(deadline, _)| deadline).filter(|_| self.running)
    }

    /// The next timer that is to fire until `end`.
    fn due(&self, end: u64) -> Option<(Key, Callback)> {
        let (key, callback) = self.armed.first_key_value().filter(|_| self.running)?;
        (key.0 <= end).then(|| (*key, Arc::clone(callback)))
    }
}

impl VirtualClock {
    /// A clock that follows the host's while the VM runs.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn host() -> io::Result<Self> {
        Self::new(Time::Host(Duration::ZERO, None))
    }

    /// A clock that only [`Self::advance_to`] moves.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn driven() -> io::Result<Self> {
        Self::new(Time::Driven(0))
    }

    fn new(time: Time) -> io::Result<Self> {
        let state = State { time, running: false, abandoned: false, next_timer: 0, armed: BTreeMap::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), firing: Mutex::new(()) });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("clock".into()).spawn(move || of_thread.keep_time())?;
        Ok(Self(shared))
    }

    /// Whether it moves only when told to.
    pub fn is_driven(&self) -> bool {
        matches!(self.0.state.lock().time, Time::Driven(_))
    }

    /// The time, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.0.state.lock().now()
    }

    /// When the next timer fires; `None` while the VM is stopped, and if there is none.
    pub fn deadline(&self) -> Option<u64> {
        self.0.state.lock().deadline()
    }

    /// Moves a driven clock forward. If the VM runs, timers that are due until then fire one after another, each when the
    /// clock stands at its deadline, on this thread. Returns the time. A clock that follows the host's is not moved.
    ///
    /// Not to be called from a timer's callback.
    pub fn advance_to(&self, end: u64) -> u64 {
        self.0.fire(|state| match state.time {
            Time::Driven(now) if now < end => end,
            Time::Driven(now) => now,
            Time::Host(..) => state.now(),
        });
        let mut state = self.0.state.lock();
        if let Time::Driven(now) = &mut state.time {
            *now = end.max(*now);
        }
        state.now()
    }

    /// A timer that is not armed. `fire` is called on the clock's thread or on the one that moves the clock, once each
    /// time that the timer was armed; it may arm the timer again.
    pub fn timer(&self, fire: impl Fn() + Send + Sync + 'static) -> Timer {
        self.timer_calling(Arc::new(move |due: Due<'_>| {
            if due.take() {
                fire();
            }
        }))
    }

    /// The same for what happens to the guest: `fire` is called in a transaction of `vm`, which runs. A stop that is first
    /// delays it, and one that a reset disarms is not heard of after it.
    pub fn guest_timer(&self, vm: Arc<Vm>, fire: impl Fn(&mut Transaction<'_>) + Send + Sync + 'static) -> Timer {
        self.timer_calling(Arc::new(move |due: Due<'_>| {
            vm.transaction(|tx| {
                if due.take() {
                    fire(tx);
                }
            });
        }))
    }

    fn timer_calling(&self, fire: Callback) -> Timer {
        let mut state = self.0.state.lock();
        state.next_timer += 1;
        Timer { clock: Arc::clone(&self.0), id: state.next_timer, fire }
    }
}

impl Drop for VirtualClock {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.abandoned = true;
        // Callbacks may keep others alive, who have the timers.
        let armed = std::mem::take(&mut state.armed);
        drop(state);
        drop(armed);
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualClock").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl vl::Observer for VirtualClock {
    fn will_start(&self) {
        let mut state = self.0.state.lock();
        state.running = true;
        if let Time::Host(_, since) = &mut state.time {
            *since = Some(Instant::now());
        }
        drop(state);
        self.0.changed.notify_all();
    }

    fn stopped(&self) {
        let mut state = self.0.state.lock();
        state.running = false;
        if let Time::Host(before, since) = &mut state.time {
            *before += since.take().map_or(Duration::ZERO, |since| since.elapsed());
        }
    }
}

impl Shared {
    /// Fires what is due until `end`, which is asked again each time.
    fn fire(&self, end: impl Fn(&State) -> u64) {
        let _firing = self.firing.lock();
        loop {
            let mut state = self.state.lock();
            let until = end(&state);
            let Some((key, callback)) = state.due(until) else { return };
            if let Time::Driven(now) = &mut state.time {
                *now = key.0.max(*now);
            }
            drop(state);
            callback(Due { clock: self, key });
        }
    }

    /// The clock's thread: fires timers as the host's time passes, and those that are due at once.
    fn keep_time(&self) {
        let mut state = self.state.lock();
        while !state.abandoned {
            let now = state.now();
            match state.deadline() {
                Some(deadline) if deadline <= now => {
                    MutexGuard::unlocked(&mut state, || self.fire(State::now));
                }
                Some(deadline) if matches!(state.time, Time::Host(..)) => {
                    self.changed.wait_for(&mut state, Duration::from_nanos(deadline - now));
                }
                Some(_) | None => self.changed.wait(&mut state),
            }
        }
    }
}

/// A timer that was found to be due. It stays armed until it is taken: its callback must try.
struct Due<'a> {
    clock: &'a Shared,
    key: Key,
}

impl Due<'_> {
    /// Returns whether it is to fire: it was not disarmed, nor the VM stopped, since it was found.
    fn take(self) -> bool {
        let mut state = self.clock.state.lock();
        let taken = if state.running { state.armed.remove(&self.key) } else { None };
        drop(state);
        taken.is_some()
    }
}

/// A timer on a clock. Dropping it disarms it.
pub struct Timer {
    clock: Arc<Shared>,
    id: u64,
    fire: Callback,
}

impl Timer {
    /// Fires at this time, in nanoseconds, instead of when it was armed for so far. What is over fires at once.
    pub fn arm(&self, at: u64) {
        let mut state = self.clock.state.lock();
        state.armed.retain(|&(_, timer), _| timer != self.id);
        if !state.abandoned {
            state.armed.insert((at, self.id), Arc::clone(&self.fire));
        }
        drop(state);
        self.clock.changed.notify_all();
    }

    /// Does not fire any more. It may be firing at this moment on another thread.
    pub fn disarm(&self) {
        self.clock.state.lock().armed.retain(|&(_, timer), _| timer != self.id);
    }

    /// When it fires, if it is armed.
    pub fn deadline(&self) -> Option<u64> {
        let state = self.clock.state.lock();
        state.armed.keys().find(|&&(_, timer)| timer == self.id).map(|&(deadline, _)| deadline)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use vl::Observer;

    fn driven() -> Arc<VirtualClock> {
        let clock = VirtualClock::driven().expect("a thread");
        clock.will_start();
        Arc::new(clock)
    }

    /// A timer that notes when it fires.
    fn noting(clock: &Arc<VirtualClock>, fired: &Arc<Mutex<Vec<(u32, u64)>>>, name: u32) -> Timer {
        let (inner, fired) = (Arc::downgrade(clock), Arc::clone(fired));
        clock.timer(move || fired.lock().push((name, inner.upgrade().map_or(0, |clock| clock.now()))))
    }

    #[test]
    fn each_timer_fires_at_its_own_time_in_the_order_of_deadlines() {
        let (clock, fired) = (driven(), Arc::default());
        let timers: Vec<_> = (0..4).map(|name| noting(&clock, &fired, name)).collect();
        for (timer, at) in timers.iter().zip([300, 100, 200, 100]) {
            timer.arm(at);
        }
        timers[2].arm(400);
        timers[3].disarm();
        assert_eq!(clock.deadline(), Some(100));
        assert_eq!(clock.advance_to(350), 350);
        assert_eq!(*fired.lock(), [(1, 100), (0, 300)]);
        assert_eq!(clock.advance_to(10), 350, "it does not go back");
        assert_eq!(clock.advance_to(1000), 1000);
        assert_eq!(*fired.lock(), [(1, 100), (0, 300), (2, 400)]);
        assert_eq!(clock.deadline(), None);
    }

    #[test]
    fn a_timer_may_arm_itself_again() {
        let (clock, fired) = (driven(), Arc::new(Mutex::new(Vec::new())));
        let timer = Arc::<Mutex<Option<Timer>>>::default();
        let (again, inner, notes) = (Arc::clone(&timer), Arc::downgrade(&clock), Arc::clone(&fired));
        *timer.lock() = Some(clock.timer(move || {
            let now = inner.upgrade().map_or(0, |clock| clock.now());
            notes.lock().push(now);
            again.lock().iter().for_each(|timer| timer.arm(now + 10));
        }));
        timer.lock().iter().for_each(|timer| timer.arm(10));
        clock.advance_to(35);
        assert_eq!(*fired.lock(), [10, 20, 30]);
        timer.lock().take();
    }

    #[test]
    fn while_the_vm_is_stopped_nothing_fires_and_what_became_due_fires_when_it_goes_on() {
        let clock = driven();
        let (sender, fired) = channel();
        let timer = clock.timer(move || sender.send(()).expect("awaited"));
        timer.arm(100);
        clock.stopped();
        assert_eq!((clock.advance_to(500), clock.deadline()), (500, None));
        assert!(fired.try_recv().is_err());
        clock.will_start();
        fired.recv().expect("it fires");
    }

    #[test]
    fn the_host_s_time_counts_only_while_the_vm_runs() {
        let clock = VirtualClock::host().expect("a thread");
        assert_eq!(clock.now(), 0);
        clock.will_start();
        let (sender, fired) = channel();
        let timer = clock.timer(move || sender.send(()).expect("awaited"));
        timer.arm(1_000_000);
        fired.recv().expect("it fires");
        clock.stopped();
        let stopped_at = clock.now();
        assert!(stopped_at >= 1_000_000);
        assert_eq!((clock.now(), clock.advance_to(u64::MAX)), (stopped_at, stopped_at));
    }

    #[test]
    fn a_clock_that_is_gone_fires_nothing() {
        let clock = driven();
        let timer = clock.timer(|| panic!("fired"));
        drop(clock);
        timer.arm(0);
        assert_eq!(timer.deadline(), None);
    }
}
