//! What a backend promises of one request after another: the action of its policy, io-status, the reason of a stop, what
//! is counted, and that a stopped VM starts nothing.
#![cfg(not(shuttle))]
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, OnceLock, RwLock, RwLockWriteGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use block::backend::{BackendOptions, BlockBackend};
use block::block::Block;
use block::policy::ErrorPolicy;
use block::request::{Answer, Client, Operation, Request};
use qapi_schema::block_core::{BlockDeviceIoStatus, BlockdevOptions, Commands as _};
use qapi_schema::common::Timestamp;
use qapi_schema::run_state::{BlockIoErrorInfo, RunState, ShutdownCause, StopReason};
use qapi_schema::{Event, EventSink, FromValue, Visitor};
use rustix::io::Errno;
use serde_json::{Value, json};
use support::Setup;
use vl::{SystemClock, Vm};

const SIZE: u64 = 1 << 20;
const GRANULE: u64 = 4096;
/// A failure, not a time that anything is expected to take.
const PATIENCE: Duration = Duration::from_secs(60);
/// All threads that retry, but one.
const OTHER_RETRIES: usize = 15;
/// Chances for another thread to do what it must not do.
const CHANCES: usize = 1_000;

const READ: Operation = Operation::Read { offset: 0, length: 512 };

fn write(granule: u64) -> Operation {
    Operation::Write { offset: granule * GRANULE, data: vec![1; 512], fua: false }
}

fn null() -> Value {
    json!({"driver": "null-co", "node-name": "file", "size": SIZE})
}

fn failing(rules: Value) -> Value {
    json!({"driver": "blkdebug", "node-name": "file", "discard": "unmap", "inject-error": rules,
        "image": {"driver": "null-co", "size": SIZE}})
}

fn policy(werror: &str, rerror: &str) -> ErrorPolicy {
    let on_error = |name: &str| Some(name.parse().expect("a policy"));
    ErrorPolicy::new(on_error(werror), on_error(rerror)).expect("accepted")
}

fn submit(disk: &BlockBackend, client: &Client, operation: Operation) -> Receiver<Answer> {
    let (answers, answer) = channel();
    disk.submit(Request::new(client.clone(), operation, move |answer| answers.send(answer).expect("the test waits")));
    answer
}

/// The answer to a request that is answered at once.
fn answer(disk: &BlockBackend, operation: Operation) -> Answer {
    submit(disk, &Client::default(), operation).try_recv().expect("answered at once")
}

fn errno(answer: Answer) -> Option<Errno> {
    Errno::from_io_error(&answer.expect_err("failed"))
}

fn waits(answer: &Receiver<Answer>) -> bool {
    matches!(answer.try_recv(), Err(TryRecvError::Empty))
}

fn cont(setup: &Setup) {
    setup.vm.transaction(|tx| tx.vm_start()).expect("started");
}

fn stop(setup: &Setup) {
    setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
}

fn reset(setup: &Setup) {
    setup.vm.transaction(|tx| tx.reset(ShutdownCause::HostQmpSystemReset)).expect("reset");
}

fn io_status(setup: &Setup) -> Option<BlockDeviceIoStatus> {
    setup.block.query_block().expect("backends")[0].io_status
}

fn errors(setup: &Setup) -> Vec<Value> {
    let events = setup.log.all().into_iter();
    events.filter(|(name, _)| *name == "BLOCK_IO_ERROR").map(|(_, data)| data).collect()
}

fn failures(setup: &Setup) -> Vec<BlockIoErrorInfo> {
    setup.vm.stop_reason().last_stop.and_then(|stop| stop.io_errors).unwrap_or_default()
}

/// How often requests failed during the latest stop, and how many of them are held.
fn count_and_held(setup: &Setup) -> Vec<(u64, u64)> {
    failures(setup).iter().map(|info| (info.count, info.held)).collect()
}

fn another_backend(setup: &Setup) -> Arc<BlockBackend> {
    let node = setup.block.graph().attach("pool", true, "another").expect("attached");
    let (qom_path, device) = ("/another".to_owned(), String::new());
    setup
        .block
        .add_backend(BackendOptions { qom_path, device, node, policy: policy("auto", "auto") })
        .expect("a thread")
}

