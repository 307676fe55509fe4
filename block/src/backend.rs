//! Where guest-facing code meets the block layer: the only place that knows the error policy, the io-status, held requests
//! and statistics.
//!
//! A request that fails with the action *stop* is neither failed nor acknowledged: it is held here, its client is told
//! nothing, and the VM stops. `cont` sends it through [`BlockBackend::submit`]'s path again.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use qapi_schema::block_core::{BlockDeviceIoStatus, BlockErrorAction, event};
use qapi_schema::run_state::RunState;
use rustix::io::Errno;
use vl::sync::{Condvar, Mutex};
use vl::{IoFailure, Transaction, Vm};

use crate::disk::Watcher;
use crate::error::{is_no_space, message, reason};
use crate::graph::Attachment;
use crate::policy::ErrorPolicy;
use crate::queue::{Admission, Admitted, Queue, Waiting};
use crate::request::{Answer, Client, Operation, Request};
use crate::statistics::Statistics;
use crate::workers::Workers;

mod query;

pub(crate) use query::node_stats;

/// A device's or export's view of its disk.
///
/// Lock order: the VM's, then the list of backends, then `queue` or `io_status`, then that of the workers. None of them
/// but the VM's is held while the VM is called, and none at all while I/O is done.
pub struct BlockBackend {
    qom_path: String,
    device: String,
    node: Attachment,
    policy: ErrorPolicy,
    vm: Arc<Vm>,
    /// Its own, so that no hung disk keeps another from going on.
    workers: Workers,
    queue: Mutex<Queue>,
    drained: Condvar,
    io_status: Mutex<BlockDeviceIoStatus>,
    statistics: Statistics,
    watcher: Mutex<Option<Weak<dyn Watcher>>>,
    write_cache: AtomicBool,
}

/// What a backend is made of.
#[derive(Debug)]
pub struct BackendOptions {
    /// The device or export, as BLOCK_IO_ERROR names it.
    pub qom_path: String,
    /// Name of the block backend, "" where it has none.
    pub device: String,
    /// The node it uses.
    pub node: Attachment,
    /// What to do about errors.
    pub policy: ErrorPolicy,
}

impl BlockBackend {
    pub(crate) fn new(options: BackendOptions, vm: Arc<Vm>, workers: Workers, running: bool) -> Self {
        let BackendOptions { qom_path, device, node, policy } = options;
        Self {
            qom_path,
            device,
            node,
            policy,
            vm,
            workers,
            queue: Mutex::new(Queue::new(running)),
            drained: Condvar::new(),
            io_status: Mutex::new(BlockDeviceIoStatus::Ok),
            statistics: Statistics::default(),
            watcher: Mutex::default(),
            write_cache: AtomicBool::new(true),
        }
    }

    /// The device or export, as BLOCK_IO_ERROR names it.
    pub fn qom_path(&self) -> &str {
        &self.qom_path
    }

    /// What clients call the device: its identifier, or its path if it has none.
    fn qdev(&self) -> &str {
        self.qom_path.strip_prefix("/machine/peripheral/").unwrap_or(&self.qom_path)
    }

    /// Name of the block backend, "" where it has none.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The node it uses.
    pub const fn node(&self) -> &Attachment {
        &self.node
    }

