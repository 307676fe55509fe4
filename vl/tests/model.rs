//! Whoever reads only the events knows the run state: a client that folds them is the model.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::select;
use qapi_schema::common::Timestamp;
use qapi_schema::run_state::{
    Commands, PanicAction, RebootAction, RunState, ShutdownAction, ShutdownCause, WatchdogAction,
};
use qapi_schema::{Event, EventSink};
use serde_json::{Value, json};
use vl::{End, Observer, SystemClock, Vm, WakeupReason};

/// What a client makes of the events.
#[derive(Debug)]
struct Client {
    /// The state it is stopped in, if it is.
    stopped: Option<&'static str>,
    asleep: bool,
    stop_id: u64,
    /// The cause in the SHUTDOWN that was the last event.
    last_was_shutdown: Option<String>,
    ended: Option<End>,
}

#[derive(Clone)]
struct Log(Arc<Mutex<Client>>);

impl EventSink for Log {
    fn emit(&self, _: Timestamp, event: &dyn Event) {
        self.0.lock().expect("no panic").hears(event.name(), &event.data().map_or(json!({}), |data| data.value()));
    }
}

impl Observer for Log {
    fn stopped(&self) {
        assert!(self.0.lock().expect("no panic").stopped.is_none(), "stopped twice");
    }

    fn will_start(&self) {
        assert!(self.0.lock().expect("no panic").stopped.is_some(), "started twice");
    }

    fn ended(&self, end: End) {
        let mut client = self.0.lock().expect("no panic");
        assert_eq!(client.ended.replace(end), None, "ended twice");
        assert_eq!(client.last_was_shutdown.as_deref(), Some(end.cause.as_str()), "an end without its SHUTDOWN");
    }
}

impl Client {
    fn hears(&mut self, event: &str, data: &Value) {
        assert_eq!(self.ended, None, "{event} after the end");
        self.last_was_shutdown = None;
        match event {
            "STOP" => {
                assert_eq!(self.stopped, None, "STOP of a stopped VM");
                self.stop_id += 1;
                assert_eq!(data["stop-id"], self.stop_id);
                self.stopped = Some(match data["reason"].as_str().expect("a reason") {
                    "user" => "paused",
                    "ioerror" => "io-error",
                    "panic" => "guest-panicked",
                    "savevm" => "save-vm",
                    "loadvm" => "restore-vm",
                    "migrate" => "finish-migrate",
                    "prelaunch" => "prelaunch",
                    "debug" => "debug",
                    "shutdown" => "shutdown",
                    "watchdog" => "watchdog",
                    "internal-error" => "internal-error",
                    reason => unreachable!("{reason} is no reason for a STOP"),
                });
            }
            "RESUME" => assert!(self.stopped.take().is_some(), "RESUME of a VM that was not stopped"),
            "RESET" => {
                self.asleep = false;
                if self.stopped.is_some_and(|state| state != "finish-migrate") {
                    self.stopped = Some("prelaunch");
                }
            }
            "SUSPEND" => assert!(!std::mem::replace(&mut self.asleep, true), "SUSPEND of a guest that sleeps"),
            "WAKEUP" => {
                assert_eq!(self.stopped, None, "WAKEUP in a stopped VM");
                assert!(std::mem::replace(&mut self.asleep, false), "WAKEUP of a guest that is awake");
            }
            "SHUTDOWN" => self.last_was_shutdown = data["reason"].as_str().map(str::to_owned),
            "POWERDOWN" | "SUSPEND_DISK" | "WATCHDOG" | "GUEST_PANICKED" | "GUEST_CRASHLOADED" | "GUEST_PVSHUTDOWN" => {
            }
            name => unreachable!("{name}"),
        }
    }

    fn status(&self) -> &'static str {
        self.stopped.unwrap_or(if self.asleep { "suspended" } else { "running" })
    }
}

#[derive(Clone, Debug)]
enum Move {
    Stop(RunState),
    Cont,
    Reset(ShutdownCause),
    Shutdown(ShutdownCause),
    Panic,
    CrashLoaded,
    PvShutdown,
    Watchdog,
    Suspend,
    SuspendDisk,
    Wakeup,
    Powerdown,
    InternalError,
    SetAction(Option<RebootAction>, Option<ShutdownAction>, Option<PanicAction>, Option<WatchdogAction>),
    End,
}