#[test]
fn a_full_disk_is_nospace_until_cont_or_reset() {
    let setup = Setup::new(null(), 0);
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Ok));
    let waiting = submit(&setup.disk, &Client::default(), write(0));
    assert!(waits(&waiting));
    assert_eq!(setup.vm.status().status, RunState::IoError);
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Nospace));
    reset(&setup);
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Ok));
    cont(&setup);
    wait_for_stop(&setup);
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Nospace));
    setup.set_limit(SIZE);
    cont(&setup);
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Ok));
    waiting.recv_timeout(PATIENCE).expect("answered").expect("written");
    assert_eq!(errors(&setup)[0]["nospace"], true);
    setup.log.check();
}

#[test]
fn any_other_error_that_stops_is_failed_until_cont() {
    let rules = json!([{"event": "none", "iotype": "read", "errno": 5, "once": true}]);
    let setup = Setup::with_policy(failing(rules), 0, policy("stop", "stop"));
    let waiting = submit(&setup.disk, &Client::default(), READ);
    assert!(waits(&waiting));
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Failed));
    assert_eq!(errors(&setup)[0]["nospace"], false);
    cont(&setup);
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Ok));
    assert_eq!(waiting.recv_timeout(PATIENCE).expect("answered").expect("read"), [0; 512]);
}

#[test]
fn a_disk_that_can_t_stop_the_vm_has_no_io_status() {
    let setup = Setup::with_policy(null(), 0, policy("report", "report"));
    assert_eq!(io_status(&setup), None);
    assert_eq!(errno(answer(&setup.disk, write(0))), Some(Errno::NOSPC));
    assert_eq!(io_status(&setup), None);
    assert_eq!(errors(&setup)[0].get("nospace"), None);
}

/// What `query-block` shows whenever an error is told.
#[derive(Default)]
struct Witness {
    block: OnceLock<Weak<Block>>,
    seen: Mutex<Vec<Option<BlockDeviceIoStatus>>>,
}

impl EventSink for Witness {
    fn emit(&self, _: Timestamp, event: &dyn Event) {
        if event.name() == "BLOCK_IO_ERROR" {
            let block = self.block.get().and_then(Weak::upgrade).expect("a block layer");
            self.seen.lock().expect("no panic").push(block.query_block().expect("backends")[0].io_status);
        }
    }
}

#[test]
fn who_is_told_of_an_error_sees_the_io_status_that_goes_with_it() {
    let witness = Arc::new(Witness::default());
    let vm = Arc::new(Vm::new(witness.clone(), SystemClock));
    let block = Arc::new(Block::new(vm.clone()));
    witness.block.set(Arc::downgrade(&block)).expect("once");
    let rules = json!([{"event": "none", "iotype": "write", "errno": 28, "once": true}]);
    let options = BlockdevOptions::from_value(failing(rules), &Visitor::json()).expect("options");
    block.blockdev_add(options).expect("the file");
    let node = block.graph().attach("file", true, "test").expect("attached");
    let (qom_path, device) = ("/disk".to_owned(), String::new());
    let disk =
        block.add_backend(BackendOptions { qom_path, device, node, policy: policy("auto", "auto") }).expect("a thread");
    vm.transaction(|tx| tx.vm_start()).expect("started");
    let client = Client::default();
    let waiting = submit(&disk, &client, write(0));
    assert_eq!(*witness.seen.lock().expect("no panic"), [Some(BlockDeviceIoStatus::Nospace)]);
    disk.cancel(&client);
    waiting.try_recv().expect("answered").expect_err("cancelled");
}

