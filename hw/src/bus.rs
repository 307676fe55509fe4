//! Guest memory and the two address spaces: memory with memory-mapped I/O, and ports.
//!
//! An access of any length is carried out piece by piece. RAM takes what lies in it; of what a device has a piece is at
//! most [`WIDEST`] bytes and naturally aligned, as a processor would do it; in memory it lies within that device. What
//! nobody answers, in memory up to RAM or the next device in one piece, reads as all ones from a port, as zeroes from
//! memory, and is dropped if written.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use vm_device::bus::{self, BusRange, MmioAddress, PioAddress};
use vm_device::{DeviceMmio, DevicePio};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

/// The widest access a device sees, in bytes.
pub const WIDEST: usize = 4;

/// What answers in memory.
pub type Mmio = Arc<dyn DeviceMmio + Send + Sync>;

/// What answers at ports.
pub type Pio = Arc<dyn DevicePio + Send + Sync>;

/// The address spaces of one machine.
///
/// Devices are called without a lock of this, hence may be plugged and unplugged while others are accessed.
#[derive(Default)]
pub struct Bus {
    ram: GuestMemoryMmap,
    memory: Devices<Mmio>,
    ports: Devices<Pio>,
}

impl Bus {
    /// Address spaces with this RAM and no devices.
    pub fn new(ram: GuestMemoryMmap) -> Self {
        Self { ram, ..Self::default() }
    }

    /// The RAM, for devices that access it by themselves.
    pub const fn ram(&self) -> &GuestMemoryMmap {
        &self.ram
    }

    /// Places a device in memory, `size` bytes from `base`. RAM that is there hides it.
    ///
    /// # Errors
    /// The range is empty, too long, or taken.
    pub fn map(&self, base: u64, size: u64, device: Mmio) -> Result<(), bus::Error> {
        let last = BusRange::new(MmioAddress(base), size)?.last();
        self.memory.place(base, last.0, device)
    }

    /// Takes away the device in memory at `base`.
    pub fn unmap(&self, base: u64) {
        self.memory.remove(base);
    }

    /// Places a device at `size` ports from `base`.
    ///
    /// # Errors
    /// The range is empty, too long, or taken.
    pub fn map_ports(&self, base: u16, size: u16, device: Pio) -> Result<(), bus::Error> {
        let last = BusRange::new(PioAddress(base), size)?.last();
        self.ports.place(base.into(), last.0.into(), device)
    }

    /// Takes away the device at port `base`.
    pub fn unmap_ports(&self, base: u16) {
        self.ports.remove(base.into());
    }

    /// Reads `data.len()` bytes from memory. Addresses wrap around.
    pub fn memory_read(&self, address: u64, data: &mut [u8]) {
        let (mut address, mut rest) = (address, data);
        while !rest.is_empty() {
            let done = match self.ram_at(address, rest.len()) {
                Some((region, offset, length)) => {
                    // In range by construction.
                    let _ = region.read_slice(&mut rest[..length], offset);
                    length
                }
                None => {
                    let (piece, found) = self.mmio_at(address, rest.len());
                    match found {
                        Some((base, device)) => device.mmio_read(MmioAddress(base), address - base, &mut rest[..piece]),
                        None => rest[..piece].fill(0),
                    }
                    piece
                }
            };
            rest = &mut rest[done..];
            address = address.wrapping_add(done as u64);
        }
    }

    /// Writes `data` to memory. Addresses wrap around.
    pub fn memory_write(&self, address: u64, data: &[u8]) {
        let (mut address, mut rest) = (address, data);
        while !rest.is_empty() {
            let done = match self.ram_at(address, rest.len()) {
                Some((region, offset, length)) => {
                    // In range by construction.
                    let _ = region.write_slice(&rest[..length], offset);
                    length
                }
                None => {
                    let (piece, found) = self.mmio_at(address, rest.len());
                    if let Some((base, device)) = found {
                        device.mmio_write(MmioAddress(base), address - base, &rest[..piece]);
                    }
                    piece
                }
            };
            rest = &rest[done..];
            address = address.wrapping_add(done as u64);
        }
    }