fn any_move() -> impl Strategy<Value = Move> {
    let stops = RunState::ALL.iter().copied().filter(|state| *state != RunState::Postmigrate).collect::<Vec<_>>();
    let causes = vec![ShutdownCause::GuestReset, ShutdownCause::HostQmpSystemReset];
    let action = (
        prop::option::of(select(RebootAction::ALL)),
        prop::option::of(select(ShutdownAction::ALL)),
        prop::option::of(select(PanicAction::ALL)),
        prop::option::of(select(WatchdogAction::ALL)),
    );
    prop_oneof![
        4 => select(stops).prop_map(Move::Stop),
        8 => Just(Move::Cont),
        4 => select(causes).prop_map(Move::Reset),
        1 => select(ShutdownCause::ALL).prop_map(Move::Shutdown),
        2 => Just(Move::Panic),
        1 => Just(Move::CrashLoaded),
        1 => Just(Move::PvShutdown),
        4 => Just(Move::Watchdog),
        4 => Just(Move::Suspend),
        1 => Just(Move::SuspendDisk),
        3 => Just(Move::Wakeup),
        1 => Just(Move::Powerdown),
        1 => Just(Move::InternalError),
        2 => action.prop_map(|(reboot, shutdown, panic, watchdog)| Move::SetAction(reboot, shutdown, panic, watchdog)),
        1 => Just(Move::End),
    ]
}

/// What is refused changes nothing, which the client sees.
fn make(vm: &Vm, step: &Move) {
    match *step {
        Move::Stop(state) => drop(vm.transaction(|tx| tx.vm_stop(state))),
        Move::Cont => drop(vm.cont()),
        Move::Reset(cause) => drop(vm.reset_request(cause)),
        Move::Shutdown(cause) => vm.shutdown_request(cause),
        Move::Panic => vm.guest_panicked(None),
        Move::CrashLoaded => vm.guest_crashloaded(None),
        Move::PvShutdown => vm.guest_pvshutdown(),
        Move::Watchdog => vm.watchdog_expired(),
        Move::Suspend => vm.suspend_request(),
        Move::SuspendDisk => vm.suspend_disk_request(),
        Move::Wakeup => drop(vm.wakeup_request(WakeupReason::Rtc)),
        Move::Powerdown => vm.powerdown_request(),
        Move::InternalError => vm.internal_error("a test"),
        Move::SetAction(reboot, shutdown, panic, watchdog) => {
            vm.set_action(reboot, shutdown, panic, watchdog).expect("set");
        }
        Move::End => vm.end(ShutdownCause::HostSignal),
    }
}

proptest! {
    #[test]
    fn the_events_tell_the_state_after_any_sequence_of_requests(
        shutdown in select(ShutdownAction::ALL),
        moves in prop::collection::vec(any_move(), 1..80),
    ) {
        let client = Client {
            stopped: Some("prelaunch"), asleep: false, stop_id: 0, last_was_shutdown: None, ended: None,
        };
        let log = Log(Arc::new(Mutex::new(client)));
        let vm = Vm::new(Arc::new(log.clone()), SystemClock);
        vm.observe(0, Arc::new(log.clone()));
        vm.set_action(None, Some(shutdown), None, None).expect("set");
        for step in moves {
            make(&vm, &step);
            let (status, info) = (vm.status(), vm.stop_reason());
            let client = log.0.lock().expect("no panic");
            let last = info.last_stop;
            prop_assert_eq!(last.as_ref().map_or(0, |stop| stop.id), client.stop_id);
            prop_assert_eq!(status.running, status.status == RunState::Running);
            prop_assert_eq!(info.reason.is_none(), status.running, "every other state has a reason");
            if client.ended.is_some() {
                prop_assert!(!status.running);
                drop(client);
                prop_assert!(vm.cont().is_err());
                continue;
            }
            prop_assert_eq!(status.status.as_str(), client.status());
            if let Some(last) = last {
                prop_assert_eq!(last.resumed_at.is_some(), client.stopped.is_none(), "a stop lasts until its RESUME");
            }
        }
    }
}
