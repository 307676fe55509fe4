//! The transport virtio-mmio (virtio 1.2 section 4.2): one slot with its registers, and perhaps a device.
//!
//! A legacy slot (version 1, section 4.2.4) differs in how rings are placed and features are agreed on. An access that is
//! no aligned word, or goes to no register, reads as zero and changes nothing; a slot without a device is read in any
//! width, as in QEMU.

use std::fmt;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use virtio_bindings::virtio_config::{VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_F_VERSION_1};
use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_MMIO_DEVICE_FEATURES_SEL,
    VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_GUEST_PAGE_SIZE,
    VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_QUEUE_ALIGN,
    VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_DESC_LOW,
    VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_NUM, VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_PFN,
    VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW,
    VIRTIO_MMIO_SHM_BASE_HIGH, VIRTIO_MMIO_SHM_BASE_LOW, VIRTIO_MMIO_SHM_LEN_HIGH, VIRTIO_MMIO_SHM_LEN_LOW,
    VIRTIO_MMIO_STATUS, VIRTIO_MMIO_VENDOR_ID, VIRTIO_MMIO_VERSION,
};
use virtio_queue::Queue;
use vl::{Transaction, Vm};
use vm_device::DeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};
use vm_memory::GuestMemoryMmap;

use self::ring::{MOST_ENTRIES, Ring};
use self::signals::Signals;
use super::{Activation, VirtioDevice};
use crate::irq::Line;

mod ring;
mod signals;
#[cfg(test)]
mod tests;

/// The size of a slot in memory, in bytes.
pub const SLOT_SIZE: u64 = 0x200;

/// "virt" (section 4.2.2).
const MAGIC: u32 = u32::from_le_bytes(*b"virt");

/// QEMU's: a driver must not care.
const VENDOR: u32 = u32::from_le_bytes(*b"QEMU");

/// Which form of the transport a slot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The legacy interface.
    Legacy = 1,
    /// That of virtio 1.
    Modern = 2,
}

/// A slot.
///
/// Lock order: the VM's, `registers`, then what a device has, then `signals`.
pub struct Transport {
    version: Version,
    vm: Arc<Vm>,
    ram: GuestMemoryMmap,
    registers: Mutex<Registers>,
    signals: Arc<Signals>,
}

/// What the driver has written.
#[derive(Default)]
struct Registers {
    device: Option<Arc<dyn VirtioDevice>>,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
    /// Legacy: the unit of a ring's address, as a power of 2.
    page_shift: u32,
    queue_sel: u32,
    rings: Vec<Ring>,
    /// The device was started: once until a reset, whatever becomes of the status.
    started: bool,
}

impl Transport {
    /// An empty slot whose interrupts go to `line`.
    pub fn new(version: Version, vm: Arc<Vm>, ram: GuestMemoryMmap, line: Line) -> Self {
        Self { version, vm, ram, registers: Mutex::default(), signals: Arc::new(Signals::new(version, line)) }
    }

    /// Which form it has.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether there is no device.
    pub fn is_empty(&self) -> bool {
        self.registers.lock().device.is_none()
    }

    /// Puts a device into the slot, in place of one that may be there.
    pub fn plug(&self, device: Arc<dyn VirtioDevice>) {
        let mut registers = self.registers.lock();
        registers.rings = Ring::all(&*device);
        registers.device = Some(device);
    }

    /// Takes the device out of the slot, and resets it.
    pub fn unplug(&self) -> Option<Arc<dyn VirtioDevice>> {
        self.vm.transaction(|tx| {
            let mut registers = self.registers.lock();
            self.reset_registers(&mut registers, tx);
            registers.device.take()
        })
    }

    /// Everything is as it was when the machine was made.
    pub fn reset(&self, tx: &mut Transaction<'_>) {
        self.reset_registers(&mut self.registers.lock(), tx);
    }

    fn reset_registers(&self, registers: &mut Registers, tx: &mut Transaction<'_>) {
        *registers = Registers { device: registers.device.take(), ..Registers::default() };
        self.reset_device(registers, tx);
    }

    /// What a driver does by writing 0 to the status (section 2.1.2), or with a page of 0.
    fn reset_device(&self, registers: &mut Registers, tx: &mut Transaction<'_>) {
        registers.rings = registers.device.as_deref().map(Ring::all).unwrap_or_default();
        registers.driver_features = 0;
        registers.started = false;
        self.signals.reset();
        if let Some(device) = &registers.device {
            device.reset(tx);
        }
    }

    /// What the driver may use: a legacy one sees no feature beyond the first word.
    fn offered(&self, device: &dyn VirtioDevice) -> u64 {
        match self.version {
            Version::Legacy => device.features() & u64::from(u32::MAX),
            Version::Modern => device.features() | 1 << VIRTIO_F_VERSION_1,
        }
    }

