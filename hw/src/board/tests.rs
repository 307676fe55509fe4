//! Boards as a guest and a client see them.

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};

use qapi_schema::common::Timestamp;
use qapi_schema::{Event, EventSink};
use serde_json::json;
use vl::SystemClock;

/// Passes the names of events on.
struct Names(Mutex<Sender<String>>);

impl EventSink for Names {
    fn emit(&self, _: Timestamp, event: &dyn Event) {
        // Not every test listens.
        let _ = self.0.lock().send(event.name().into());
    }
}

/// A board with a VM that runs, and the names of the events there are.
pub(crate) fn board(kind: &'static BoardKind, ram_size: u64) -> (Arc<Board>, Receiver<String>) {
    let (sender, events) = channel();
    let vm = Arc::new(Vm::new(Arc::new(Names(Mutex::new(sender))), SystemClock));
    let clock = Arc::new(VirtualClock::driven().expect("a thread"));
    let options = BoardOptions {
        ram_size,
        cpus: 1,
        virtio_mmio: Version::Legacy,
        clock: clock.clone(),
        vm: vm.clone(),
        block: Arc::new(Block::new(vm.clone())),
    };
    let board = Board::new(kind, options).expect("built");
    vm.observe(0, clock);
    vm.observe(1, board.clone());
    vm.transaction(|tx| tx.vm_start()).expect("started");
    events.try_iter().for_each(drop);
    (board, events)
}

/// The names of the events since the last call.
pub(crate) fn heard(events: &Receiver<String>) -> Vec<String> {
    events.try_iter().collect()
}

pub(crate) fn add(board: &Board, arguments: Value) -> Result<(), String> {
    let Value::Object(arguments) = arguments else { panic!("no object: {arguments}") };
    board.device_add(arguments, Dialect::Json).map_err(|error| error.to_string())
}

fn read(board: &Board, address: u64) -> u32 {
    let mut data = [0; 4];
    board.bus().memory_read(address, &mut data);
    u32::from_le_bytes(data)
}

#[test]
fn ram_fills_its_windows_in_turn() {
    let ranges = |kind: &BoardKind, size| {
        let ranges = kind.lay_out(size).map_err(|error| error.to_string())?;
        Ok::<_, String>(ranges.into_iter().map(|(base, size)| (base.0, size)).collect::<Vec<_>>())
    };
    assert_eq!(ranges(&NONE, 0), Ok(vec![]));
    assert_eq!(ranges(&MICROVM, 1), Ok(vec![(0, 8192)]));
    assert_eq!(ranges(&MICROVM, 5 << 30), Ok(vec![(0, 3 << 30), (4 << 30, 2 << 30)]));
    assert_eq!(ranges(&VIRT, 128 << 20), Ok(vec![(1 << 30, 128 << 20)]));
    assert_eq!(ranges(&VIRT, 256 << 30), Err("machine 'virt' takes at most 261120 MiB of RAM".into()));
    assert!(ranges(&MICROVM, u64::MAX).is_err());
}

#[test]
fn slots_are_where_drivers_look_for_them() {
    const MAGIC: u32 = u32::from_le_bytes(*b"virt");
    for (kind, base, count) in [(&MICROVM, 0xfeb0_0000, 8), (&VIRT, 0x0a00_0000, 32)] {
        let (board, _) = board(kind, 1 << 20);
        for slot in 0..count {
            assert_eq!(read(&board, base + slot * 0x200), MAGIC);
            assert_eq!(read(&board, base + slot * 0x200 + 4), 1, "the legacy interface");
            assert_eq!(read(&board, base + slot * 0x200 + 8), 0, "no device");
        }
        assert_eq!(read(&board, base + count * 0x200), 0);
    }
}

#[test]
fn there_are_only_as_many_processors_as_there_may_be() {
    let (few, _) = board(&MICROVM, 0);
    assert_eq!(few.cpus().len(), 1);
    assert_eq!(few.tree().resolve(&few.cpus()[0].qom_path).expect("there").0, few.cpus()[0].qom_path);
    let build = |cpus| {
        let Board { options: BoardOptions { clock, vm, block, .. }, .. } = &*few;
        let (clock, vm, block) = (clock.clone(), vm.clone(), block.clone());
        let options = BoardOptions { ram_size: 0, cpus, virtio_mmio: Version::Modern, clock, vm, block };
        Board::new(&NONE, options).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(build(1), Ok(()));
    assert_eq!(build(0), Err("Invalid CPU topology: there must be a CPU".into()));
    assert_eq!(build(2), Err("Invalid SMP CPUs 2. The max CPUs supported by machine 'none' is 1".into()));
}

#[test]
fn the_controller_is_found_by_its_place_in_the_tree() {
    let (board, _) = board(&MICROVM, 0);
    for path in ["ioapic", "/machine/ioapic", "machine/ioapic"] {
        assert!(board.controller(path).is_some(), "{path}");
        assert_eq!(board.tree().resolve(path).expect(path).0, "/machine/ioapic");
    }
    assert!(board.controller("gic").is_none());
}

#[test]
fn what_can_t_be_plugged_in_is_refused_by_its_name() {
    let (board, events) = board(&MICROVM, 0);
    let refused = |arguments| add(&board, arguments).expect_err("refused");
    assert_eq!(refused(json!({})), "Parameter 'driver' is missing");
    assert_eq!(refused(json!({"driver": 1})), "Invalid parameter type for 'driver', expected: string");
    assert_eq!(refused(json!({"driver": "e1000"})), "'e1000' is not a valid device model name");
    assert_eq!(refused(json!({"driver": "virtio-mmio"})), "Parameter 'driver' expects a pluggable device type");
    let refused = |id| board.device_del(id).expect_err("refused").to_string();
    assert_eq!(refused("x"), "Device 'x' not found");
    assert_eq!(refused("/machine/peripheral"), "/machine/peripheral is not a device");
    assert_eq!(refused("/machine/unattached/device[1]"), "Bus 'main-system-bus' does not support hotplugging");
    assert_eq!(heard(&events), [""; 0]);
}

#[test]
fn each_device_of_the_board_can_be_read_about() {
    for kind in BOARDS {
        let (board, _) = board(kind, 0);
        let tree = board.tree();
        let (_, unattached) = tree.resolve("/machine/unattached").expect("there");
        for info in unattached.list() {
            let path = format!("/machine/unattached/{}", info.name);
            let Ok((_, device)) = tree.resolve(&path) else { continue };
            for property in device.list() {
                device.get(&path, &property.name).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        }
    }
}
