//! `pvpanic`: a register by which the guest says that it panicked. Reading it tells which events it knows.

use std::sync::Arc;

use qapi_schema::Error;
use vl::Vm;
use vm_device::bus::{MmioAddress, MmioAddressOffset, PioAddress, PioAddressOffset};
use vm_device::{DeviceMmio, DevicePio};

use crate::board::{Board, taken};
use crate::device::{BusKind, Device, Kind, Property, Site};
use crate::types::Type;

const PANICKED: u8 = 1 << 0;
const CRASH_LOADED: u8 = 1 << 1;
const SHUTDOWN: u8 = 1 << 2;

/// How long the register is in memory, where each of its bytes is the same.
const MMIO_SIZE: u64 = 2;

const EVENTS: Property = Property {
    name: "events",
    kind: Kind::Uint8(PANICKED | CRASH_LOADED | SHUTDOWN),
    description: "the events that the guest is told of: 1 panicked, 2 crash loaded, 4 shut down",
};

/// The device at a port.
pub const TYPE: Type = Type {
    description: "panic notification at a port",
    properties: &[
        Property { name: "ioport", kind: Kind::Uint16(0x505), description: "the port that the register is at" },
        EVENTS,
    ],
    plug: Some((BusKind::Isa, plug)),
    ..Type::fixed("pvpanic", "isa-device")
};

/// The device in memory.
pub const MMIO_TYPE: Type = Type {
    description: "panic notification in memory",
    properties: &[EVENTS],
    plug: Some((BusKind::System, plug_mmio)),
    ..Type::fixed("pvpanic-mmio", "sys-bus-device")
};

/// The device.
struct Pvpanic {
    vm: Arc<Vm>,
    events: u8,
}

impl Pvpanic {
    fn new(board: &Board, site: &Site<'_>) -> Arc<Self> {
        Arc::new(Self { vm: board.vm().clone(), events: site.values.number(EVENTS.name) })
    }

    /// The first of the bits that are set counts, whether or not the guest was told of it.
    fn write(&self, value: u8) {
        if value & PANICKED != 0 {
            self.vm.guest_panicked(None);
        } else if value & CRASH_LOADED != 0 {
            self.vm.guest_crashloaded(None);
        } else if value & SHUTDOWN != 0 {
            self.vm.guest_pvshutdown();
        }
    }
}

fn plug(board: &Board, site: &Site<'_>) -> Result<Arc<dyn Device>, Error> {
    let (device, port) = (Pvpanic::new(board, site), site.values.number("ioport"));
    board.bus().map_ports(port, 1, device.clone()).map_err(|error| taken(&format!("port {port:#x}"), error))?;
    Ok(device)
}

fn plug_mmio(board: &Board, site: &Site<'_>) -> Result<Arc<dyn Device>, Error> {
    let no_place = || Error::generic(format!("machine '{}' has no place for device 'pvpanic-mmio'", board.kind().name));
    let base = board.kind().pvpanic.ok_or_else(no_place)?;
    let device = Pvpanic::new(board, site);
    board.bus().map(base, MMIO_SIZE, device.clone()).map_err(|error| taken(&format!("{base:#x}"), error))?;
    Ok(device)
}

impl Device for Pvpanic {}

impl DevicePio for Pvpanic {
    fn pio_read(&self, _: PioAddress, _: PioAddressOffset, data: &mut [u8]) {
        data.fill(self.events);
    }

    fn pio_write(&self, _: PioAddress, _: PioAddressOffset, data: &[u8]) {
        data.iter().for_each(|value| self.write(*value));
    }
}

impl DeviceMmio for Pvpanic {
    fn mmio_read(&self, _: MmioAddress, _: MmioAddressOffset, data: &mut [u8]) {
        data.fill(self.events);
    }

    fn mmio_write(&self, _: MmioAddress, _: MmioAddressOffset, data: &[u8]) {
        data.iter().for_each(|value| self.write(*value));
    }
}