    fn read(&self, register: u32, is_whole: bool) -> u32 {
        let registers = self.registers.lock();
        match (register, registers.device.as_deref()) {
            (_, Some(_)) if !is_whole => return 0,
            (VIRTIO_MMIO_MAGIC_VALUE, _) => return MAGIC,
            (VIRTIO_MMIO_VERSION, _) => return self.version as u32,
            (VIRTIO_MMIO_VENDOR_ID, _) => return VENDOR,
            (_, None) => return 0,
            (VIRTIO_MMIO_DEVICE_ID, Some(device)) => return device.device_id(),
            (VIRTIO_MMIO_DEVICE_FEATURES, Some(device)) => {
                return word(self.offered(device), registers.device_features_sel);
            }
            (_, Some(_)) => {}
        }
        let ring = registers.rings.get(registers.queue_sel as usize);
        match (register, self.version) {
            (VIRTIO_MMIO_QUEUE_NUM_MAX, _) => ring.map_or(0, |_| MOST_ENTRIES.into()),
            (VIRTIO_MMIO_QUEUE_PFN, Version::Legacy) => ring.map_or(0, |ring| ring.page(registers.page_shift)),
            (VIRTIO_MMIO_QUEUE_READY, Version::Modern) => ring.map_or(0, |ring| ring.ready.into()),
            (VIRTIO_MMIO_INTERRUPT_STATUS, _) => self.signals.interrupt_status(),
            (VIRTIO_MMIO_STATUS, _) => self.signals.status(),
            (VIRTIO_MMIO_CONFIG_GENERATION, Version::Modern) => self.signals.generation(),
            // There is no shared memory: its length and place are all ones (section 4.2.2). QEMU's legacy slots have
            // the length, too.
            (VIRTIO_MMIO_SHM_LEN_LOW | VIRTIO_MMIO_SHM_LEN_HIGH, _)
            | (VIRTIO_MMIO_SHM_BASE_LOW | VIRTIO_MMIO_SHM_BASE_HIGH, Version::Modern) => u32::MAX,
            _ => 0,
        }
    }

    fn write(&self, register: u32, value: u32) {
        // A legacy driver takes a queue away with the device (section 4.2.4).
        let takes_away = register == VIRTIO_MMIO_QUEUE_PFN && value == 0 && self.version == Version::Legacy;
        if takes_away || register == VIRTIO_MMIO_STATUS && value & 0xff == 0 {
            return self.vm.transaction(|tx| self.reset_device(&mut self.registers.lock(), tx));
        }
        let mut locked = self.registers.lock();
        let registers = &mut *locked;
        let Some(device) = registers.device.clone() else { return };
        let ring = registers.rings.get_mut(registers.queue_sel as usize);
        match (register, self.version) {
            (VIRTIO_MMIO_DEVICE_FEATURES_SEL, _) => registers.device_features_sel = value,
            (VIRTIO_MMIO_DRIVER_FEATURES_SEL, _) => registers.driver_features_sel = value,
            (VIRTIO_MMIO_DRIVER_FEATURES, _) if !self.features_are_settled() => {
                set_word(&mut registers.driver_features, registers.driver_features_sel, value);
            }
            (VIRTIO_MMIO_QUEUE_SEL, _) => registers.queue_sel = value,
            (VIRTIO_MMIO_QUEUE_NUM, _) => {
                ring.into_iter().for_each(|ring| ring.size = u16::try_from(value).unwrap_or(0));
            }
            (VIRTIO_MMIO_QUEUE_NOTIFY, _) => {
                // A legacy driver may use its queues before it says that it is ready (section 3.1.2).
                let is_placed = registers.rings.get(value as usize).is_some_and(|ring| ring.ready);
                if self.version == Version::Legacy && is_placed {
                    self.start(registers, &*device);
                }
                let is_started = registers.started;
                // Beyond the lock, for this is where the work is.
                drop(locked);
                if is_started {
                    self.notify(&*device, value);
                }
            }
            (VIRTIO_MMIO_INTERRUPT_ACK, _) => self.signals.acknowledge(value),
            (VIRTIO_MMIO_STATUS, _) => self.set_status(registers, &*device, value & 0xff),
            // There is no other unit than a power of 2; none at all is one byte, as in QEMU.
            (VIRTIO_MMIO_GUEST_PAGE_SIZE, Version::Legacy) => registers.page_shift = value.trailing_zeros() % u32::BITS,
            (VIRTIO_MMIO_QUEUE_ALIGN, Version::Legacy) => ring.into_iter().for_each(|ring| ring.align = value),
            (VIRTIO_MMIO_QUEUE_PFN, Version::Legacy) => {
                if let Some(ring) = ring {
                    ring.place(value, registers.page_shift);
                    self.move_queue(registers, &*device);
                }
            }
            (VIRTIO_MMIO_QUEUE_READY, Version::Modern) => {
                ring.into_iter().for_each(|ring| ring.ready = value & 1 != 0);
            }
            (_, Version::Modern) => ring.into_iter().for_each(|ring| set_address(ring, register, value)),
            (_, Version::Legacy) => {}
        }
    }

