//! The same small core under a model checker: `RUSTFLAGS='--cfg shuttle' cargo test -p block --test shuttle`.
#![cfg(shuttle)]
#![allow(clippy::expect_used)]

#[path = "virtio_blk/driver.rs"]
#[allow(dead_code, reason = "the driver of other tests, too")]
mod driver;
mod support;

use std::sync::Arc;

use block::request::{Client, Operation, Request};
use driver::{Answer, BUFFERS, Driver};
use qapi_schema::run_state::RunState;
use serde_json::json;
use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use support::Setup;
use virtio_bindings::virtio_blk::VIRTIO_BLK_T_OUT;

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
            let setup = new_setup(0);
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

/// How many schedules came to an end of this kind. Outside of what the model checker sees.
type Reached = std::sync::atomic::AtomicUsize;

fn reach(end: &Reached) {
    end.fetch_add(1, Ordering::SeqCst);
}

fn new_setup(limit: u64) -> Arc<Setup> {
    Arc::new(Setup::new(json!({"driver": "null-co", "node-name": "file", "size": 8 * GRANULE}), limit))
}

/// The failures of the latest stop, and how many of them are held.
fn count_and_held(setup: &Setup) -> (u64, u64) {
    let stops = setup.vm.stop_reason().last_stop;
    let infos: Vec<_> = stops.into_iter().filter_map(|stop| stop.io_errors).flatten().collect();
    (infos.iter().map(|info| info.count).sum(), infos.iter().map(|info| info.held).sum())
}

#[test]
fn every_schedule_of_an_error_and_a_leaving_client_ends_with_nothing_held() {
    static WRITTEN: Reached = Reached::new(0);
    static HELD: Reached = Reached::new(0);
    static REFUSED_UNTRIED: Reached = Reached::new(0);
    static REFUSED_AS_IT_FAILED: Reached = Reached::new(0);
    shuttle::check_random(
        || {
            let setup = new_setup(0);
            let client = Client::default();
            let (answered, written) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let writer = {
                let (setup, client, answered, written) =
                    (setup.clone(), client.clone(), answered.clone(), written.clone());
                thread::spawn(move || {
                    let operation = Operation::Write { offset: 0, data: vec![1; 512], fua: false };
                    setup.disk.submit(Request::new(client, operation, move |answer| {
                        written.fetch_add(usize::from(answer.is_ok()), Ordering::SeqCst);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }));
                })
            };
            let leaver = {
                let setup = setup.clone();
                thread::spawn(move || setup.disk.cancel(&client))
            };
            let extender = {
                let setup = setup.clone();
                thread::spawn(move || setup.set_limit(GRANULE))
            };
            [writer, leaver, extender].into_iter().for_each(|thread| thread.join().expect("no panic"));
            assert_eq!(answered.load(Ordering::SeqCst), 1);
            let (count, held) = count_and_held(&setup);
            assert_eq!(held, 0);
            let errors = setup.log.all().iter().filter(|(name, _)| *name == "BLOCK_IO_ERROR").count();
            assert_eq!(errors as u64, count);
            // What was held and dropped was never answered to anybody: it counts as neither.
            let failed = setup.disk.stats().stats.failed_wr_operations;
            match (written.load(Ordering::SeqCst), count, failed) {
                (1, 0, 0) => reach(&WRITTEN),
                (0, 1, 0) => reach(&HELD),
                (0, 0, 0) => reach(&REFUSED_UNTRIED),
                (0, 0, 1) => reach(&REFUSED_AS_IT_FAILED),
                impossible => unreachable!("{impossible:?}"),
            }
            setup.log.check();
        },
        2_000,
    );
    let reached = [&WRITTEN, &HELD, &REFUSED_UNTRIED, &REFUSED_AS_IT_FAILED].map(|end| end.load(Ordering::SeqCst));
    assert!(reached.iter().all(|&schedules| schedules > 0), "{reached:?}");
}

#[test]
fn every_schedule_of_retries_that_fail_again_ends_with_all_of_them_waiting() {
    static BOTH_FAILED: Reached = Reached::new(0);
    static ONE_OVERTAKEN: Reached = Reached::new(0);
    shuttle::check_random(
        || {
            let setup = new_setup(0);
            let answered = Arc::new(AtomicUsize::new(0));
            setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
            let client = Client::default();
            (0..2).for_each(|index| write(&setup, &client, index, &answered));
            setup.vm.transaction(|tx| tx.vm_start()).expect("started");
            while setup.vm.status().running {
                thread::yield_now();
            }
            setup.vm.drain();
            match count_and_held(&setup) {
                (2, 2) => reach(&BOTH_FAILED),
                (1, 1) => reach(&ONE_OVERTAKEN),
                impossible => unreachable!("{impossible:?}"),
            }
            assert_eq!(answered.load(Ordering::SeqCst), 0);
            setup.set_limit(2 * GRANULE);
            setup.vm.transaction(|tx| tx.vm_start()).expect("started");
            while answered.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            setup.log.check();
        },
        2_000,
    );
    let reached = [&BOTH_FAILED, &ONE_OVERTAKEN].map(|end| end.load(Ordering::SeqCst));
    assert!(reached.iter().all(|&schedules| schedules > 0), "{reached:?}");
}