    /// Reads from ports. Beyond the last there is nothing, not even a bus that floats high.
    pub fn port_read(&self, port: u16, data: &mut [u8]) {
        let (data, beyond) = data.split_at_mut(data.len().min(ports_from(port)));
        beyond.fill(0);
        let (mut port, mut rest) = (port, data);
        while !rest.is_empty() {
            let (piece, found) = self.pio_at(port, rest.len());
            match found {
                Some((base, device)) => device.pio_read(PioAddress(base), port - base, &mut rest[..piece]),
                None => rest[..piece].fill(0xff),
            }
            rest = &mut rest[piece..];
            port = port.wrapping_add(piece as u16);
        }
    }

    /// Writes to ports. What goes beyond the last is lost.
    pub fn port_write(&self, port: u16, data: &[u8]) {
        let (mut port, mut rest) = (port, &data[..data.len().min(ports_from(port))]);
        while !rest.is_empty() {
            let (piece, found) = self.pio_at(port, rest.len());
            if let Some((base, device)) = found {
                device.pio_write(PioAddress(base), port - base, &rest[..piece]);
            }
            rest = &rest[piece..];
            port = port.wrapping_add(piece as u16);
        }
    }

    fn mmio_at(&self, address: u64, length: usize) -> (usize, Option<(u64, Mmio)>) {
        let ram = self.ram.iter().map(|region| region.start_addr().0).find(|start| *start > address);
        self.memory.piece(address, length.min(bytes(address, ram.map_or(u64::MAX, |start| start - 1))))
    }

    /// An access to ports is that of the first one's device, also where it goes beyond it, as in QEMU.
    fn pio_at(&self, port: u16, length: usize) -> (usize, Option<(u16, Pio)>) {
        // Placed at a port.
        let found = self.ports.at(port.into()).map(|(base, _, device)| (base as u16, device));
        let offset = found.as_ref().map_or(port, |(base, _)| port - base);
        (natural(offset.into(), length), found)
    }

    /// The RAM at an address: where in it, and how much of `length` bytes lies in it.
    fn ram_at(&self, address: u64, length: usize) -> Option<(&GuestRegionMmap, vm_memory::MemoryRegionAddress, usize)> {
        let region = self.ram.find_region(GuestAddress(address))?;
        let offset = region.to_region_addr(GuestAddress(address))?;
        Some((region, offset, length.min(bytes(address, region.last_addr().0))))
    }
}

/// How many ports there are from this one on.
fn ports_from(port: u16) -> usize {
    usize::from(u16::MAX - port) + 1
}

/// The devices in one address space, each at its base, and its last address with it. No two overlap.
struct Devices<D>(RwLock<BTreeMap<u64, (u64, D)>>);

impl<D> Default for Devices<D> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<D: Clone> Devices<D> {
    fn place(&self, base: u64, last: u64, device: D) -> Result<(), bus::Error> {
        let mut devices = self.0.write();
        if devices.range(..=last).next_back().is_some_and(|(_, (end, _))| *end >= base) {
            return Err(bus::Error::DeviceOverlap);
        }
        devices.insert(base, (last, device));
        Ok(())
    }

    fn remove(&self, base: u64) {
        self.0.write().remove(&base);
    }

    /// The device at an address, with its base and its last address.
    fn at(&self, address: u64) -> Option<(u64, u64, D)> {
        let devices = self.0.read();
        let (base, (last, device)) = devices.range(..=address).next_back()?;
        (*last >= address).then(|| (*base, *last, device.clone()))
    }

    /// How many of `length` bytes the next piece at an address takes, and who answers for all of it.
    fn piece(&self, address: u64, length: usize) -> (usize, Option<(u64, D)>) {
        if let Some((base, last, device)) = self.at(address) {
            return (natural(address, length.min(bytes(address, last))), Some((base, device)));
        }
        let next = self.0.read().range(address..).next().map_or(u64::MAX, |(base, _)| base - 1);
        (length.min(bytes(address, next)), None)
    }
}