    fn notify(&self, device: &dyn VirtioDevice, queue: u32) {
        if self.signals.is_live()
            && let Ok(queue) = u16::try_from(queue)
        {
            device.notify(queue);
        }
    }

    /// Features don't change any more once the device has agreed to them (section 3.1.1).
    fn features_are_settled(&self) -> bool {
        self.version == Version::Modern && self.signals.status() & VIRTIO_CONFIG_S_FEATURES_OK != 0
    }

    fn set_status(&self, registers: &mut Registers, device: &dyn VirtioDevice, value: u32) {
        let offered = self.offered(device);
        let agreed = match self.version {
            Version::Legacy => true,
            // What isn't offered, or nothing of virtio 1, is not agreed on (sections 2.2.2 and 6.1).
            Version::Modern => {
                let version_1 = 1 << VIRTIO_F_VERSION_1;
                registers.driver_features & (!offered | version_1) == version_1
            }
        };
        let value = if agreed { value } else { value & !(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK) };
        self.signals.set_status(value);
        if value & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            self.start(registers, device);
        }
    }

    /// Starts the device, unless it was started since its last reset.
    fn start(&self, registers: &mut Registers, device: &dyn VirtioDevice) {
        if mem::replace(&mut registers.started, true) {
            return;
        }
        let features = registers.driver_features & self.offered(device);
        let queues: Option<Vec<Queue>> = registers.rings.iter().map(|ring| ring.queue(features)).collect();
        match queues {
            Some(queues) => device.start(Activation {
                ram: self.ram.clone(),
                queues,
                features,
                interrupt: self.signals.interrupt(),
            }),
            None => self.signals.interrupt().broken(),
        }
    }

    /// A legacy driver has placed the queue that it selected: perhaps after it has used others.
    fn move_queue(&self, registers: &Registers, device: &dyn VirtioDevice) {
        let features = registers.driver_features & self.offered(device);
        let ring = registers.rings.get(registers.queue_sel as usize).filter(|_| registers.started);
        match (ring.map(|ring| ring.queue(features)), u16::try_from(registers.queue_sel)) {
            (Some(Some(queue)), Ok(index)) => device.move_queue(index, queue),
            (Some(None), _) => self.signals.interrupt().broken(),
            (Some(Some(_)), Err(_)) | (None, _) => {}
        }
    }
}

impl DeviceMmio for Transport {
    fn mmio_read(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        data.fill(0);
        if let Some(offset) = offset.checked_sub(VIRTIO_MMIO_CONFIG.into()) {
            let device = self.registers.lock().device.clone();
            // An access beyond its end finds all ones, as in QEMU.
            device.iter().for_each(|device| {
                data.fill(0xff);
                device.read_config(offset, data);
            });
        } else if let Ok(register) = u32::try_from(offset) {
            let value = self.read(register, data.len() == 4).to_le_bytes();
            data.iter_mut().zip(value).for_each(|(byte, value)| *byte = value);
        }
    }

    fn mmio_write(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        if let Some(offset) = offset.checked_sub(VIRTIO_MMIO_CONFIG.into()) {
            let device = self.registers.lock().device.clone();
            device.iter().for_each(|device| device.write_config(offset, data));
        } else if let (Ok(register), Ok(bytes)) = (offset.try_into(), data.try_into()) {
            self.write(register, u32::from_le_bytes(bytes));
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("version", &self.version)
            .field("empty", &self.is_empty())
            .finish_non_exhaustive()
    }
}

/// A word of a register of 64 bits; there are two.
const fn word(value: u64, select: u32) -> u32 {
    match select {
        0 => value as u32,
        1 => (value >> 32) as u32,
        _ => 0,
    }
}

fn set_word(value: &mut u64, select: u32, word: u32) {
    match select {
        0 => *value = *value & !u64::from(u32::MAX) | u64::from(word),
        1 => *value = *value & u64::from(u32::MAX) | u64::from(word) << 32,
        _ => {}
    }
}

fn set_address(ring: &mut Ring, register: u32, value: u32) {
    match register {
        VIRTIO_MMIO_QUEUE_DESC_LOW => set_word(&mut ring.descriptors, 0, value),
        VIRTIO_MMIO_QUEUE_DESC_HIGH => set_word(&mut ring.descriptors, 1, value),
        VIRTIO_MMIO_QUEUE_AVAIL_LOW => set_word(&mut ring.available, 0, value),
        VIRTIO_MMIO_QUEUE_AVAIL_HIGH => set_word(&mut ring.available, 1, value),
        VIRTIO_MMIO_QUEUE_USED_LOW => set_word(&mut ring.used, 0, value),
        VIRTIO_MMIO_QUEUE_USED_HIGH => set_word(&mut ring.used, 1, value),
        _ => {}
    }
}
