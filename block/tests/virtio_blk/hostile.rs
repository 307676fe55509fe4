//! Rings full of nonsense: no panic, no hang, no write outside of the buffers that were offered, and a device that
//! works again after a reset.

use std::ops::Range;

use proptest::prelude::*;
use virtio_bindings::virtio_blk::VIRTIO_BLK_T_IN;
use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_WRITE};

use crate::disk::Memory;
use crate::driver::{BUFFERS, Driver, RAM, SIZE, USED, device, memory};
use crate::requests::OK;

/// A table of descriptors outside of the ring.
const TABLE: u64 = 0x1_0000;
/// Descriptors in it.
const LENGTH: u16 = 32;

#[derive(Clone, Debug)]
struct Descriptor {
    address: u64,
    len: u32,
    flags: u16,
    next: u16,
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let address = prop_oneof![
        30 => BUFFERS..BUFFERS + 0x1000,
        1 => RAM as u64 - 0x1000..RAM as u64 + 0x10,
        1 => any::<u64>(),
    ];
    let len = prop_oneof![
        4 => Just(1_u32),
        6 => Just(16),
        6 => Just(512),
        4 => 0..0x2000_u32,
        1 => any::<u32>(),
    ];
    let next = prop_oneof![30 => 0..SIZE, 1 => any::<u16>()];
    let buffer = (address, len, 0..4_u16, next.clone());
    let table = (Just(TABLE), (0..=LENGTH).prop_map(|count| u32::from(count) * 16), Just(4), next);
    let anything = (prop_oneof![any::<u64>(), Just(TABLE)], any::<u32>(), any::<u16>(), any::<u16>());
    let descriptor = prop_oneof![40 => buffer, 4 => table, 1 => anything];
    descriptor.prop_map(|(address, len, flags, next)| Descriptor { address, len, flags, next })
}

fn table(length: u16) -> impl Strategy<Value = Vec<Descriptor>> {
    prop::collection::vec(descriptor(), usize::from(length))
}

fn place(driver: &Driver, table: u64, descriptors: &[Descriptor]) {
    for (index, Descriptor { address, len, flags, next }) in (0..).zip(descriptors) {
        driver.write_descriptor(table, index, *address, *len, *flags, *next);
    }
}

/// Where a device may write: its used ring, and buffers that it is offered for writing.
fn writable(tables: &[&[Descriptor]]) -> Vec<Range<usize>> {
    let clamp = |address: u64| usize::try_from(address).unwrap_or(RAM).min(RAM);
    let buffers = tables.iter().copied().flatten().filter_map(|descriptor| {
        let flags = u32::from(descriptor.flags);
        let end = descriptor.address.saturating_add(descriptor.len.into());
        let offered = flags & VRING_DESC_F_WRITE != 0 && flags & VRING_DESC_F_INDIRECT == 0;
        offered.then(|| clamp(descriptor.address)..clamp(end))
    });
    let used = clamp(USED)..clamp(USED + 6 + 8 * u64::from(SIZE));
    buffers.chain([used]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nonsense_is_answered_or_breaks_the_device_and_does_nothing_else(
        ring in table(SIZE),
        indirect in table(LENGTH),
        heads in prop::collection::vec(prop_oneof![9 => 0..SIZE, 1 => any::<u16>()], 1..=usize::from(SIZE)),
        header in prop::collection::vec(prop_oneof![5 => 0..16_u8, 1 => any::<u8>()], 0x1000),
        jump in prop_oneof![9 => Just(0), 1 => any::<u16>()],
    ) {
        let device = device(Memory::new(1 << 20));
        let memory = memory();
        let mut driver = Driver::start(&device, &memory, 0);
        // Where the tables themselves may be written to nothing can be said of what the device then finds there.
        let writable = writable(&[&ring, &indirect]);
        let tables = [driver.table()..driver.table() + 16 * u64::from(SIZE), TABLE..TABLE + 16 * u64::from(LENGTH)];
        let stable = tables.iter().all(|table| writable.iter().all(|range| {
            range.end as u64 <= table.start || range.start as u64 >= table.end
        }));
        driver.write(BUFFERS, &header);
        place(&driver, driver.table(), &ring);
        place(&driver, TABLE, &indirect);
        heads.iter().for_each(|head| driver.publish(*head));
        driver.set_available(driver.available().wrapping_add(jump));
        let before = driver.read(0, RAM);
        driver.kick(&device);
        if stable {
            let all = driver.available().wrapping_add(jump);
            while driver.told.counts().broken == 0 && driver.used_index() != all {
                std::thread::yield_now();
            }
        }
        device.reset();
        let after = driver.read(0, RAM);
        if stable {
            let mut expected = before;
            writable.into_iter().for_each(|range| expected[range.clone()].copy_from_slice(&after[range]));
            prop_assert!(expected == after, "something was written that was not to be");
        }
        device.drain();
        prop_assert!(after == driver.read(0, RAM), "something was written after the reset");
        let mut driver = Driver::start(&device, &memory, 0);
        prop_assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 0, &[], 512).0, OK);
    }
}
