//! Boards: which machines there are, and one of them built.

use std::fmt;
use std::sync::Arc;

use block::block::Block;
use parking_lot::Mutex;
use qapi_schema::machine::{CpuInfoFast, CpuInstanceProperties, MachineInfo, SysEmuTarget};
use qapi_schema::{Dialect, Error};
use serde_json::{Map, Value};
use vl::{Observer, Transaction, Vm};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use self::microvm::MICROVM;
use self::none::NONE;
use self::slot::Slot;
use self::virt::VIRT;
use crate::bus::Bus;
use crate::clock::VirtualClock;
use crate::device::{Device, Plugged, Values};
use crate::irq::{Controller, Line};
use crate::power::{self, Power};
use crate::types::Type;
use crate::virtio::mmio::{Transport, Version};

pub mod microvm;
pub mod none;
mod plug;
pub mod slot;
mod tree;
pub mod virt;

/// The machines there are.
pub static BOARDS: &[&BoardKind] = &[&MICROVM, &NONE, &VIRT];

/// RAM comes in pieces of this size.
const RAM_UNIT: u64 = 8 << 10;

/// A kind of machine: what is there and where.
#[derive(Debug)]
pub struct BoardKind {
    /// Its name.
    pub name: &'static str,
    /// The type of such a machine.
    pub type_name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// Whether it is the one that is built if none is asked for.
    pub is_default: bool,
    /// How much RAM it has if none is asked for.
    pub default_ram: u64,
    /// What its RAM is called among the objects.
    pub ram_id: &'static str,
    /// Where RAM goes, in the order in which it is filled.
    pub ram: &'static [Window],
    /// Its processors.
    pub cpu: Option<CpuKind>,
    /// How many processors it may have.
    pub most_cpus: u32,
    /// Its interrupt controller.
    pub controller: Option<ControllerKind>,
    /// Its slots for virtio devices.
    pub slots: Option<Slots>,
    /// Whether devices at ports can be plugged in.
    pub has_isa: bool,
    /// Its power control.
    pub power: Option<power::Place>,
    /// Where `pvpanic-mmio` goes.
    pub pvpanic: Option<u64>,
    /// Whether it has a line for non-maskable interrupts, which end at its processors.
    pub has_nmi: bool,
}

/// A place for RAM.
#[derive(Debug)]
pub struct Window {
    /// Where it begins.
    pub base: u64,
    /// How much fits.
    pub most: u64,
}

/// A kind of processor. There is none that would execute anything.
#[derive(Debug)]
pub struct CpuKind {
    /// The type.
    pub type_name: &'static str,
    /// The architecture.
    pub target: SysEmuTarget,
}

/// An interrupt controller.
#[derive(Debug)]
pub struct ControllerKind {
    /// Its name below the machine.
    pub name: &'static str,
    /// The type.
    pub type_name: &'static str,
    /// How many inputs it has.
    pub inputs: u32,
}

/// Slots for virtio devices, one after the other.
#[derive(Debug)]
pub struct Slots {
    /// Where the first one is.
    pub base: u64,
    /// How many there are.
    pub count: u32,
    /// The input of the interrupt controller that the first one is wired to.
    pub first_input: u32,
}

impl Slots {
    /// The length of one, in memory.
    const SIZE: u64 = 0x200;
}

impl BoardKind {
    /// The machine that is built if none is asked for.
    pub fn preferred() -> &'static Self {
        BOARDS.iter().find(|kind| kind.is_default).unwrap_or(&&NONE)
    }

    /// The machine of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<&'static Self, Error> {
        let found = BOARDS.iter().find(|kind| kind.name == name).copied();
        found.ok_or_else(|| Error::generic(format!("unsupported machine type: \"{name}\"")))
    }

    /// What `query-machines` tells of it.
    pub fn info(&self) -> MachineInfo {
        MachineInfo {
            name: self.name.into(),
            is_default: self.is_default.then_some(true),
            cpu_max: self.most_cpus.into(),
            hotpluggable_cpus: false,
            numa_mem_supported: false,
            deprecated: false,
            default_cpu_type: self.cpu.as_ref().map(|cpu| cpu.type_name.into()),
            default_ram_id: Some(self.ram_id.into()),
            acpi: false,
            compat_props: None,
        }
    }

    /// Where `size` bytes of RAM go.
    fn lay_out(&self, size: u64) -> Result<Vec<(GuestAddress, usize)>, Error> {
        let size = size.checked_next_multiple_of(RAM_UNIT).unwrap_or(u64::MAX);
        let mut left = size;
        let mut ranges = Vec::new();
        for window in self.ram.iter().filter(|_| size > 0) {
            let here = left.min(window.most);
            left -= here;
            if here > 0 {
                let here =
                    usize::try_from(here).map_err(|_| Error::generic("this host can't address that much RAM"))?;
                ranges.push((GuestAddress(window.base), here));
            }
        }
        if left > 0 {
            let most = self.ram.iter().map(|window| window.most).sum::<u64>() >> 20;
            return Err(Error::generic(format!("machine '{}' takes at most {most} MiB of RAM", self.name)));
        }
        Ok(ranges)
    }
}

