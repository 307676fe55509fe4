//! A VMM's view of the board: it has the processor, here a few accesses by hand, and the board has all the rest. A guest's
//! driver writes to a disk that is too small, waits for its interrupt while the VM stands still, and gets it.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use block::block::Block;
use hw::board::microvm::MICROVM;
use hw::irq::Interceptor;
use hw::virtio::mmio::Version;
use hw::{Board, BoardOptions, VirtualClock};
use qapi_schema::block_core::{BlockdevOptions, Commands as _};
use qapi_schema::common::Timestamp;
use qapi_schema::run_state::{Commands as _, RunState};
use qapi_schema::{Dialect, Event, EventSink, FromValue, Visitor};
use serde_json::{Value, json};
use vl::{SystemClock, Vm};

/// What the VMM hears: events, from whichever thread they happen on, and the interrupt that it would inject.
enum Heard {
    Event(&'static str),
    Interrupt(u32),
}

struct Ears(Sender<Heard>);

impl EventSink for Ears {
    fn emit(&self, _at: Timestamp, event: &dyn Event) {
        self.0.send(Heard::Event(event.name())).unwrap_or(());
    }
}

impl Interceptor for Ears {
    fn level(&self, input: u32, high: bool) {
        if high {
            self.0.send(Heard::Interrupt(input)).unwrap_or(());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (ears, heard) = channel();
    let vm = Arc::new(Vm::new(Arc::new(Ears(ears.clone())), SystemClock));
    let block = Arc::new(Block::new(vm.clone()));
    let clock = Arc::new(VirtualClock::host()?);
    let options = BoardOptions {
        ram_size: 16 << 20,
        cpus: 1,
        virtio_mmio: Version::Legacy,
        clock: clock.clone(),
        vm: vm.clone(),
        block: block.clone(),
    };
    let board = Board::new(&MICROVM, options)?;
    // Time goes on before the disks do, devices after them.
    vm.observe(-1, clock);
    vm.observe(1, board.clone());
    let controller = board.controller("ioapic").ok_or("microvm has an ioapic")?;
    controller.intercept(Arc::new(Ears(ears)));

    // A disk of 1 MiB on 64 KiB of storage, in the last slot.
    block.blockdev_add(options_of(json!({"driver": "null-co", "node-name": "file", "size": 1 << 20}))?)?;
    block.blockdev_add(pool(64 << 10)?)?;
    let device = json!({"driver": "virtio-blk-device", "id": "disk0", "drive": "pool"});
    board.device_add(device.as_object().cloned().unwrap_or_default(), Dialect::Json)?;
    board.built();
    vm.cont()?;

    // What the guest's driver does (virtio 1.2 section 4.2.4): its queue of 8 lies at 0x1000.
    let slot = 0xfeb0_0000 + 7 * 0x200;
    let bus = board.bus();
    let store = |register: u64, value: u32| bus.memory_write(slot + register, &value.to_le_bytes());
    for (register, value) in [(0x70, 3), (0x28, 4096), (0x38, 8), (0x3c, 4096), (0x40, 1), (0x70, 7)] {
        store(register, value);
    }
    // A request in three parts: to write, at sector 0; 128 KiB of data; and a byte for the status.
    let parts = [(0x3000_u64, 16_u32, 1_u16, 1_u16), (0x10000, 128 << 10, 1, 2), (0x4000, 1, 2, 0)];
    bus.memory_write(0x3000, &1_u128.to_le_bytes());
    bus.memory_write(0x4000, &[0xff]);
    for (at, (address, length, flags, next)) in (0x1000..).step_by(16).zip(parts) {
        let rest = u64::from(length) | u64::from(flags) << 32 | u64::from(next) << 48;
        bus.memory_write(at, &(u128::from(address) | u128::from(rest) << 64).to_le_bytes());
    }
    bus.memory_write(0x1082, &1_u16.to_le_bytes());
    store(0x50, 0);

    // More space as soon as the VM stops, until the guest is interrupted.
    for heard in heard {
        match heard {
            Heard::Event("STOP") => {
                assert_eq!(vm.query_status()?.status, RunState::IoError);
                println!("STOP: {}", serde_json::to_string_pretty(&vm.query_stop_reason()?)?);
                block.blockdev_reopen(vec![pool(1 << 20)?])?;
                vm.cont()?;
            }
            Heard::Event(name) => println!("{name}"),
            Heard::Interrupt(input) => {
                let mut status = [0xff];
                bus.memory_read(0x4000, &mut status);
                println!("interrupt at input {input}, status of the request: {}", status[0]);
                break;
            }
        }
    }
    Ok(board.device_del("disk0")?)
}

fn pool(limit: u64) -> Result<BlockdevOptions, qapi_schema::Error> {
    options_of(json!({"driver": "quota", "node-name": "pool", "limit": limit, "file": "file"}))
}

fn options_of(value: Value) -> Result<BlockdevOptions, qapi_schema::Error> {
    BlockdevOptions::from_value(value, &Visitor::json())
}
