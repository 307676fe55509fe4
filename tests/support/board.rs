//! What a guest knows of the machines: where RAM is free, and where virtio-mmio transports are.

use std::ops::Range;
use std::sync::Arc;

use super::qtest::Qtest;
use super::virtio_blk::mmio::Transport;

/// A machine's layout.
#[derive(Clone, Debug)]
pub struct Board {
    /// RAM that a driver may use, of a machine that has 16 MiB at least.
    pub ram: Range<u64>,
    /// The first transport, each of which has 512 bytes, and how many there are.
    pub transports: (u64, u64),
    /// The interrupt controller, and its input for the first transport.
    pub interrupts: (&'static str, u32),
}

const TRANSPORT_SIZE: u64 = 0x200;

impl Board {
    /// `microvm` on x86, with one interrupt controller. QEMU's has that with `ioapic2=off`.
    pub fn microvm() -> Self {
        Self { ram: 0x10_0000..0x100_0000, transports: (0xfeb0_0000, 8), interrupts: ("ioapic", 16) }
    }

    /// `virt` on Arm.
    pub fn virt() -> Self {
        Self { ram: 0x4010_0000..0x4100_0000, transports: (0x0a00_0000, 32), interrupts: ("gic", 16) }
    }

    /// The disks, in the order in which they were added: a device takes the last transport that is free.
    pub fn disks(&self, qtest: &Arc<Qtest>) -> Result<Vec<Transport>, String> {
        let (first, count) = self.transports;
        let mut disks = Vec::new();
        for slot in (0..count).rev() {
            let irq = self.interrupts.1 + slot as u32;
            disks.extend(Transport::probe(qtest, first + slot * TRANSPORT_SIZE, irq)?);
        }
        Ok(disks)
    }
}
