//! Disks that do not get in each other's way.
#![cfg(not(shuttle))]
#![allow(clippy::expect_used)]

mod support;

use std::sync::mpsc::{channel, sync_channel};

use block::backend::BackendOptions;
use block::policy::ErrorPolicy;
use block::request::{Client, Operation, Request};
use qapi_schema::block_core::Commands as _;
use qapi_schema::run_state::RunState;
use serde_json::json;
use support::Setup;

/// More than there are threads to retry with.
const MANY: usize = 20;

#[test]
fn a_hung_disk_does_not_keep_another_from_going_on() {
    let setup = Setup::new(json!({"driver": "null-co", "node-name": "file", "size": 1 << 20}), 1 << 20);
    let node = setup.block.graph().attach("file", false, "another test").expect("attached");
    let policy = ErrorPolicy::new(None, None).expect("the default");
    let options = BackendOptions { qom_path: "/other".into(), device: String::new(), node, policy };
    let other = setup.block.add_backend(options).expect("a thread");
    setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");

    // An answer that nobody takes keeps the thread that gives it, as a read from dead storage would.
    let (hang, release) = sync_channel(0);
    for _ in 0..MANY {
        let hang = hang.clone();
        let answer = move |_| hang.send(()).expect("the test waits");
        setup.disk.submit(Request::new(Client::default(), Operation::Flush, answer));
    }
    let (answer, answered) = channel();
    other.submit(Request::new(Client::default(), Operation::Flush, move |_| answer.send(()).expect("the test waits")));
    setup.vm.transaction(|tx| tx.vm_start()).expect("started");
    answered.recv().expect("answered, although the other disk hangs");
    (0..MANY).for_each(|_| release.recv().expect("released"));
    setup.block.remove_backend(&other);
}

#[test]
fn the_node_of_a_removed_backend_is_free_whoever_still_looks_at_the_backend() {
    let setup = Setup::new(json!({"driver": "null-co", "node-name": "file", "size": 1 << 20}), 1 << 20);
    assert!(setup.block.blockdev_del("pool".into()).is_err(), "it is in use");
    let looker = setup.disk.clone();
    setup.block.remove_backend(&setup.disk);
    setup.block.blockdev_del("pool".into()).expect("free");
    assert!(setup.block.query_block().expect("a list").is_empty());
    assert_eq!(looker.node().name(), "pool");
}
