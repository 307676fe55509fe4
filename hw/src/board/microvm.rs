//! The board `microvm`: x86 without PCI. What is there is where QEMU's has it with `ioapic2=off`.

use super::{BoardKind, ControllerKind, CpuKind, Slots, Window};
use crate::power::Place;
use crate::types::Type;

/// The type of such a machine.
pub const TYPE: Type = Type::fixed("microvm-machine", "machine");

/// The type of its processors.
pub const CPU: Type = Type::fixed("qemu64-x86_64-cpu", "cpu");

/// The type of its interrupt controller.
pub const CONTROLLER: Type = Type::fixed("ioapic", "sys-bus-device");

/// The kind of board.
pub static MICROVM: BoardKind = BoardKind {
    name: "microvm",
    type_name: TYPE.name,
    description: "x86 machine with ports and 8 slots for virtio-mmio",
    is_default: true,
    default_ram: 128 << 20,
    ram_id: "microvm.ram",
    // What does not fit below 3 GiB goes on at 4 GiB.
    ram: &[Window { base: 0, most: 3 << 30 }, Window { base: 4 << 30, most: 1 << 40 }],
    cpu: Some(CpuKind { type_name: CPU.name, target: qapi_schema::machine::SysEmuTarget::X86_64 }),
    most_cpus: 288,
    controller: Some(ControllerKind { name: "ioapic", type_name: CONTROLLER.name, inputs: 24 }),
    slots: Some(Slots { base: 0xfeb0_0000, count: 8, first_input: 16 }),
    has_isa: true,
    power: Some(Place { events: 0xfea0_0000, registers: 0xfea0_0200, input: 9 }),
    pvpanic: None,
    has_nmi: true,
};