/// What a machine is built with.
pub struct BoardOptions {
    /// How much RAM, in bytes.
    pub ram_size: u64,
    /// How many processors.
    pub cpus: u32,
    /// The form of the slots for virtio devices.
    pub virtio_mmio: Version,
    /// The time.
    pub clock: Arc<VirtualClock>,
    /// What runs and stops.
    pub vm: Arc<Vm>,
    /// Where disks come from.
    pub block: Arc<Block>,
}

/// A machine that is built.
///
/// Lock order: the VM's, then `devices`, then what a device has. `plugging` is the outermost, and held while the VM and
/// the block layer are called.
pub struct Board {
    kind: &'static BoardKind,
    options: BoardOptions,
    bus: Arc<Bus>,
    controller: Option<Arc<Controller>>,
    slots: Vec<Slot>,
    plugging: Mutex<plug::Plugging>,
    devices: Mutex<Vec<Plugged>>,
}

impl Board {
    /// Builds a machine. Register it as an observer of the VM: it resets the devices.
    ///
    /// # Errors
    /// There can't be that much RAM, or that many processors.
    pub fn new(kind: &'static BoardKind, options: BoardOptions) -> Result<Arc<Self>, Error> {
        let BoardKind { name, most_cpus, .. } = kind;
        if options.cpus == 0 {
            return Err(Error::generic("Invalid CPU topology: there must be a CPU"));
        }
        if options.cpus > *most_cpus {
            let message =
                format!("Invalid SMP CPUs {}. The max CPUs supported by machine '{name}' is {most_cpus}", options.cpus);
            return Err(Error::generic(message));
        }
        let ranges = kind.lay_out(options.ram_size)?;
        let ram = GuestMemoryMmap::from_ranges(&ranges);
        let ram = if ranges.is_empty() { Ok(GuestMemoryMmap::default()) } else { ram };
        let ram = ram.map_err(|error| Error::generic(format!("cannot set up guest memory: {error}")))?;
        let controller = kind.controller.as_ref().map(|kind| Controller::new(kind.name, kind.inputs));
        let mut board = Self {
            kind,
            options,
            bus: Arc::new(Bus::new(ram)),
            controller,
            slots: Vec::new(),
            plugging: Mutex::default(),
            devices: Mutex::default(),
        };
        board.fit_out()?;
        Ok(Arc::new(board))
    }

    /// Puts in what is wired for good.
    fn fit_out(&mut self) -> Result<(), Error> {
        if let Some(cpu) = &self.kind.cpu {
            for _ in 0..self.options.cpus {
                self.wire(cpu.type_name, Values::default(), Arc::new(Inert));
            }
        }
        if let Some(Slots { base, count, first_input }) = self.kind.slots {
            let version = self.options.virtio_mmio;
            for index in 0..count {
                let Some(line) = self.line(first_input + index) else { continue };
                let transport =
                    Arc::new(Transport::new(version, self.options.vm.clone(), self.bus.ram().clone(), line));
                let at = base + u64::from(index) * Slots::SIZE;
                self.bus.map(at, Slots::SIZE, transport.clone()).map_err(|error| taken(&format!("{at:#x}"), error))?;
                let mut values = Values::default();
                values.settle(slot::FORCE_LEGACY, version == Version::Legacy);
                let path = self.wire(slot::TYPE.name, values, transport.clone());
                self.slots.push(Slot { path, transport });
            }
        }
        if let Some(place) = self.kind.power
            && let Some(line) = self.line(place.input)
        {
            let power = Power::new(self.options.vm.clone(), place, line);
            for (at, size) in [(place.events, power::EVENTS_SIZE), (place.registers, power::REGISTERS_SIZE)] {
                self.bus.map(at, size, power.clone()).map_err(|error| taken(&format!("{at:#x}"), error))?;
            }
            self.wire(power::TYPE.name, Values::default(), power);
            self.options.vm.support_wakeup();
        }
        Ok(())
    }