#[test]
fn an_ignored_error_reads_as_zeroes_writes_as_done_and_is_told() {
    let rules = json!([{"event": "none", "errno": 5}]);
    let setup = Setup::with_policy(failing(rules), SIZE, policy("ignore", "ignore"));
    assert_eq!(answer(&setup.disk, READ).expect("ignored"), [0; 512]);
    assert!(answer(&setup.disk, write(0)).expect("ignored").is_empty());
    assert!(answer(&setup.disk, Operation::Flush).expect("ignored").is_empty());
    let told: Vec<_> = errors(&setup).iter().map(|data| (data["operation"].clone(), data["action"].clone())).collect();
    let ignored = |operation| (json!(operation), json!("ignore"));
    assert_eq!(told, [ignored("read"), ignored("write"), ignored("write")]);
    assert!(setup.vm.status().running);
}

#[test]
fn a_reported_error_is_the_answer_and_is_told() {
    let rules =
        json!([{"event": "none", "iotype": "write", "errno": 5}, {"event": "none", "iotype": "read", "errno": 28}]);
    let setup = Setup::new(failing(rules), SIZE);
    assert_eq!(errno(answer(&setup.disk, write(0))), Some(Errno::IO));
    assert_eq!(errno(answer(&setup.disk, READ)), Some(Errno::NOSPC));
    let error = |operation: &str, reason: &str, message: &str, nospace: bool| {
        json!({"qom-path": "/disk", "device": "", "node-name": "pool", "operation": operation, "action": "report",
            "nospace": nospace, "reason": reason, "message": message})
    };
    let write = error("write", "eio", "Input/output error", false);
    assert_eq!(errors(&setup), [write, error("read", "enospc", "No space left on device", true)]);
    assert!(setup.vm.status().running);
    assert_eq!(io_status(&setup), Some(BlockDeviceIoStatus::Ok));
    assert_eq!(count_and_held(&setup), []);
}

#[test]
fn a_request_past_the_end_is_the_guest_s_mistake_and_nobody_is_told() {
    let setup = Setup::with_policy(null(), SIZE, policy("stop", "stop"));
    let past_the_end = [
        Operation::Read { offset: SIZE - 511, length: 512 },
        Operation::Write { offset: SIZE, data: vec![1], fua: false },
        Operation::WriteZeroes { offset: u64::MAX, length: 2, fua: false, unmap: false },
        Operation::Discard { offset: 0, length: SIZE + 1 },
    ];
    for operation in past_the_end {
        assert_eq!(errno(answer(&setup.disk, operation)), Some(Errno::INVAL));
    }
    answer(&setup.disk, Operation::Read { offset: SIZE - 512, length: 512 }).expect("the last sector");
    assert_eq!(errors(&setup), [] as [Value; 0]);
    assert!(setup.vm.status().running);
}

#[test]
fn operations_are_counted_as_done_failed_or_invalid() {
    let rules = json!([
        {"event": "none", "iotype": "read", "once": true},
        {"event": "none", "iotype": "write", "once": true},
        {"event": "none", "iotype": "flush", "once": true},
        {"event": "none", "iotype": "discard", "once": true}]);
    let setup = Setup::new(failing(rules), SIZE);
    let operations = [READ, write(2), Operation::Flush, Operation::Discard { offset: 0, length: GRANULE }];
    for operation in &operations {
        assert_eq!(errno(answer(&setup.disk, operation.clone())), Some(Errno::IO));
    }
    for operation in operations.into_iter().chain([READ]) {
        answer(&setup.disk, operation).expect("done");
    }
    let invalid = [
        Operation::Read { offset: SIZE, length: 1 },
        Operation::Write { offset: SIZE, data: vec![1], fua: false },
        Operation::Discard { offset: SIZE, length: 1 },
    ];
    for operation in invalid {
        assert_eq!(errno(answer(&setup.disk, operation)), Some(Errno::INVAL));
    }
    let stats = setup.block.query_blockstats(None).expect("backends").remove(0).stats;
    let done = [stats.rd_operations, stats.wr_operations, stats.flush_operations, stats.unmap_operations];
    assert_eq!(done, [2, 1, 1, 1]);
    assert_eq!([stats.rd_bytes, stats.wr_bytes, stats.unmap_bytes], [1024, 512, GRANULE as i64]);
    assert_eq!(stats.wr_highest_offset, 2 * GRANULE as i64 + 512);
    let failed = [stats.failed_rd_operations, stats.failed_wr_operations, stats.failed_unmap_operations];
    assert_eq!((failed, stats.failed_flush_operations), ([1, 1, 1], 1));
    let invalid = [stats.invalid_rd_operations, stats.invalid_wr_operations, stats.invalid_unmap_operations];
    assert_eq!(invalid, [1, 1, 1]);
    assert!(stats.idle_time_ns.is_some());
}