    /// Size in bytes as the guest sees it.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn length(&self) -> io::Result<u64> {
        self.node.length()
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.node.read_only()
    }

    /// Whether writes need a flush to be on stable storage: so it is unless it was [set](Self::set_write_cache) otherwise.
    pub fn write_cache(&self) -> bool {
        self.write_cache.load(Ordering::Relaxed)
    }

    /// Turns the write cache on or off, for requests that are made from now on.
    pub fn set_write_cache(&self, on: bool) {
        self.write_cache.store(on, Ordering::Relaxed);
    }

    /// Executes a request on the calling thread. While the VM is stopped it waits instead; after an error with the action
    /// *stop* it waits, too. Then it goes on after `cont`, on another thread.
    pub fn submit(&self, request: Request) {
        let admission = self.queue.lock().admit(request);
        self.proceed(admission);
    }

    /// Notes that `client` is gone: what waits for it is dropped, and shows no longer as held. What runs is let run.
    pub fn cancel(&self, client: &Client) {
        let dropped = self.vm.transaction(|tx| self.forget(client, tx));
        dropped.into_iter().for_each(|waiting| waiting.request.complete(Err(gone())));
    }

    /// The same for a caller that is in a transaction of the VM, such as an observer of its reset. What is dropped is
    /// answered in there, too, and its answer must not call the VM.
    pub fn cancel_in(&self, client: &Client, tx: &mut Transaction<'_>) {
        self.forget(client, tx).into_iter().for_each(|waiting| waiting.request.complete(Err(gone())));
    }

    fn forget(&self, client: &Client, tx: &mut Transaction<'_>) -> Vec<Waiting> {
        client.leave();
        let dropped = self.queue.lock().forget(client);
        for (operation, reason) in dropped.iter().filter_map(|waiting| waiting.held) {
            tx.forget_held(&self.qom_path, operation, reason);
        }
        dropped
    }

    /// From now on tells `watcher` of every change of the size, instead of whoever was told before.
    pub fn watch(&self, watcher: Weak<dyn Watcher>) {
        *self.watcher.lock() = Some(watcher);
    }

    /// The node, or one beneath, was given another size.
    pub(crate) fn resized(&self) {
        let watcher = self.watcher.lock().as_ref().and_then(Weak::upgrade);
        if let Some(watcher) = watcher {
            watcher.resized();
        }
    }

    fn proceed(&self, admission: Admission) {
        match admission {
            Admission::Run(admitted) => self.execute(admitted),
            Admission::Waits => {
                self.drained.notify_all();
            }
            Admission::Refused(request) => self.answer(request, Err(gone())),
        }
    }

    fn execute(&self, admitted: Admitted) {
        let operation = admitted.request.operation();
        let started = Instant::now();
        let size = match self.node.length() {
            Ok(size) => size,
            Err(error) => return self.fail(admitted, error, started),
        };
        if let Err(error) = self.check(operation, size) {
            self.statistics.invalid(operation);
            return self.answer(admitted.request, Err(error));
        }
        match surviving(&self.vm, || self.perform(operation)) {
            Ok(data) => {
                self.statistics.done(operation, started);
                self.answer(admitted.request, Ok(data));
            }
            Err(error) => self.fail(admitted, error, started),
        }
    }

    /// What no storage could serve is the guest's mistake: there is no policy for it.
    fn check(&self, operation: &Operation, size: u64) -> io::Result<()> {
        if operation.changes_the_disk() && self.node.read_only() {
            return Err(Errno::PERM.into());
        }
        match operation.range() {
            Some((offset, length)) if offset.checked_add(length).is_none_or(|end| end > size) => {
                Err(Errno::INVAL.into())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn perform(&self, operation: &Operation) -> Answer {
        let through = !self.write_cache();
        match *operation {
            Operation::Read { offset, length } => {
                let mut data = vec![0; length];
                self.node.read(offset, &mut data)?;
                return Ok(data);
            }
            Operation::Write { offset, ref data, fua } => self.node.write(offset, data, fua || through)?,
            Operation::Flush => self.node.flush()?,
            Operation::Discard { offset, length } => self.node.discard(offset, length)?,
            Operation::WriteZeroes { offset, length, fua, unmap } => {
                self.node.write_zeroes(offset, length, unmap, fua || through)?;
            }
        }
        Ok(Vec::new())
    }

    fn fail(&self, admitted: Admitted, error: io::Error, started: Instant) {
        let operation = admitted.request.operation();
        let reason = reason(&error);
        let direction = operation.direction();
        let action = self.policy.decide(direction, reason);
        let event = event::BlockIoError {
            qom_path: self.qom_path.clone(),
            device: self.device.clone(),
            node_name: Some(self.node.name().to_owned()),
            operation: direction,
            action,
            nospace: self.policy.may_stop().then(|| is_no_space(reason)),
            reason,
            message: message(&error),
        };
        match action {
            BlockErrorAction::Stop => self.hold(admitted, event, started),
            BlockErrorAction::Report => {
                self.statistics.failed(operation, started);
                self.vm.emit(&event);
                self.answer(admitted.request, Err(error));
            }
            BlockErrorAction::Ignore => {
                self.statistics.done(operation, started);
                self.vm.emit(&event);
                let zeroes = if let Operation::Read { length, .. } = *operation { vec![0; length] } else { Vec::new() };
                self.answer(admitted.request, Ok(zeroes));
            }
        }
    }

    /// Holds a failed request and stops the VM. One transaction: no `cont` can come between the error and its STOP, nor
    /// find the request not yet held.
    fn hold(&self, admitted: Admitted, event: event::BlockIoError, started: Instant) {
        let failure = IoFailure {
            qom_path: event.qom_path.clone(),
            device: event.device.clone(),
            node_name: event.node_name.clone(),
            operation: event.operation,
            reason: event.reason,
            message: event.message.clone(),
            range: admitted.request.operation().range(),
        };
        let refused = self.vm.transaction(|tx| {
            let held = self.queue.lock().hold(admitted, (event.operation, event.reason));
            if held.is_ok() {
                self.set_io_status(event.nospace == Some(true));
                tx.emit(&event);
                if let Err(illegal) = tx.vm_stop(RunState::IoError) {
                    tracing::error!(%illegal, "the VM was not stopped");
                }
                tx.record_io_failure(failure);
            }
            held.err()
        });
        self.drained.notify_all();
        if let Some(request) = refused {
            self.statistics.failed(request.operation(), started);
            self.answer(request, Err(gone()));
        }
    }

    /// The first error of a stop is the status, as in QEMU.
    fn set_io_status(&self, nospace: bool) {
        let mut status = self.io_status.lock();
        if *status == BlockDeviceIoStatus::Ok {
            *status = if nospace { BlockDeviceIoStatus::Nospace } else { BlockDeviceIoStatus::Failed };
        }
    }

    fn answer(&self, request: Request, answer: Answer) {
        request.complete(answer);
        let mut queue = self.queue.lock();
        queue.leave();
        if queue.is_drained() {
            self.drained.notify_all();
        }
    }

    /// The backend's part in the VM's life, see [`vl::Observer`].
    pub(crate) fn stopped(&self) {
        self.queue.lock().stop();
    }

    pub(crate) fn reset_io_status(&self) {
        *self.io_status.lock() = BlockDeviceIoStatus::Ok;
    }

    pub(crate) fn started(self: &Arc<Self>) {
        let released = self.queue.lock().start();
        self.go_on(released);
    }

    /// What a new stop overtakes waits again, at its old place.
    fn retry(&self, admitted: Admitted) {
        let admission = self.queue.lock().readmit(admitted);
        self.proceed(admission);
    }

    /// What waits goes on: the VM was started, or a pause is over.
    fn go_on(self: &Arc<Self>, released: Vec<Admitted>) {
        self.drained.notify_all();
        self.workers.run(released.into_iter().map(|admitted| {
            let backend = self.clone();
            Box::new(move || backend.retry(admitted)) as _
        }));
    }

    pub(crate) fn drain(&self) {
        self.drained.wait_while(&mut self.queue.lock(), |queue| queue.is_draining());
    }
}

impl fmt::Debug for BlockBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockBackend").field("qom_path", &self.qom_path).finish_non_exhaustive()
    }
}