#[test]
fn every_schedule_of_a_drain_ends_with_nothing_under_way() {
    static WAITED: Reached = Reached::new(0);
    shuttle::check_random(
        || {
            let setup = new_setup(0);
            let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let reader = {
                let (setup, begun, ended) = (setup.clone(), begun.clone(), ended.clone());
                thread::spawn(move || {
                    let operation = Operation::Read { offset: 0, length: 512 };
                    setup.disk.submit(Request::new(Client::default(), operation, move |_| {
                        begun.fetch_add(1, Ordering::SeqCst);
                        ended.fetch_add(1, Ordering::SeqCst);
                    }));
                })
            };
            setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
            let under_way = begun.load(Ordering::SeqCst) > ended.load(Ordering::SeqCst);
            setup.vm.drain();
            let drained = ended.load(Ordering::SeqCst);
            assert_eq!(begun.load(Ordering::SeqCst), drained);
            reader.join().expect("no panic");
            assert_eq!(ended.load(Ordering::SeqCst), drained, "started in a stopped VM");
            if under_way {
                reach(&WAITED);
            }
            setup.vm.transaction(|tx| tx.vm_start()).expect("started");
            while ended.load(Ordering::SeqCst) < 1 {
                thread::yield_now();
            }
        },
        2_000,
    );
    assert!(WAITED.load(Ordering::SeqCst) > 0);
}

#[test]
fn no_schedule_keeps_a_drain_waiting_in_a_vm_that_runs_again() {
    shuttle::check_random(
        || {
            let setup = new_setup(0);
            let gate = Arc::new(shuttle::sync::Mutex::new(()));
            let closed = gate.lock().expect("no panic");
            let reader = {
                let (setup, gate) = (setup.clone(), gate.clone());
                thread::spawn(move || {
                    let operation = Operation::Read { offset: 0, length: 512 };
                    setup.disk.submit(Request::new(Client::default(), operation, move |_| {
                        drop(gate.lock().expect("no panic"));
                    }));
                })
            };
            setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
            let drainer = {
                let setup = setup.clone();
                thread::spawn(move || setup.vm.drain())
            };
            setup.vm.transaction(|tx| tx.vm_start()).expect("started");
            drainer.join().expect("no panic");
            drop(closed);
            reader.join().expect("no panic");
        },
        2_000,
    );
}

/// Writes the first sectors of a disk that may be full, or stopped, as this value.
fn ask(device: &block::virtio_blk::VirtioBlk, driver: &mut Driver, value: u8) -> [Answer; 2] {
    [0, 1].map(|sector| {
        let address = BUFFERS + sector * 0x1000;
        driver.request(device, address, VIRTIO_BLK_T_OUT, sector, &[value; 512], 0)
    })
}

#[test]
fn every_schedule_of_a_driver_that_resets_its_device_leaves_what_it_asked_last() {
    static ANSWERED_EARLY: Reached = Reached::new(0);
    static DROPPED: Reached = Reached::new(0);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("disk");
    shuttle::check_random(
        move || {
            std::fs::File::create(&path).expect("a file").set_len(8 * GRANULE).expect("sparse");
            let file = json!({"driver": "file", "node-name": "file", "filename": path, "locking": "off"});
            let setup = Arc::new(Setup::new(file, 0));
            let device = driver::device(setup.disk.clone());
            let done = Arc::new(AtomicUsize::new(0));
            let operator = {
                let (setup, done) = (setup.clone(), done.clone());
                thread::spawn(move || {
                    setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
                    setup.set_limit(8 * GRANULE);
                    while done.load(Ordering::SeqCst) == 0 {
                        setup.vm.transaction(|tx| tx.vm_start()).expect("started");
                        thread::yield_now();
                    }
                })
            };
            let (of_old, of_new) = (driver::memory(), driver::memory());
            let mut old = Driver::start(&device, &of_old, 0);
            ask(&device, &mut old, 1);
            (0..shuttle::rand::thread_rng().gen_range(0..200)).for_each(|_| thread::yield_now());
            device.reset();
            let left = old.read(0, driver::RAM);
            reach(if old.answers().is_empty() { &DROPPED } else { &ANSWERED_EARLY });
            let mut new = Driver::start(&device, &of_new, 0);
            let asked = ask(&device, &mut new, 2);
            let mut heads: Vec<_> = new.wait_for(2).into_iter().map(|(head, _)| head).collect();
            heads.sort_unstable();
            let mut expected = asked.map(|answer| answer.head);
            expected.sort_unstable();
            assert_eq!(heads, expected);
            assert!(asked.iter().all(|answer| new.read(answer.data, 1) == [0]));
            done.store(1, Ordering::SeqCst);
            operator.join().expect("no panic");
            device.reset();
            device.drain();
            assert!(old.read(0, driver::RAM) == left, "guest memory was written after a reset");
            assert_eq!(std::fs::read(&path).expect("there")[..1024], [2; 1024]);
            assert_eq!(count_and_held(&setup).1, 0);
            setup.log.check();
        },
        500,
    );
    for reached in [&ANSWERED_EARLY, &DROPPED] {
        assert!(reached.load(Ordering::SeqCst) > 0, "no schedule ends in every way");
    }
}
