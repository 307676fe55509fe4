//! A small microvm that runs, for the targets that drive hardware. It goes away when it is dropped.

use std::sync::{Arc, Weak};

use block::block::Block;
use hw::board::microvm::MICROVM;
use hw::virtio::mmio::Version;
use hw::{Board, BoardOptions, VirtualClock};
use qapi_schema::common::Timestamp;
use qapi_schema::{Dialect, Event, EventSink};
use serde_json::Value;
use vl::{Observer, SystemClock, Transaction, Vm};

/// How much RAM it has, from address 0.
pub(crate) const RAM: u64 = 64 << 10;

struct Deaf;

impl EventSink for Deaf {
    fn emit(&self, _: Timestamp, _: &dyn Event) {}
}

/// The VM must not own those it tells, who own it.
struct Told<T>(Weak<T>);

impl<T: Observer> Observer for Told<T> {
    fn will_start(&self) {
        self.0.upgrade().iter().for_each(|observer| observer.will_start());
    }

    fn stopped(&self) {
        self.0.upgrade().iter().for_each(|observer| observer.stopped());
    }

    fn reset(&self, tx: &mut Transaction<'_>) {
        self.0.upgrade().iter().for_each(|observer| observer.reset(tx));
    }
}

/// A machine, before it is started.
pub(crate) fn board(virtio_mmio: Version) -> Arc<Board> {
    let vm = Arc::new(Vm::new(Arc::new(Deaf), SystemClock));
    let clock = Arc::new(VirtualClock::driven().expect("a thread"));
    let block = Arc::new(Block::new(Arc::clone(&vm)));
    vm.observe(-1, Arc::new(Told(Arc::downgrade(&clock))));
    let options = BoardOptions { ram_size: RAM, cpus: 1, virtio_mmio, clock, vm: Arc::clone(&vm), block };
    let board = Board::new(&MICROVM, options).expect("there can be such a machine");
    vm.observe(1, Arc::new(Told(Arc::downgrade(&board))));
    board
}

/// Plugs a device in.
pub(crate) fn plug(board: &Board, arguments: Value) {
    let Value::Object(arguments) = arguments else { panic!("no object: {arguments}") };
    board.device_add(arguments, Dialect::Json).expect("there is a place for it");
}