/// No request of a backend is under way as long as this lives, whether the VM runs or not.
#[must_use]
pub(crate) struct Pause(Arc<BlockBackend>);

impl Pause {
    /// Waits for those that are. At most one pause of a backend at a time.
    pub(crate) fn new(backend: Arc<BlockBackend>) -> Self {
        backend.queue.lock().pause();
        backend.drain();
        Self(backend)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let released = self.0.queue.lock().resume();
        self.0.go_on(released);
    }
}

/// The answer to a request whose client is gone. Nobody reads it.
fn gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// A driver that panics is a bug of ours, and nobody knows what became of the disk: the VM stops until a reset, and the
/// request fails like any other, so that neither it nor its thread is lost.
fn surviving(vm: &Vm, perform: impl FnOnce() -> Answer) -> Answer {
    catch_unwind(AssertUnwindSafe(perform)).unwrap_or_else(|_| {
        vm.internal_error("a block driver panicked");
        Err(io::Error::other("internal error in a block driver"))
    })
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use qapi_schema::common::Timestamp;
    use qapi_schema::{Event, EventSink};

    struct Deaf;

    impl EventSink for Deaf {
        fn emit(&self, _: Timestamp, _: &dyn Event) {}
    }

    #[test]
    fn a_driver_that_panics_fails_its_request_and_stops_the_vm_until_a_reset() {
        let vm = Vm::new(Arc::new(Deaf), vl::SystemClock);
        vm.transaction(|tx| tx.vm_start()).expect("started");
        assert_eq!(surviving(&vm, || Ok(vec![1])).expect("answered"), [1]);
        assert_eq!(vm.transaction(|tx| tx.run_state()), RunState::Running);
        assert!(surviving(&vm, || panic!("a bug")).is_err());
        assert_eq!(vm.transaction(|tx| tx.run_state()), RunState::InternalError);
        assert!(vm.transaction(|tx| tx.vm_start()).is_err());
    }
}