#[test]
fn a_held_request_counts_once_as_done_and_never_as_failed() {
    let setup = Setup::new(null(), 0);
    let waiting = submit(&setup.disk, &Client::default(), write(0));
    setup.set_limit(SIZE);
    cont(&setup);
    waiting.recv_timeout(PATIENCE).expect("answered").expect("written");
    let stats = setup.disk.stats().stats;
    assert_eq!((stats.failed_wr_operations, stats.wr_operations), (0, 1));
}

#[test]
fn a_stopped_vm_starts_nothing_until_cont() {
    let setup = Setup::new(null(), SIZE);
    stop(&setup);
    let late = another_backend(&setup);
    let answers = [&setup.disk, &late].map(|disk| submit(disk, &Client::default(), READ));
    assert!(answers.iter().all(waits));
    let tried = |disk: &BlockBackend| disk.stats().stats.rd_operations;
    assert_eq!([tried(&setup.disk), tried(&late)], [0, 0]);
    cont(&setup);
    for answer in answers {
        assert_eq!(answer.recv_timeout(PATIENCE).expect("answered").expect("read"), [0; 512]);
    }
    assert_eq!(answer(&late, READ).expect("runs at once"), [0; 512]);
}

#[test]
fn the_reason_of_a_stop_has_the_failure_with_its_count_and_what_is_held() {
    let setup = Setup::new(null(), 0);
    let (client, other) = (Client::default(), Client::default());
    let first = submit(&setup.disk, &client, write(3));
    let untried = submit(&setup.disk, &other, write(5));
    let stopped = setup.vm.stop_reason();
    assert_eq!(stopped.reason, Some(StopReason::Ioerror));
    let infos = failures(&setup);
    assert_eq!((infos.len(), infos[0].offset, infos[0].length), (1, Some(3 * GRANULE), Some(512)));
    assert_eq!((infos[0].qom_path.as_str(), infos[0].node_name.as_deref()), ("/disk", Some("pool")));
    assert_eq!(count_and_held(&setup), [(1, 1)]);
    setup.disk.cancel(&other);
    let gone = untried.try_recv().expect("answered").expect_err("cancelled");
    assert_eq!(gone.kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(count_and_held(&setup), [(1, 1)], "what was not tried was not held");
    setup.disk.cancel(&client);
    first.try_recv().expect("answered").expect_err("cancelled");
    assert_eq!(count_and_held(&setup), [(1, 0)]);
    let refused = submit(&setup.disk, &client, READ).try_recv().expect("answered").expect_err("refused");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionAborted);
}

#[test]
fn nothing_is_held_after_cont() {
    let setup = Setup::new(null(), 0);
    let waiting = submit(&setup.disk, &Client::default(), write(0));
    assert_eq!(count_and_held(&setup), [(1, 1)]);
    setup.set_limit(SIZE);
    cont(&setup);
    assert_eq!(count_and_held(&setup), [(1, 0)]);
    assert_eq!(setup.vm.stop_reason().reason, None);
    waiting.recv_timeout(PATIENCE).expect("answered").expect("written");
}

/// Makes reads wait whose answers, once the VM runs, keep a retrying thread each until the gate opens.
fn occupy_retries(setup: &Setup, gate: &Arc<RwLock<()>>) -> Receiver<()> {
    let (arrived, arrivals) = channel();
    for _ in 0..OTHER_RETRIES {
        let (gate, arrived) = (gate.clone(), arrived.clone());
        setup.disk.submit(Request::new(Client::default(), READ, move |_| {
            arrived.send(()).expect("the test waits");
            drop(gate.read());
        }));
    }
    arrivals
}

