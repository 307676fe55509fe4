//! What each request comes to: the events in their order, the state, and the end.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod journal;

use std::sync::Arc;

use journal::{Journal, Named, running_vm};
use qapi_schema::run_state::{
    Commands, GuestPanicInformation, GuestPanicInformationHyperV, GuestPanicInformationKind, PanicAction, RebootAction,
    RunState, ShutdownAction, ShutdownCause, StopReason, WatchdogAction,
};
use vl::{Observer, Vm, WakeupReason};

const STOP_PANIC: &str = r#"12 STOP {"reason":"panic","stop-id":1}"#;
const STOP_SHUTDOWN: &str = r#"12 STOP {"reason":"shutdown","stop-id":1}"#;
const STOP_USER: &str = r#"12 STOP {"reason":"user","stop-id":1}"#;
const GUEST_SHUTDOWN: &str = r#"12 SHUTDOWN {"guest":true,"reason":"guest-shutdown"}"#;
const GUEST_RESET: &str = r#"12 RESET {"guest":true,"reason":"guest-reset"}"#;

/// A VM that runs, watched by a power device.
fn watched_vm() -> (Vm, Journal) {
    let (vm, journal) = running_vm();
    vm.observe(0, Arc::new(Named("power", journal.clone())));
    (vm, journal)
}

fn state(vm: &Vm) -> RunState {
    vm.status().status
}

