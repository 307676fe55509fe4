//! Writers, errors, `cont` and `stop` from several threads at once: invariants 2 and 3 of the design, thousands of rounds.
#![cfg(not(shuttle))]
#![allow(clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use block::request::{Client, Operation, Request};
use qapi_schema::run_state::{RunState, StopReason};
use serde_json::json;
use support::Setup;

const WRITERS: usize = 3;
const WRITES: usize = 2_000;
const GRANULE: u64 = 4096;
const MORE: u64 = 8 * GRANULE;

#[test]
fn no_interleaving_of_errors_stop_and_cont_leaves_a_request_behind() {
    let length = (WRITERS * WRITES) as u64 * GRANULE;
    let setup = Setup::new(json!({"driver": "null-co", "node-name": "file", "size": length}), 0);
    let (answered, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (disk, answered, failed) = (&setup.disk, &answered, &failed);
            scope.spawn(move || {
                let client = Client::default();
                for index in 0..WRITES {
                    let (answered, failed) = (answered.clone(), failed.clone());
                    let offset = (writer * WRITES + index) as u64 * GRANULE;
                    let write = Operation::Write { offset, data: vec![1; 512], fua: false };
                    disk.submit(Request::new(client.clone(), write, move |answer| {
                        failed.fetch_add(usize::from(answer.is_err()), Ordering::SeqCst);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }));
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
                setup.vm.drain();
                thread::yield_now();
            }
        });
        // There is a little more space only after it has run out, so that the pool is full again at once.
        let mut limit = 0;
        while answered.load(Ordering::SeqCst) < WRITERS * WRITES {
            if setup.vm.stop_reason().reason == Some(StopReason::Ioerror) {
                limit = (limit + MORE).min(length);
                setup.set_limit(limit);
            }
            setup.vm.transaction(|tx| tx.vm_start()).expect("started");
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    // Each extension took an error of its own.
    for (reason, least) in [("user", 1), ("ioerror", (length / MORE) as usize)] {
        let stops = setup.log.all().into_iter().filter(|(name, data)| *name == "STOP" && data["reason"] == reason);
        let stops = stops.count();
        assert!(stops >= least, "too few stops by {reason} to mean anything: {stops}");
    }
    setup.log.check();
}