fn arrive(arrivals: &Receiver<()>) {
    (0..OTHER_RETRIES).for_each(|_| arrivals.recv_timeout(PATIENCE).expect("a thread for each"));
}

fn wait_for_stop(setup: &Setup) {
    let start = Instant::now();
    while setup.vm.status().running {
        assert!(start.elapsed() < PATIENCE, "the VM was not stopped");
        thread::yield_now();
    }
}

#[test]
fn what_fails_again_stops_again_and_the_next_waits_untried_in_its_order() {
    let setup = Setup::new(null(), 0);
    let disk = setup.disk.clone();
    let gate = Arc::new(RwLock::new(()));
    stop(&setup);
    let closed = gate.write().expect("no panic");
    let arrivals = occupy_retries(&setup, &gate);
    cont(&setup);
    arrive(&arrivals);

    // One thread is left, which retries one after the other.
    stop(&setup);
    let (answers, order) = channel();
    for granule in 0..2 {
        let answers = answers.clone();
        let answer = move |answer: Answer| answers.send((granule, answer.is_ok())).expect("the test waits");
        disk.submit(Request::new(Client::default(), write(granule), answer));
    }
    let user = setup.vm.stop_reason().last_stop.expect("a stop").id;
    cont(&setup);
    wait_for_stop(&setup);
    drop(closed);
    setup.vm.drain();
    let again = setup.vm.stop_reason().last_stop.expect("a stop");
    assert_eq!((again.id, again.reason), (user + 1, StopReason::Ioerror));
    assert_eq!((count_and_held(&setup), failures(&setup)[0].offset), (vec![(1, 1)], Some(0)));
    assert_eq!(order.try_recv(), Err(TryRecvError::Empty));

    let closed = gate.write().expect("no panic");
    let arrivals = occupy_retries(&setup, &gate);
    setup.set_limit(SIZE);
    cont(&setup);
    arrive(&arrivals);
    let mut answered = [(); 2].map(|()| order.recv_timeout(PATIENCE).expect("answered"));
    // Both are older than what occupies the threads, so they start first, but beside each other.
    answered.sort_unstable();
    assert_eq!(answered, [(0, true), (1, true)]);
    drop(closed);
    setup.log.check();
}

/// Drains on a thread of its own, beside a request whose answer is being given until the gate opens.
fn drain_beside_a_request(then: impl FnOnce(&Setup, &Receiver<&str>, RwLockWriteGuard<'_, ()>)) {
    let setup = Setup::new(null(), SIZE);
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().expect("no panic");
    let (told, order) = channel();
    let (arrived, arrival) = channel();
    thread::scope(|scope| {
        let (disk, gate, answered) = (&setup.disk, gate.clone(), told.clone());
        scope.spawn(move || {
            disk.submit(Request::new(Client::default(), READ, move |_| {
                arrived.send(()).expect("the test waits");
                drop(gate.read());
                answered.send("answered").expect("the test waits");
            }));
        });
        arrival.recv_timeout(PATIENCE).expect("in flight");
        stop(&setup);
        let vm = &setup.vm;
        scope.spawn(move || {
            vm.drain();
            told.send("drained").expect("the test waits");
        });
        for _ in 0..CHANCES {
            assert_eq!(order.try_recv(), Err(TryRecvError::Empty), "a request is in flight");
            thread::yield_now();
        }
        then(&setup, &order, closed);
    });
}

#[test]
fn drain_returns_once_what_is_in_flight_is_answered() {
    drain_beside_a_request(|_, order, closed| {
        drop(closed);
        let told = [(); 2].map(|()| order.recv_timeout(PATIENCE).expect("told"));
        assert_eq!(told, ["answered", "drained"]);
    });
}

#[test]
fn drain_returns_when_the_vm_is_started_again() {
    drain_beside_a_request(|setup, order, closed| {
        cont(setup);
        assert_eq!(order.recv_timeout(PATIENCE), Ok("drained"));
        drop(closed);
        assert_eq!(order.recv_timeout(PATIENCE), Ok("answered"));
    });
}
