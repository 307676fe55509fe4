//! The board `virt`: Arm without PCI. What is there is where QEMU's has it.

use super::{BoardKind, ControllerKind, CpuKind, Slots, Window};
use crate::power::Place;
use crate::types::Type;

/// The type of such a machine.
pub const TYPE: Type = Type::fixed("virt-machine", "machine");

/// The type of its processors.
pub const CPU: Type = Type::fixed("cortex-a15-arm-cpu", "cpu");

/// The type of its interrupt controller, of which there are only the inputs: shared peripheral interrupts, from 0.
pub const CONTROLLER: Type = Type::fixed("arm_gic", "sys-bus-device");

/// The kind of board.
pub static VIRT: BoardKind = BoardKind {
    name: "virt",
    type_name: TYPE.name,
    description: "Arm machine with 32 slots for virtio-mmio",
    is_default: false,
    default_ram: 128 << 20,
    ram_id: "mach-virt.ram",
    ram: &[Window { base: 1 << 30, most: 255 << 30 }],
    cpu: Some(CpuKind { type_name: CPU.name, target: qapi_schema::machine::SysEmuTarget::Aarch64 }),
    most_cpus: 512,
    controller: Some(ControllerKind { name: "gic", type_name: CONTROLLER.name, inputs: 256 }),
    slots: Some(Slots { base: 0x0a00_0000, count: 32, first_input: 16 }),
    has_isa: false,
    // QEMU's has the event register only: its guests shut down by calls to the firmware.
    power: Some(Place { events: 0x0908_0000, registers: 0x0908_0200, input: 9 }),
    // Nothing is there in QEMU's, which has no such device.
    pvpanic: Some(0x090f_0000),
    has_nmi: false,
};
