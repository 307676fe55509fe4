//! The same small core under a model checker: `RUSTFLAGS='--cfg shuttle' cargo test -p block --test shuttle`.
#![cfg(shuttle)]
#![allow(clippy::expect_used)]

mod support;

use std::sync::Arc;

use block::request::{Client, Operation, Request};
use qapi_schema::run_state::RunState;
use serde_json::json;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use support::Setup;

const GRANULE: u64 = 4096;

fn write(setup: &Setup, client: &Client, index: u64, answered: &Arc<AtomicUsize>) {
    let answered = answered.clone();
    let operation = Operation::Write { offset: index * GRANULE, data: vec![1; 512], fua: false };
    setup.disk.submit(Request::new(client.clone(), operation, move |answer| {
        assert!(answer.is_ok());
        answered.fetch_add(1, Ordering::SeqCst);
    }));
}

#[test]
fn every_schedule_of_errors_stop_and_cont_answers_every_request() {
    shuttle::check_random(
        || {
            let setup = Arc::new(Setup::new(json!({"driver": "null-co", "node-name": "file", "size": 8 * GRANULE}), 0));
            let answered = Arc::new(AtomicUsize::new(0));
            let writers = (0..2).map(|writer| {
                let (setup, answered) = (setup.clone(), answered.clone());
                thread::spawn(move || {
                    let client = Client::default();
                    (0..2).for_each(|index| write(&setup, &client, writer * 2 + index, &answered));
                })
            });
            let writers: Vec<_> = writers.collect();
            let stopper = {
                let setup = setup.clone();
                thread::spawn(move || setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped"))
            };
            let mut limit = 0;
            while answered.load(Ordering::SeqCst) < 4 {
                limit = (limit + GRANULE).min(8 * GRANULE);
                setup.set_limit(limit);
                setup.vm.transaction(|tx| tx.vm_start()).expect("started");
                thread::yield_now();
            }
            writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
            stopper.join().expect("no panic");
            setup.vm.drain();
            setup.log.check();
        },
        2_000,
    );
}

#[test]
fn every_schedule_of_an_error_and_a_leaving_client_ends_with_nothing_held() {
    shuttle::check_random(
        || {
            let setup = Arc::new(Setup::new(json!({"driver": "null-co", "node-name": "file", "size": 8 * GRANULE}), 0));
            let client = Client::default();
            let answered = Arc::new(AtomicUsize::new(0));
            let writer = {
                let (setup, client, answered) = (setup.clone(), client.clone(), answered.clone());
                thread::spawn(move || {
                    let operation = Operation::Write { offset: 0, data: vec![1; 512], fua: false };
                    setup.disk.submit(Request::new(client, operation, move |_| {
                        answered.fetch_add(1, Ordering::SeqCst);
                    }));
                })
            };
            setup.disk.cancel(&client);
            writer.join().expect("no panic");
            assert_eq!(answered.load(Ordering::SeqCst), 1);
            let stops = setup.vm.stop_reason().last_stop;
            let errors = stops.into_iter().filter_map(|stop| stop.io_errors).flatten();
            assert!(errors.into_iter().all(|info| info.held == 0));
            setup.log.check();
        },
        2_000,
    );
}
