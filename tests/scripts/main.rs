//! Protocol scripts: scenes played with the real daemon, and the examples of the schema.

#![allow(clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod examples;
mod machine;
mod pattern;
mod runner;
mod script;

use std::fs;
use std::path::Path;

use script::Script;

/// One test per script: `a_test` plays `a-test.qmp`.
macro_rules! scripts {
    ($($name:ident)*) => {
        const SCRIPTS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*
    };
}

scripts! {
    actions
    blkdebug_config
    block_resize
    blockdev_add
    blockdev_del
    blockdev_reopen
    command_that_hangs
    command_that_hangs_at_the_end
    cont_with_the_disk_still_full
    devices
    disk_shrinks
    drives
    eio_stops_the_vm
    enospc_stops_the_vm
    error_classes
    events_lost
    every_write_can_be_held
    export_removed_while_held
    exports
    fd_sets
    guest_resets_itself
    guest_that_leaves
    held_write_survives_many_rounds
    human_monitor_command
    image_handed_over
    image_lock
    internal_error
    io_status
    json_dialect
    late_client_asks_after_resume
    late_client_asks_why
    name_and_uuid
    named_descriptors
    nbd_server
    negotiation
    no_power
    no_reboot
    no_shutdown
    not_started_yet
    objects
    out_of_band
    panic_ends_the_machine
    panic_is_a_failure
    panic_without_shutdown
    policy_enospc
    policy_ignore
    policy_ignore_reads
    policy_report
    policy_stop_for_reads
    power
    preconfig
    preconfig_and_not_started
    prelaunch_machine
    query_qmp_schema
    quit
    quit_while_a_command_hangs
    quit_while_held
    quota_of_the_file_system
    read_only_export
    reports_are_limited_stops_are_not
    requests_wait_while_stopped
    reset_drops_what_a_driver_asked
    reset_while_running
    reset_while_stopped
    shutdown_ends_the_machine
    statistics
    stop_and_cont_twice
    stop_carries_its_reason
    stop_right_after_a_report
    stopped_by_a_failing_disk
    stopped_by_a_full_disk
    stopped_by_a_panic
    stopped_by_shutdown
    stopped_by_the_user
    stopped_by_the_watchdog
    suspended_guest
    trim_gives_space_back
    two_disks_fail_in_one_stop
    two_monitors
    user_stop
    virtio_blk_device
    watchdog_actions
    watchdog_resets_to_a_stop
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts"))
}

fn play(name: &str) {
    let file = format!("{}.qmp", name.replace('_', "-"));
    let text = fs::read_to_string(directory().join(&file)).expect("a script");
    let own = tempfile::tempdir().expect("a directory");
    let outcome = Script::parse(&format!("tests/scripts/{file}"), &text, own.path());
    if let Err(error) = outcome.and_then(|script| runner::play(&script, own)) {
        panic!("{error}");
    }
}

#[test]
fn no_script_is_forgotten() {
    let files = fs::read_dir(directory()).expect("readable").map(|entry| entry.expect("readable").file_name());
    let names = files.filter_map(|name| Some(name.to_str()?.strip_suffix(".qmp")?.replace('-', "_")));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    assert_eq!(names, SCRIPTS);
}