#[cfg(test)]
mod tests {
    use crate::board::microvm::MICROVM;
    use crate::board::tests::{add, board, heard};
    use crate::board::virt::VIRT;
    use qapi_schema::run_state::{Commands as _, ShutdownAction};
    use serde_json::json;
    use vl::Observer;

    #[test]
    fn the_register_reads_as_the_events_it_knows() {
        let (board, _) = board(&MICROVM, 0);
        add(&board, json!({"driver": "pvpanic"})).expect("plugged in");
        add(&board, json!({"driver": "pvpanic", "ioport": 0x600, "events": 1})).expect("plugged in");
        let read = |port| {
            let mut data = [0; 2];
            board.bus().port_read(port, &mut data);
            data
        };
        assert_eq!((read(0x505), read(0x600)), ([7, 7], [1, 1]));
    }

    #[test]
    fn the_first_event_of_a_write_is_told() {
        let (board, events) = board(&MICROVM, 0);
        board.vm().set_action(None, Some(ShutdownAction::Pause), None, None).expect("set");
        add(&board, json!({"driver": "pvpanic"})).expect("plugged in");
        let write = |value: u8| {
            board.bus().port_write(0x505, &[value]);
            heard(&events)
        };
        assert_eq!(write(0xf8), [""; 0], "no event of its own");
        assert_eq!(write(6), ["GUEST_CRASHLOADED"]);
        assert_eq!(write(7), ["GUEST_PANICKED", "STOP"]);
        board.vm().transaction(|tx| tx.vm_start()).expect("a panic may be overcome");
        assert_eq!(
            (heard(&events), write(4)),
            (vec!["RESUME".into()], ["GUEST_PVSHUTDOWN", "SHUTDOWN", "STOP"].map(String::from).to_vec())
        );
    }

    #[test]
    fn in_memory_it_is_where_the_board_has_a_place() {
        let (virt, events) = board(&VIRT, 0);
        add(&virt, json!({"driver": "pvpanic-mmio"})).expect("plugged in");
        let mut data = [0; 4];
        virt.bus().memory_read(0x090f_0000, &mut data);
        assert_eq!(data, [7, 7, 0, 0]);
        virt.bus().memory_write(0x090f_0000, &[2]);
        assert_eq!(heard(&events), ["GUEST_CRASHLOADED"]);
        let refused = add(&virt, json!({"driver": "pvpanic-mmio"})).expect_err("taken");
        assert!(refused.starts_with("no device can be placed at 0x90f0000: "), "{refused}");
        assert_eq!(add(&virt, json!({"driver": "pvpanic"})), Err("No 'ISA' bus found for device 'pvpanic'".into()));
        let (microvm, _) = board(&MICROVM, 0);
        let refused = add(&microvm, json!({"driver": "pvpanic-mmio"}));
        assert_eq!(refused, Err("machine 'microvm' has no place for device 'pvpanic-mmio'".into()));
    }

    #[test]
    fn once_the_machine_is_built_it_stays_as_it_is() {
        let (board, _) = board(&MICROVM, 0);
        add(&board, json!({"driver": "pvpanic", "id": "p"})).expect("plugged in");
        assert_eq!(add(&board, json!({"driver": "ib700", "id": "p"})), Err("Duplicate device ID 'p'".into()));
        assert_eq!(add(&board, json!({"driver": "pvpanic", "x": 1})), Err("Property 'pvpanic.x' not found".into()));
        assert!(add(&board, json!({"driver": "pvpanic", "events": 256})).expect_err("too large").contains("'events'"));
        assert!(add(&board, json!({"driver": "pvpanic", "id": "1"})).expect_err("no identifier").contains("'id'"));
        board.built();
        let refused = "Bus 'isa.0' does not support hotplugging";
        assert_eq!(add(&board, json!({"driver": "ib700"})), Err(refused.into()));
        assert_eq!(board.device_del("p").expect_err("refused").desc(), refused);
        board.vm().transaction(|tx| board.reset(tx));
        let mut data = [0; 1];
        board.bus().port_read(0x505, &mut data);
        assert_eq!(data, [7]);
    }
}
