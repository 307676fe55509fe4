//! virtio-blk over virtio-mmio: whatever a driver does to registers, rings and memory, while the VM stops and goes on, breaks
//! nothing but its own device, and that only until it is reset.

mod driver;

use std::sync::Arc;

use hw::Board;
use hw::virtio::mmio::{SLOT_SIZE, Version};
use qapi_schema::block_core::Commands as _;
use qapi_schema::run_state::Commands as _;
use qapi_schema::{FromValue, Visitor};
use serde_json::{Value, json};

use self::driver::{Driver, Interrupts, SLOT};
use super::board::{RAM, board, plug};

/// More than any buffer, so that requests of a megabyte and more are carried out piece by piece.
const DISK: u64 = 2 << 20;

/// What the disk under it has room for at first.
const QUOTA: u64 = 256 << 10;

/// Inputs that say more than this are cut.
const MOST_ACTS: usize = 400;

/// A driver that does what `input` says.
pub fn virtio_blk(input: &[u8]) {
    let mut script = Script(input);
    let version = if script.byte() & 1 == 0 { Version::Modern } else { Version::Legacy };
    let board = board(version);
    for node in [json!({"driver": "null-co", "node-name": "disk", "size": DISK, "read-zeroes": true}), quota(QUOTA)] {
        board.block().blockdev_add(options(&node)).expect("a node");
    }
    let interrupts = Arc::new(Interrupts::default());
    board.controller("ioapic").expect("there is one").intercept(Arc::clone(&interrupts) as _);
    board.built();
    insert(&board);
    board.vm().cont().expect("it starts");
    let mut driver = Driver::new(&board, version);
    for _ in 0..MOST_ACTS {
        if script.0.is_empty() {
            break;
        }
        act(&board, &mut driver, &mut script);
    }
    driver.reset();
    // From here on the memory is the guest's again, whatever is still under way.
    let before = memory(&board);
    board.device_del("vda").expect("it can be unplugged");
    assert!(before == memory(&board), "guest memory was written after the device was reset");
    mend(&board, DISK);
    insert(&board);
    Driver::new(&board, version).work(&interrupts);
    board.device_del("vda").expect("it can be unplugged");
}

/// Does one thing.
fn act(board: &Board, driver: &mut Driver<'_>, script: &mut Script<'_>) {
    match script.byte() % 14 {
        0 => driver.write_register(u64::from(script.byte() & 0x7f) * 4, script.long()),
        1 => {
            let mut data = [0; 8];
            let width = usize::from(script.byte() % 9);
            board.bus().memory_read(SLOT + u64::from(script.word()) % SLOT_SIZE, &mut data[..width]);
        }
        2 => {
            let (at, length) = (SLOT + u64::from(script.word()) % SLOT_SIZE, script.byte() % 9);
            board.bus().memory_write(at, script.take(length.into()));
        }
        3 => {
            let (at, length) = (script.word().into(), script.byte());
            board.bus().memory_write(at, script.take(length.into()));
        }
        4 => driver.notify(script.byte().into()),
        5 => driver.start(1 << (script.byte() % 11), script.long()),
        6 => driver.set_descriptor(script.byte(), script.byte().into(), script.descriptor()),
        7 => driver.set_header(script.word().into(), script.byte().into(), script.byte().into()),
        8 => driver.offer(script.byte(), script.byte().into()),
        9 => driver.request(script.byte(), script.byte().into(), script.byte().into(), script.word().into()),
        10 => driver.reset(),
        11 => stop_or_go_on(board, script.byte()),
        12 => {
            let node = options(&quota(u64::from(script.byte()) << 13));
            // Less than what is there already is refused.
            let _ = board.block().blockdev_reopen(vec![node]);
        }
        _ => {
            board.device_del("vda").expect("it can be unplugged");
            insert(board);
        }
    }
}

fn stop_or_go_on(board: &Board, what: u8) {
    let vm = board.vm();
    let done = match what % 4 {
        0 => vm.stop(),
        1 | 2 => vm.cont(),
        _ => vm.system_reset(),
    };
    done.expect("nothing keeps it from that");
}

/// Whatever became of the machine, a fresh guest runs, and has a whole disk.
fn mend(board: &Board, limit: u64) {
    board.block().blockdev_reopen(vec![options(&quota(limit))]).expect("it can grow");
    board.vm().system_reset().expect("reset");
    board.vm().cont().expect("it starts");
}

fn insert(board: &Board) {
    plug(board, json!({"driver": "virtio-blk-device", "id": "vda", "drive": "thin", "num-queues": 2}));
}

fn quota(limit: u64) -> Value {
    json!({"driver": "quota", "node-name": "thin", "limit": limit, "file": "disk"})
}

fn options<T: FromValue>(value: &Value) -> T {
    T::from_value(value.clone(), &Visitor::json()).expect("valid options")
}

fn memory(board: &Board) -> Vec<u8> {
    let mut all = vec![0; RAM as usize];
    board.bus().memory_read(0, &mut all);
    all
}

/// What is left of the input. Once it ends all is zero.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.take(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn long(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// One whose buffer is not too far away.
    fn descriptor(&mut self) -> driver::Descriptor {
        driver::Descriptor {
            address: u64::from(self.word()),
            length: u32::from(self.word()),
            flags: u16::from(self.byte()),
            next: u16::from(self.byte()),
        }
    }
}