/// How many bytes there are from one address to another, as far as that can be counted.
fn bytes(from: u64, last: u64) -> usize {
    usize::try_from(last - from).unwrap_or(usize::MAX).saturating_add(1)
}

/// The most of `length` bytes that are accessed at once at an address.
fn natural(address: u64, length: usize) -> usize {
    let aligned = 1 << address.trailing_zeros().min(WIDEST.ilog2());
    1 << length.min(aligned).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use proptest::prelude::*;
    use vm_device::bus::{MmioAddressOffset, PioAddressOffset};

    /// Answers with the low bytes of each address, and notes what it is asked.
    #[derive(Default)]
    struct Echo(Mutex<Vec<String>>);

    impl Echo {
        fn read(&self, base: u64, offset: u64, data: &mut [u8]) {
            self.0.lock().push(format!("r{} {:x}+{offset:x}", data.len(), base));
            (offset..).zip(data).for_each(|(at, byte)| *byte = (base + at) as u8);
        }

        fn write(&self, base: u64, offset: u64, data: &[u8]) {
            self.0.lock().push(format!("w{} {:x}+{offset:x}", data.len(), base));
        }

        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock())
        }
    }

    impl DeviceMmio for Echo {
        fn mmio_read(&self, base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
            self.read(base.0, offset, data);
        }

        fn mmio_write(&self, base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
            self.write(base.0, offset, data);
        }
    }

    impl DevicePio for Echo {
        fn pio_read(&self, base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
            self.read(base.0.into(), offset.into(), data);
        }

        fn pio_write(&self, base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
            self.write(base.0.into(), offset.into(), data);
        }
    }

    fn bus() -> (Bus, Arc<Echo>) {
        let ram = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).expect("mapped");
        let (bus, echo) = (Bus::new(ram), Arc::<Echo>::default());
        bus.map(0x1000, 0x10, echo.clone()).expect("free");
        bus.map_ports(0x505, 1, echo.clone()).expect("free");
        (bus, echo)
    }

    #[test]
    fn an_access_goes_to_ram_to_devices_and_nowhere_piece_by_piece() {
        let (bus, echo) = bus();
        bus.memory_write(0xffe, &[1; 0x20]);
        assert_eq!(echo.asked(), ["w4 1000+0", "w4 1000+4", "w4 1000+8", "w4 1000+c"]);
        let mut data = [0xaa; 0x18];
        bus.memory_read(0xffc, &mut data);
        let mut expected = [0; 0x18];
        expected[..4].copy_from_slice(&[0, 0, 1, 1]);
        (0..16).zip(&mut expected[4..]).for_each(|(at, byte)| *byte = at);
        assert_eq!(data, expected);
    }

    #[test]
    fn a_device_sees_naturally_aligned_accesses_within_itself() {
        let (bus, echo) = bus();
        bus.memory_read(0x1001, &mut [0; 8]);
        assert_eq!(echo.asked(), ["r1 1000+1", "r2 1000+2", "r4 1000+4", "r1 1000+8"]);
        bus.memory_read(0x100e, &mut [0; 4]);
        assert_eq!(echo.asked(), ["r2 1000+e"]);
    }

    #[test]
    fn an_access_to_ports_is_that_of_the_first() {
        let (bus, echo) = bus();
        let mut data = [0; 4];
        bus.port_read(0x504, &mut data);
        assert_eq!((data, echo.asked()), ([0xff; 4], vec![]), "ports without a device read as ones");
        bus.port_read(0x505, &mut data);
        assert_eq!((data, echo.asked()), ([5, 6, 7, 8], vec!["r4 505+0".into()]));
        bus.port_read(0x503, &mut data[..2]);
        assert_eq!((&data[..2], echo.asked()), (&[0xff; 2][..], vec![]));
        bus.unmap_ports(0x505);
        bus.port_read(0x505, &mut data);
        assert_eq!(data, [0xff; 4]);
        bus.map_ports(0, 1, echo.clone()).expect("free");
        bus.port_write(0xffff, &[0; 4]);
        bus.port_read(0xffff, &mut data);
        assert_eq!((data, echo.asked()), ([0xff, 0, 0, 0], vec![]), "there are no ports beyond the last");
    }

    #[test]
    fn addresses_wrap_around_and_nothing_is_out_of_reach() {
        let (bus, _) = bus();
        bus.memory_write(0, &[7; 4]);
        let mut data = [1; 8];
        bus.memory_read(u64::MAX - 3, &mut data);
        assert_eq!(data, [0, 0, 0, 0, 7, 7, 7, 7]);
    }

    #[test]
    fn a_place_is_taken_once_and_free_again_after() {
        let (bus, echo) = bus();
        assert!(bus.map(0x100c, 8, echo.clone()).is_err());
        assert!(bus.map(0x2000, 0, echo.clone()).is_err());
        bus.unmap(0x1000);
        bus.map(0x100c, 8, echo).expect("free");
    }

    #[test]
    fn what_nobody_answers_is_one_piece_however_long() {
        let (bus, echo) = bus();
        bus.map(0x9000, 1, echo).expect("free");
        assert_eq!(bus.mmio_at(0x1010, 1 << 40).0, 0x9000 - 0x1010);
        assert_eq!(bus.mmio_at(0x9001, 1 << 40).0, 1 << 40);
        assert_eq!(bus.mmio_at(u64::MAX - 6, 1 << 40).0, 7);
        assert_eq!(bus.pio_at(0x10, 4).0, 4);
        assert_eq!(bus.pio_at(0xffff, 4).0, 1);
        let above = Bus::new(GuestMemoryMmap::from_ranges(&[(GuestAddress(0x1000), 0x1000)]).expect("mapped"));
        assert_eq!(above.mmio_at(3, 1 << 40).0, 0x1000 - 3);
        assert_eq!(Bus::default().mmio_at(0, usize::MAX).0, usize::MAX);
    }

    proptest! {
        /// Two stretches of RAM, and devices between and behind them.
        #[test]
        fn every_byte_is_answered_once_by_who_is_there(
            devices in prop::collection::vec((0x1000..0x1080_u64, 1..20_u64), 0..8),
            address in 0xff0..0x1090_u64,
            length in 1..0x50_usize,
        ) {
            let ram = [(GuestAddress(0), 0x1000), (GuestAddress(0x1040), 0x10)];
            let (bus, echo) = (Bus::new(GuestMemoryMmap::from_ranges(&ram).expect("mapped")), Arc::<Echo>::default());
            bus.memory_write(0, &[0xaa; 0x1000]);
            bus.memory_write(0x1040, &[0xbb; 0x10]);
            let mut placed: Vec<(u64, u64)> = Vec::new();
            for (base, size) in devices {
                let free = placed.iter().all(|(other, length)| base + size <= *other || other + length <= base);
                prop_assert_eq!(bus.map(base, size, echo.clone()).is_ok(), free);
                placed.extend(free.then_some((base, size)));
            }
            let (mut expected, mut asked) = (Vec::new(), Vec::new());
            while expected.len() < length {
                let (at, left) = (address + expected.len() as u64, length - expected.len());
                let ram = if at < 0x1000 { Some(0xaa) } else { (0x1040..0x1050).contains(&at).then_some(0xbb) };
                let device = placed.iter().find(|(base, size)| (*base..base + size).contains(&at));
                match (ram, device) {
                    (Some(byte), _) => expected.push(byte),
                    (None, None) => expected.push(0),
                    (None, Some((base, size))) => {
                        let fits = |piece: &u64| {
                            at.is_multiple_of(*piece) && at + piece <= base + size && *piece <= left as u64
                        };
                        let piece = [4, 2, 1].into_iter().find(fits).expect("a byte fits");
                        asked.push(format!("r{piece} {base:x}+{:x}", at - base));
                        expected.extend((at..at + piece).map(|at| at as u8));
                    }
                }
            }
            let mut data = vec![0xcc; length];
            bus.memory_read(address, &mut data);
            prop_assert_eq!(data, expected);
            prop_assert_eq!(echo.asked(), asked);
        }
    }
}
