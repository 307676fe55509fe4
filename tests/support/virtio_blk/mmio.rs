//! The virtio-mmio transport as its driver sees it, legacy (version 1) and modern (version 2).
//!
//! Virtio 1.2, sections 4.2.2 (registers), 4.2.4 (legacy), 3.1.1 (initialisation).

use std::sync::Arc;

use crate::support::qtest::Qtest;

/// Device status (2.1).
pub const ACKNOWLEDGE: u32 = 1;
pub const DRIVER: u32 = 2;
pub const DRIVER_OK: u32 = 4;
pub const FEATURES_OK: u32 = 8;
pub const NEEDS_RESET: u32 = 0x40;

/// Causes of an interrupt.
pub const USED_BUFFER: u32 = 1;
pub const CONFIGURATION: u32 = 2;

/// `virt` in ASCII.
const MAGIC: u32 = 0x7472_6976;
const BLOCK_DEVICE: u32 = 2;
/// In which legacy rings are measured and aligned.
pub const PAGE: u64 = 4096;

/// Registers, by their offsets.
#[derive(Clone, Copy, Debug)]
pub enum Register {
    Magic = 0x0,
    Version = 0x4,
    DeviceId = 0x8,
    VendorId = 0xc,
    DeviceFeatures = 0x10,
    DeviceFeaturesSel = 0x14,
    DriverFeatures = 0x20,
    DriverFeaturesSel = 0x24,
    GuestPageSize = 0x28,
    QueueSel = 0x30,
    QueueNumMax = 0x34,
    QueueNum = 0x38,
    QueueAlign = 0x3c,
    QueuePfn = 0x40,
    QueueReady = 0x44,
    QueueNotify = 0x50,
    InterruptStatus = 0x60,
    InterruptAck = 0x64,
    Status = 0x70,
    QueueDescLow = 0x80,
    QueueDescHigh = 0x84,
    QueueDriverLow = 0x90,
    QueueDriverHigh = 0x94,
    QueueDeviceLow = 0xa0,
    QueueDeviceHigh = 0xa4,
    ConfigGeneration = 0xfc,
    Config = 0x100,
}

/// Where the parts of a queue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
}

/// A transport with a disk behind it.
#[derive(Clone)]
pub struct Transport {
    qtest: Arc<Qtest>,
    base: u64,
    legacy: bool,
    /// Its input of the interrupt controller.
    pub irq: u32,
}

impl Transport {
    /// The transport at this address, if there is a disk behind it.
    pub fn probe(qtest: &Arc<Qtest>, base: u64, irq: u32) -> Result<Option<Self>, String> {
        let read = |register: Register| qtest.readl(base + register as u64);
        if read(Register::Magic)? != MAGIC || read(Register::DeviceId)? != BLOCK_DEVICE {
            return Ok(None);
        }
        let legacy = match read(Register::Version)? {
            1 => true,
            2 => false,
            other => return Err(format!("virtio-mmio of version {other}")),
        };
        Ok(Some(Self { qtest: qtest.clone(), base, legacy, irq }))
    }

    /// Whether it is of version 1.
    pub fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// Where it is.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The machine it is in.
    pub fn qtest(&self) -> &Arc<Qtest> {
        &self.qtest
    }

    /// Reads a register.
    pub fn read(&self, register: Register) -> Result<u32, String> {
        self.qtest.readl(self.base + register as u64)
    }

    /// Writes a register.
    pub fn write(&self, register: Register, value: u32) -> Result<(), String> {
        self.qtest.writel(self.base + register as u64, value)
    }

    /// Features that the device offers.
    pub fn features(&self) -> Result<u64, String> {
        self.write(Register::DeviceFeaturesSel, 0)?;
        let low = self.read(Register::DeviceFeatures)?;
        self.write(Register::DeviceFeaturesSel, 1)?;
        Ok(u64::from(self.read(Register::DeviceFeatures)?) << 32 | u64::from(low))
    }

    /// From reset to where queues are set up, with these features.
    pub fn negotiate(&self, features: u64) -> Result<(), String> {
        self.reset()?;
        self.write(Register::Status, ACKNOWLEDGE)?;
        self.write(Register::Status, ACKNOWLEDGE | DRIVER)?;
        self.write(Register::DriverFeaturesSel, 0)?;
        self.write(Register::DriverFeatures, features as u32)?;
        if self.legacy {
            return self.write(Register::GuestPageSize, PAGE as u32);
        }
        self.write(Register::DriverFeaturesSel, 1)?;
        self.write(Register::DriverFeatures, (features >> 32) as u32)?;
        self.write(Register::Status, ACKNOWLEDGE | DRIVER | FEATURES_OK)?;
        if self.status()? & FEATURES_OK == 0 {
            return Err(format!("the device does not take the features {features:#x}"));
        }
        Ok(())
    }

    /// How many entries a queue can have; none if there is no such queue.
    pub fn max_queue_size(&self, queue: u16) -> Result<u32, String> {
        self.write(Register::QueueSel, queue.into())?;
        self.read(Register::QueueNumMax)
    }

    /// Tells the device where a queue is. For a legacy one the parts follow each other, the last one in a page of its own.
    pub fn set_queue(&self, queue: u16, size: u16, rings: Rings) -> Result<(), String> {
        self.write(Register::QueueSel, queue.into())?;
        self.write(Register::QueueNum, size.into())?;
        if self.legacy {
            self.write(Register::QueueAlign, PAGE as u32)?;
            return self.write(Register::QueuePfn, (rings.descriptors / PAGE) as u32);
        }
        let halves = [
            (Register::QueueDescLow, Register::QueueDescHigh, rings.descriptors),
            (Register::QueueDriverLow, Register::QueueDriverHigh, rings.available),
            (Register::QueueDeviceLow, Register::QueueDeviceHigh, rings.used),
        ];
        for (low, high, address) in halves {
            self.write(low, address as u32)?;
            self.write(high, (address >> 32) as u32)?;
        }
        self.write(Register::QueueReady, 1)
    }

    /// The driver is ready.
    pub fn go(&self) -> Result<(), String> {
        let features = if self.legacy { 0 } else { FEATURES_OK };
        self.write(Register::Status, ACKNOWLEDGE | DRIVER | DRIVER_OK | features)
    }

    /// Device status.
    pub fn status(&self) -> Result<u32, String> {
        self.read(Register::Status)
    }

    /// Resets the device.
    pub fn reset(&self) -> Result<(), String> {
        self.write(Register::Status, 0)?;
        match self.status()? {
            0 => Ok(()),
            status => Err(format!("the status after a reset is {status:#x}")),
        }
    }

    /// Tells the device to look at a queue.
    pub fn notify(&self, queue: u16) -> Result<(), String> {
        self.write(Register::QueueNotify, queue.into())
    }

    /// Takes the causes of the interrupt.
    pub fn acknowledge(&self) -> Result<u32, String> {
        let causes = self.read(Register::InterruptStatus)?;
        self.write(Register::InterruptAck, causes)?;
        Ok(causes)
    }

    /// Bytes of the configuration space.
    pub fn config<const N: usize>(&self, offset: u64) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        for (at, byte) in (offset..).zip(&mut bytes) {
            *byte = self.qtest.readb(self.base + Register::Config as u64 + at)?;
        }
        Ok(bytes)
    }

    /// Changes a byte of the configuration space.
    pub fn set_config(&self, offset: u64, byte: u8) -> Result<(), String> {
        self.qtest.writeb(self.base + Register::Config as u64 + offset, byte)
    }
}
