//! What a VM tells whom, and in which order.
#![allow(clippy::expect_used)]

mod journal;

use std::sync::Arc;

use journal::{Named, running_vm};
use qapi_schema::run_state::{Commands, RunState, ShutdownCause, StopReason};
use vl::IllegalTransition;

#[test]
fn observers_start_in_ascending_and_stop_in_descending_priority_around_the_events() {
    let (vm, journal) = running_vm();
    vm.observe(1, Arc::new(Named("guest", journal.clone())));
    vm.observe(0, Arc::new(Named("disk", journal.clone())));
    vm.stop().expect("stopped");
    let stop = r#"12 STOP {"reason":"user","stop-id":1}"#;
    assert_eq!(journal.take(), ["guest: stopped", "disk: stopped", stop, "disk: drain", "guest: drain"]);
    vm.cont().expect("started");
    let will = ["disk: will start", "guest: will start"];
    assert_eq!(journal.take(), [&will[..], &["12 RESUME", "disk: started", "guest: started"]].concat());
}

#[test]
fn stop_on_a_stopped_and_cont_on_a_running_vm_say_nothing() {
    let (vm, journal) = running_vm();
    vm.cont().expect("runs already");
    assert!(journal.take().is_empty());
    vm.stop().expect("stopped");
    vm.stop().expect("is stopped already");
    assert_eq!(journal.take().len(), 1);
}

#[test]
fn the_first_cause_of_a_stop_stays_its_reason() {
    let (vm, journal) = running_vm();
    vm.transaction(|tx| tx.vm_stop(RunState::Watchdog)).expect("stopped");
    vm.transaction(|tx| tx.vm_stop(RunState::IoError)).expect("stopped already");
    assert_eq!(journal.take(), [r#"12 STOP {"reason":"watchdog","stop-id":1}"#]);
    assert_eq!(vm.stop_reason().reason, Some(StopReason::Watchdog));
}

#[test]
fn the_reason_is_gone_once_the_vm_runs_but_its_record_stays() {
    let (vm, _) = running_vm();
    assert_eq!(vm.stop_reason().last_stop, None);
    vm.stop().expect("stopped");
    vm.cont().expect("started");
    let info = vm.stop_reason();
    let record = info.last_stop.expect("a stop");
    assert_eq!((info.reason, record.id, record.reason), (None, 1, StopReason::User));
    assert!(record.resumed_at.is_some());
}

#[test]
fn a_vm_that_needs_a_reset_is_not_started_before_it() {
    let (vm, journal) = running_vm();
    vm.transaction(|tx| tx.vm_stop(RunState::InternalError)).expect("stopped");
    let refused = vm.cont().expect_err("refused");
    assert_eq!(refused.desc(), "Resetting the Virtual Machine is required");
    journal.take();
    vm.system_reset().expect("reset");
    assert_eq!(journal.take(), [r#"12 RESET {"guest":false,"reason":"host-qmp-system-reset"}"#]);
    assert_eq!(vm.stop_reason().reason, Some(StopReason::Prelaunch));
    vm.cont().expect("started");
}

#[test]
fn a_running_vm_goes_on_after_a_reset() {
    let (vm, journal) = running_vm();
    vm.observe(0, Arc::new(Named("disk", journal.clone())));
    vm.transaction(|tx| tx.reset(ShutdownCause::GuestReset)).expect("reset");
    assert_eq!(journal.take(), ["disk: reset", r#"12 RESET {"guest":true,"reason":"guest-reset"}"#]);
    assert!(vm.status().running);
}

#[test]
fn an_illegal_stop_is_refused_and_changes_nothing() {
    let (vm, journal) = running_vm();
    let refused = vm.transaction(|tx| tx.vm_stop(RunState::Prelaunch));
    assert_eq!(refused, Err(IllegalTransition { from: RunState::Running, to: RunState::Prelaunch }));
    assert!(vm.transaction(|tx| tx.vm_stop(RunState::Running)).is_err());
    assert!(vm.status().running && journal.take().is_empty());
}

#[test]
fn the_end_of_the_vm_stops_the_guest_without_a_stop_event() {
    let (vm, journal) = running_vm();
    vm.observe(0, Arc::new(Named("disk", journal.clone())));
    vm.end(ShutdownCause::HostSignal);
    let shutdown = r#"12 SHUTDOWN {"guest":false,"reason":"host-signal"}"#;
    assert_eq!(journal.take(), [shutdown, "disk: stopped", "disk: ended host-signal 0"]);
    assert_eq!(vm.status().status, RunState::Shutdown);
}

#[test]
fn nothing_starts_a_vm_that_has_ended_while_it_was_stopped() {
    let (vm, journal) = running_vm();
    vm.stop().expect("stopped");
    vm.end(ShutdownCause::HostQmpQuit);
    journal.take();
    assert_eq!(vm.cont().expect_err("refused").desc(), "The Virtual Machine is shutting down");
    assert!(vm.system_reset().is_err());
    assert!(!vm.status().running && journal.take().is_empty());
}

#[test]
fn the_process_wide_vm_is_the_one_that_was_set() {
    assert!(vl::vm_stop(RunState::Paused).is_err(), "there is none yet");
    let vm = Arc::new(running_vm().0);
    vl::current::set(vm.clone()).expect("the first");
    vl::vm_stop(RunState::Paused).expect("stopped");
    assert!(!vm.status().running);
    vl::vm_start().expect("started");
    assert!(vm.status().running);
    assert!(vl::current::set(vm).is_err(), "there is one already");
}