#[test]
fn a_panic_comes_to_what_was_decided() {
    let panicked = |action| format!(r#"12 GUEST_PANICKED {{"action":"{action}"}}"#);
    let shutdown = r#"12 SHUTDOWN {"guest":true,"reason":"guest-panic"}"#;
    for (panic, shutdown_action, action, rest, becomes) in [
        (PanicAction::None, ShutdownAction::Poweroff, "run", &[][..], RunState::Running),
        (
            PanicAction::Pause,
            ShutdownAction::Poweroff,
            "pause",
            &["power: stopped", STOP_PANIC],
            RunState::GuestPanicked,
        ),
        (
            PanicAction::Shutdown,
            ShutdownAction::Pause,
            "pause",
            &["power: stopped", STOP_PANIC],
            RunState::GuestPanicked,
        ),
        (
            PanicAction::Shutdown,
            ShutdownAction::Poweroff,
            "poweroff",
            &["power: stopped", STOP_PANIC, shutdown, "power: ended guest-panic 0"],
            RunState::GuestPanicked,
        ),
        (
            PanicAction::ExitFailure,
            ShutdownAction::Poweroff,
            "poweroff",
            &["power: stopped", STOP_PANIC, shutdown, "power: ended guest-panic 1"],
            RunState::GuestPanicked,
        ),
        (
            PanicAction::ExitFailure,
            ShutdownAction::Pause,
            "poweroff",
            &["power: stopped", STOP_PANIC, shutdown],
            RunState::GuestPanicked,
        ),
    ] {
        let (vm, journal) = watched_vm();
        vm.set_action(None, Some(shutdown_action), Some(panic), None).expect("set");
        vm.guest_panicked(None);
        let mut said = journal.take();
        assert_eq!(said.remove(0), panicked(action), "{panic} {shutdown_action}");
        assert_eq!(said, rest, "{panic} {shutdown_action}");
        assert_eq!(state(&vm), becomes, "{panic} {shutdown_action}");
    }
}

#[test]
fn a_panic_is_told_with_the_guest_s_own_description() {
    let (vm, journal) = running_vm();
    vm.set_action(None, None, Some(PanicAction::None), None).expect("set");
    let registers = GuestPanicInformationHyperV { arg1: 1, arg2: 2, arg3: 3, arg4: 4, arg5: u64::MAX };
    vm.guest_panicked(Some(GuestPanicInformation { r#type: GuestPanicInformationKind::HyperV(registers) }));
    let info = r#"{"arg1":1,"arg2":2,"arg3":3,"arg4":4,"arg5":18446744073709551615,"type":"hyper-v"}"#;
    assert_eq!(journal.take(), [format!(r#"12 GUEST_PANICKED {{"action":"run","info":{info}}}"#)]);
}

#[test]
fn a_guest_that_deals_with_its_panic_itself_goes_on() {
    let (vm, journal) = watched_vm();
    vm.guest_crashloaded(None);
    assert_eq!(journal.take(), [r#"12 GUEST_CRASHLOADED {"action":"run"}"#]);
    assert!(vm.status().running);
}

#[test]
fn a_guest_that_panicked_goes_on_with_cont() {
    let (vm, journal) = running_vm();
    vm.set_action(None, None, Some(PanicAction::Pause), None).expect("set");
    vm.guest_panicked(None);
    assert_eq!(vm.stop_reason().reason, Some(StopReason::Panic));
    journal.take();
    vm.cont().expect("started");
    assert_eq!(journal.take(), ["12 RESUME"]);
}

#[test]
fn a_watchdog_comes_to_what_was_decided() {
    for (action, rest, becomes) in [
        (WatchdogAction::Reset, &["power: reset", GUEST_RESET][..], RunState::Running),
        (WatchdogAction::Shutdown, &["12 POWERDOWN", "power: powerdown"], RunState::Running),
        (
            WatchdogAction::Poweroff,
            &[GUEST_SHUTDOWN, "power: stopped", "power: ended guest-shutdown 0"],
            RunState::Shutdown,
        ),
        (
            WatchdogAction::Pause,
            &["power: stopped", r#"12 STOP {"reason":"watchdog","stop-id":1}"#],
            RunState::Watchdog,
        ),
        (WatchdogAction::Debug, &[], RunState::Running),
        (WatchdogAction::None, &[], RunState::Running),
        (WatchdogAction::InjectNmi, &[], RunState::Running),
    ] {
        let (vm, journal) = watched_vm();
        vm.watchdog_set_action(action).expect("set");
        vm.watchdog_expired();
        let mut said = journal.take();
        assert_eq!(said.remove(0), format!(r#"12 WATCHDOG {{"action":"{action}"}}"#));
        assert_eq!(said, rest, "{action}");
        assert_eq!(state(&vm), becomes, "{action}");
    }
}

#[test]
fn a_watchdog_that_powers_off_ends_the_vm_even_where_shutdowns_are_stops() {
    let (vm, journal) = watched_vm();
    vm.set_action(None, Some(ShutdownAction::Pause), None, Some(WatchdogAction::Poweroff)).expect("set");
    vm.watchdog_expired();
    assert_eq!(journal.take().pop().as_deref(), Some("power: ended guest-shutdown 0"));
}

#[test]
fn a_shutdown_ends_the_vm_or_is_a_stop_until_a_reset() {
    let (vm, journal) = watched_vm();
    vm.shutdown_request(ShutdownCause::GuestShutdown);
    assert_eq!(journal.take(), [GUEST_SHUTDOWN, "power: stopped", "power: ended guest-shutdown 0"]);

    let (vm, journal) = watched_vm();
    vm.set_action(None, Some(ShutdownAction::Pause), None, None).expect("set");
    vm.shutdown_request(ShutdownCause::GuestShutdown);
    assert_eq!(journal.take(), [GUEST_SHUTDOWN, "power: stopped", STOP_SHUTDOWN]);
    assert_eq!(vm.stop_reason().reason, Some(StopReason::Shutdown));
    assert!(vm.cont().is_err());
    vm.system_reset().expect("reset");
    vm.cont().expect("started");
}

#[test]
fn a_shutdown_by_the_panic_device_and_one_to_disk_say_what_they_are_first() {
    let (vm, journal) = running_vm();
    vm.guest_pvshutdown();
    assert_eq!(journal.take(), ["12 GUEST_PVSHUTDOWN", GUEST_SHUTDOWN]);
    let (vm, journal) = running_vm();
    vm.suspend_disk_request();
    assert_eq!(journal.take(), ["12 SUSPEND_DISK", GUEST_SHUTDOWN]);
}

#[test]
fn a_reset_may_be_a_shutdown_and_that_a_stop() {
    let (vm, journal) = watched_vm();
    vm.set_action(Some(RebootAction::Shutdown), Some(ShutdownAction::Pause), None, None).expect("set");
    vm.reset_request(ShutdownCause::SubsystemReset).expect("reset");
    assert_eq!(journal.take(), ["power: reset"], "a part of the machine is not the guest, and no event");
    vm.reset_request(ShutdownCause::GuestReset).expect("shut down");
    let shutdown = r#"12 SHUTDOWN {"guest":true,"reason":"guest-reset"}"#;
    assert_eq!(journal.take(), [shutdown, "power: stopped", STOP_SHUTDOWN]);
}

#[test]
fn every_state_that_a_reset_can_leave_becomes_prelaunch() {
    for cause in [
        RunState::Paused,
        RunState::Debug,
        RunState::IoError,
        RunState::Watchdog,
        RunState::GuestPanicked,
        RunState::InternalError,
        RunState::Shutdown,
        RunState::RestoreVm,
    ] {
        let (vm, _) = running_vm();
        vm.transaction(|tx| tx.vm_stop(cause)).expect("stopped");
        vm.reset_request(ShutdownCause::HostQmpSystemReset).expect("reset");
        assert_eq!(state(&vm), RunState::Prelaunch, "{cause}");
    }
    let (vm, journal) = running_vm();
    vm.transaction(|tx| tx.vm_stop(RunState::SaveVm)).expect("stopped");
    journal.take();
    vm.system_reset().expect_err("a snapshot of what?");
    assert!(journal.take().is_empty());
}

#[test]
fn sleep_is_no_stop_but_can_be_stopped_and_slept_on() {
    let (vm, journal) = watched_vm();
    vm.suspend_request();
    vm.suspend_request();
    assert_eq!(journal.take(), ["power: suspended", "12 SUSPEND"]);
    let info = vm.stop_reason();
    assert_eq!((state(&vm), info.reason, info.last_stop), (RunState::Suspended, Some(StopReason::Suspended), None));
    vm.cont().expect("nothing to do");
    assert!(journal.take().is_empty());

    vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
    assert_eq!(journal.take(), ["power: stopped", STOP_USER]);
    vm.wakeup_request(WakeupReason::Rtc).expect_err("it is stopped");
    vm.cont().expect("live");
    assert_eq!(journal.take(), ["power: will start", "12 RESUME", "power: started"]);
    assert_eq!(state(&vm), RunState::Suspended);

    vm.wakeup_request(WakeupReason::Rtc).expect("woken");
    assert_eq!(journal.take(), ["power: woken Rtc", "12 WAKEUP"]);
    assert!(vm.status().running);
    vm.wakeup_request(WakeupReason::Rtc).expect_err("it is awake");
    assert!(journal.take().is_empty());
}

#[test]
fn whatever_stops_a_guest_that_runs_stops_one_that_sleeps() {
    for cause in [RunState::IoError, RunState::Watchdog, RunState::GuestPanicked, RunState::Debug] {
        let (vm, _) = running_vm();
        vm.suspend_request();
        vm.transaction(|tx| tx.vm_stop(cause)).expect("stopped");
        assert_eq!(state(&vm), cause);
        vm.cont().expect("live");
        assert_eq!(state(&vm), RunState::Suspended, "{cause}");
    }
}

#[test]
fn a_guest_that_goes_to_sleep_in_a_stopped_vm_sleeps_once_it_goes_on() {
    let (vm, journal) = running_vm();
    vm.stop().expect("stopped");
    journal.take();
    vm.suspend_request();
    assert_eq!(journal.take(), ["12 SUSPEND"]);
    assert_eq!(state(&vm), RunState::Paused, "the user's stop holds");
    vm.cont().expect("live");
    assert_eq!(state(&vm), RunState::Suspended);
}

#[test]
fn a_reset_stops_a_guest_that_sleeps_and_wakes_it() {
    let (vm, journal) = watched_vm();
    vm.suspend_request();
    journal.take();
    vm.system_reset().expect("reset");
    let stop = r#"12 STOP {"reason":"prelaunch","stop-id":1}"#;
    let reset = r#"12 RESET {"guest":false,"reason":"host-qmp-system-reset"}"#;
    assert_eq!(journal.take(), ["power: stopped", stop, "power: reset", reset]);
    vm.cont().expect("started");
    assert!(vm.status().running);
}

#[test]
fn only_a_machine_that_can_wakes_up_its_guest_by_command() {
    let (vm, journal) = watched_vm();
    vm.suspend_request();
    assert!(!vm.query_current_machine().expect("known").wakeup_suspend_support);
    assert_eq!(vm.system_wakeup().expect_err("refused").desc(), "wake-up from suspend is not supported by this guest");
    vm.support_wakeup();
    assert!(vm.query_current_machine().expect("known").wakeup_suspend_support);
    journal.take();
    vm.system_wakeup().expect("woken");
    assert_eq!(journal.take(), ["power: woken Other", "12 WAKEUP"]);
    let refused = vm.system_wakeup().expect_err("awake");
    assert_eq!(refused.desc(), "Unable to wake up: guest is not in suspended state");
}

#[test]
fn an_internal_error_stops_the_vm_until_a_reset() {
    let (vm, journal) = watched_vm();
    vm.internal_error("a queue has no end");
    let stop = r#"12 STOP {"reason":"internal-error","stop-id":1}"#;
    assert_eq!(journal.take(), ["power: stopped", stop]);
    assert!(vm.cont().is_err());
    vm.system_reset().expect("reset");
    vm.cont().expect("started");
}

struct Cpu(bool);

impl Observer for Cpu {
    fn nmi(&self) -> bool {
        self.0
    }
}

#[test]
fn an_nmi_is_refused_where_nobody_takes_it() {
    let (vm, _) = running_vm();
    vm.observe(0, Arc::new(Cpu(false)));
    assert_eq!(vm.inject_nmi().expect_err("refused").desc(), "This machine has no non-maskable interrupt");
    vm.observe(-1, Arc::new(Cpu(true)));
    vm.inject_nmi().expect("taken");
}

#[test]
fn nothing_is_heard_of_a_vm_that_has_ended() {
    let (vm, journal) = watched_vm();
    vm.suspend_request();
    vm.end(ShutdownCause::HostQmpQuit);
    assert_eq!(journal.take().pop().as_deref(), Some("power: ended host-qmp-quit 0"));
    vm.set_action(Some(RebootAction::Shutdown), None, None, None).expect("set");
    vm.end(ShutdownCause::HostSignal);
    vm.guest_panicked(None);
    vm.guest_crashloaded(None);
    vm.guest_pvshutdown();
    vm.watchdog_expired();
    vm.shutdown_request(ShutdownCause::GuestShutdown);
    vm.powerdown_request();
    vm.suspend_request();
    vm.suspend_disk_request();
    vm.internal_error("too late");
    vm.wakeup_request(WakeupReason::Other).expect_err("it is no more");
    vm.reset_request(ShutdownCause::GuestReset).expect_err("it is no more");
    assert!(journal.take().is_empty());
}