    fn wire(&self, type_name: &str, values: Values, device: Arc<dyn Device>) -> String {
        let mut devices = self.devices.lock();
        let path = format!("/machine/unattached/device[{}]", devices.len());
        if let Some(of) = Type::find(type_name) {
            devices.push(Plugged { id: None, path: path.clone(), of, bus: None, hotplugged: false, values, device });
        }
        path
    }

    /// Which kind of machine it is.
    pub const fn kind(&self) -> &'static BoardKind {
        self.kind
    }

    /// Its address spaces.
    pub const fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    /// The time.
    pub const fn clock(&self) -> &Arc<VirtualClock> {
        &self.options.clock
    }

    /// What runs and stops.
    pub const fn vm(&self) -> &Arc<Vm> {
        &self.options.vm
    }

    /// Where disks come from.
    pub const fn block(&self) -> &Arc<Block> {
        &self.options.block
    }

    /// The line to an input of the interrupt controller, if there is one.
    pub fn line(&self, input: u32) -> Option<Line> {
        self.controller.as_ref().map(|controller| controller.line(input))
    }

    /// The interrupt controller at a path in the tree, absolute or its end, such as `ioapic`.
    pub fn controller(&self, path: &str) -> Option<&Arc<Controller>> {
        let at = |controller: &&Arc<Controller>| {
            let name = controller.name();
            path == name || path == format!("machine/{name}") || path == format!("/machine/{name}")
        };
        self.controller.as_ref().filter(at)
    }

    /// The slots for virtio devices.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Plugs a device in, as `device_add` and `-device` say: `driver`, perhaps `id` and `bus`, and properties of the device.
    ///
    /// # Errors
    /// What is wrong with the arguments, or why there is no place for such a device.
    pub fn device_add(&self, arguments: Map<String, Value>, dialect: Dialect) -> Result<(), Error> {
        self.plugging.lock().add(self, arguments, dialect)
    }

    /// Unplugs a device, by its identifier or its path: DEVICE_DELETED is emitted.
    ///
    /// # Errors
    /// There is no such device, or it can't be unplugged.
    pub fn device_del(&self, id: &str) -> Result<(), Error> {
        self.plugging.lock().remove(self, id)
    }

    /// The machine is built: from now on only what is hot-pluggable is plugged in and out.
    pub fn built(&self) {
        self.plugging.lock().built = true;
    }

    /// What `query-cpus-fast` tells of the processors.
    pub fn cpus(&self) -> Vec<CpuInfoFast> {
        let cpu = |kind: &CpuKind, index: u32| CpuInfoFast {
            cpu_index: index.into(),
            qom_path: format!("/machine/unattached/device[{index}]"),
            thread_id: std::process::id().into(),
            props: Some(CpuInstanceProperties { socket_id: Some(0), core_id: Some(index.into()), thread_id: Some(0) }),
            target: kind.target,
        };
        self.kind.cpu.iter().flat_map(|kind| (0..self.options.cpus).map(move |index| cpu(kind, index))).collect()
    }
}

/// Something else is there already.
pub(crate) fn taken(place: &str, error: impl fmt::Display) -> Error {
    Error::generic(format!("no device can be placed at {place}: {error}"))
}

impl Observer for Board {
    fn reset(&self, tx: &mut Transaction<'_>) {
        self.devices.lock().iter().for_each(|plugged| plugged.device.reset(tx));
    }

    fn powerdown(&self) {
        self.devices.lock().iter().for_each(|plugged| plugged.device.powerdown());
    }

    fn nmi(&self) -> bool {
        self.kind.has_nmi
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("kind", &self.kind.name).finish_non_exhaustive()
    }
}

/// A device that does nothing.
struct Inert;

impl Device for Inert {}

#[cfg(test)]
pub(crate) mod tests;
