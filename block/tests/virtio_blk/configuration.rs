//! What the device says of itself, and which options it can't be made with.

use std::io;
use std::sync::Arc;

use block::disk::Disk;
use block::virtio_blk::{Geometry, VirtioBlk, VirtioBlkOptions};

use crate::disk::Memory;

const KIB: u32 = 1024;

fn options() -> VirtioBlkOptions {
    VirtioBlkOptions::default()
}

fn config(size: usize, options: VirtioBlkOptions) -> Vec<u8> {
    VirtioBlk::new(Memory::new(size), options).expect("a device").config()
}

/// A device on a disk without a write cache.
fn without_cache(disk: Arc<Memory>, options: VirtioBlkOptions) -> Arc<VirtioBlk> {
    disk.set_write_cache(false);
    VirtioBlk::new(disk, options).expect("a device")
}

/// A configuration space of so many bytes: offsets and the bytes there, zeroes elsewhere.
fn space(size: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut space = vec![0; size];
    for (at, bytes) in fields {
        space[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    space
}

#[test]
fn the_defaults_are_qemus() {
    // As read from QEMU 10.0.2 for a disk of 64 MiB behind a modern transport.
    let expected = space(
        57,
        &[
            (0, &[0, 0, 2]),
            (12, &[254]),
            (16, &[130, 0, 16, 63]),
            (20, &[0, 2]),
            (32, &[1]),
            (34, &[1]),
            (36, &[0xff, 0xff, 0x3f, 0, 1, 0, 0, 0, 1]),
            (48, &[0xff, 0xff, 0x3f, 0, 1, 0, 0, 0, 1]),
        ],
    );
    assert_eq!(config(64 << 20, options()), expected);
    let features = VirtioBlk::new(Memory::new(0), options()).expect("a device").features();
    assert_eq!(features, 0x1_3000_6e54);
}

#[test]
fn every_option_shows() {
    let all = VirtioBlkOptions {
        num_queues: 0x102,
        queue_size: 1024,
        logical_block_size: 4 * KIB,
        physical_block_size: 64 * KIB,
        min_io_size: 8 * KIB,
        opt_io_size: 4096 * KIB,
        discard_granularity: Some(16 * KIB),
        max_discard_sectors: 0x0102,
        write_zeroes: false,
        geometry: Geometry { cylinders: 0x0304, heads: 5, sectors: 63 },
        ..options()
    };
    let expected = space(
        48,
        &[
            (0, &[1]),
            (12, &[0xfe, 3]),
            (16, &[4, 3, 5, 56]),
            (20, &[0, 0x10, 0, 0]),
            (24, &[4, 0, 2, 0, 0, 4]),
            (34, &[2, 1]),
            (36, &[2, 1, 0, 0, 1, 0, 0, 0, 32]),
        ],
    );
    assert_eq!(without_cache(Memory::new(1000), all.clone()).config(), expected);
    let device = without_cache(Memory::read_only(0), all);
    assert_eq!(device.features(), 0x1_3000_3e74);
    assert_eq!((device.num_queues(), device.queue_size()), (0x102, 1024));

    let none = VirtioBlkOptions {
        seg_max_adjust: false,
        report_discard_granularity: false,
        discard_granularity: Some(4 * KIB),
        config_wce: false,
        event_idx: false,
        indirect_desc: false,
        version_1: false,
        ..options()
    };
    let device = without_cache(Memory::new(0), none);
    let space = device.config();
    assert_eq!((space[12], space[44], space[32]), (126, 1, 0));
    assert_eq!(device.features(), 0x100_6454);
    let least = VirtioBlkOptions { discard: false, write_zeroes: false, ..options() };
    assert_eq!(config(0, least).len(), 36, "up to the number of queues");
}

#[test]
fn a_track_is_of_whole_blocks() {
    let blocks = VirtioBlkOptions { logical_block_size: 4 * KIB, physical_block_size: 4 * KIB, ..options() };
    assert_eq!(config(1 << 20, blocks.clone())[16..20], [2, 0, 16, 56]);
    assert_eq!(config(16 * 63 * 4096, blocks)[16..20], [8, 0, 16, 63]);
}

#[test]
fn only_the_write_cache_can_be_written() {
    let device = VirtioBlk::new(Memory::new(1 << 20), options()).expect("a device");
    let before = device.config();
    device.write_config(0, &[0xff; 32]);
    device.write_config(33, &[0xff; 100]);
    device.write_config(usize::MAX, &[0]);
    device.write_config(32, &[]);
    assert_eq!(device.config(), before);
    device.write_config(30, &[1, 1, 0, 1]);
    assert_eq!(device.config()[32], 0);
    device.write_config(32, &[0xff]);
    assert_eq!(device.config(), before);
    let fixed = VirtioBlk::new(Memory::new(1 << 20), VirtioBlkOptions { config_wce: false, ..options() });
    let fixed = fixed.expect("a device");
    fixed.write_config(32, &[0]);
    assert_eq!(fixed.config()[32], 1);
}

#[test]
fn options_that_make_no_sense_are_named() {
    let geometry = |cylinders, heads, sectors| Geometry { cylinders, heads, sectors };
    for (options, text) in [
        (VirtioBlkOptions { num_queues: 0, ..options() }, "num-queues must be larger than 0"),
        (VirtioBlkOptions { num_queues: 1025, ..options() }, "num-queues must not be larger than 1024"),
        (VirtioBlkOptions { queue_size: 2, ..options() }, "queue-size 2, must be a power of 2"),
        (VirtioBlkOptions { queue_size: 100, ..options() }, "queue-size 100, must be a power of 2"),
        (VirtioBlkOptions { queue_size: 2048, ..options() }, "queue-size 2048, must be a power of 2"),
        (VirtioBlkOptions { logical_block_size: 0, ..options() }, "logical_block_size must be a power of 2"),
        (VirtioBlkOptions { physical_block_size: 513, ..options() }, "physical_block_size must be a power of 2"),
        (VirtioBlkOptions { physical_block_size: 4096 * KIB, ..options() }, "physical_block_size must be a power of 2"),
        (VirtioBlkOptions { logical_block_size: KIB, ..options() }, "logical_block_size must not be larger than"),
        (VirtioBlkOptions { min_io_size: 100, ..options() }, "min_io_size must be a multiple"),
        (VirtioBlkOptions { min_io_size: 65_536 * KIB, ..options() }, "min_io_size must not exceed 65535"),
        (VirtioBlkOptions { opt_io_size: 100, ..options() }, "opt_io_size must be a multiple"),
        (VirtioBlkOptions { discard_granularity: Some(1), ..options() }, "discard_granularity must be a multiple"),
        (VirtioBlkOptions { max_discard_sectors: 0, ..options() }, "max-discard-sectors 0, must be between"),
        (
            VirtioBlkOptions { max_write_zeroes_sectors: 1 << 30, ..options() },
            "max-write-zeroes-sectors 1073741824, must",
        ),
        (VirtioBlkOptions { geometry: geometry(65_536, 1, 1), ..options() }, "cyls must be between 1 and 65535"),
        (VirtioBlkOptions { geometry: geometry(1, 0, 1), ..options() }, "heads must be between 1 and 255"),
        (VirtioBlkOptions { geometry: geometry(1, 1, 256), ..options() }, "secs must be between 1 and 255"),
    ] {
        let error = VirtioBlk::new(Memory::new(0), options).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(text), "{error}");
    }
}
