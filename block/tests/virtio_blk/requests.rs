//! What each request does, and what is refused.

use std::sync::Arc;

use block::disk::Disk;
use block::request::{Client, Operation, Request};
use block::virtio_blk::{VirtioBlk, VirtioBlkOptions};
use qapi_schema::block_core::Commands as _;
use rustix::io::Errno;
use serde_json::json;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP,
    VIRTIO_BLK_T_BARRIER, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_SCSI_CMD, VIRTIO_BLK_T_WRITE_ZEROES,
};

use crate::disk::{Asked, Memory};
use crate::driver::{Driver, device, memory};
use crate::support::Setup;

const SIZE: usize = 1 << 20;
const SECTORS: u64 = SIZE as u64 / 512;

pub const OK: u8 = VIRTIO_BLK_S_OK as u8;
pub const IO_ERROR: u8 = VIRTIO_BLK_S_IOERR as u8;
const UNSUPPORTED: u8 = VIRTIO_BLK_S_UNSUPP as u8;

/// Features of a driver that flushes by itself.
const FLUSHES: u64 = 1 << VIRTIO_BLK_F_FLUSH;

/// The range of a discard or write-zeroes.
fn range(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat()
}

fn started(disk: Arc<dyn Disk>, features: u64) -> (Arc<VirtioBlk>, Driver) {
    let device = device(disk);
    let driver = Driver::start(&device, &memory(), features);
    (device, driver)
}

#[test]
fn what_is_written_is_read() {
    let disk = Memory::new(SIZE);
    let (device, mut driver) = started(disk.clone(), FLUSHES);
    let data: Vec<u8> = (0..1024_u32).map(|byte| (byte % 251) as u8).collect();
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_OUT, 8, &data, 0), (OK, vec![]));
    assert_eq!(disk.content()[4096..5120], data);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 8, &[], 1024), (OK, data.clone()));
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN | VIRTIO_BLK_T_BARRIER, 9, &[], 512), (OK, data[512..].to_vec()));
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, SECTORS - 1, &[], 512), (OK, vec![0; 512]));
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, SECTORS, &[], 0), (OK, vec![]));
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_FLUSH, 0, &[], 0), (OK, vec![]));
    assert_eq!(disk.count(Asked::Flush), 1);
}

#[test]
fn what_is_no_range_of_blocks_is_an_io_error_and_reaches_no_disk() {
    let disk = Memory::new(SIZE + 100);
    let options = VirtioBlkOptions { logical_block_size: 1024, physical_block_size: 4096, ..Default::default() };
    let device = VirtioBlk::new(disk.clone(), options).expect("a device");
    let mut driver = Driver::start(&device, &memory(), FLUSHES);
    for (sector, length) in
        [(0, 1), (0, 511), (0, 512), (1, 1024), (SECTORS, 1024), (SECTORS - 2, 2048), (u64::MAX, 1024), (1 << 55, 1024)]
    {
        let data = vec![1; length as usize];
        assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, sector, &[], length).0, IO_ERROR, "{length} bytes at {sector}");
        assert_eq!(driver.ask(&device, VIRTIO_BLK_T_OUT, sector, &data, 0).0, IO_ERROR, "{length} bytes at {sector}");
    }
    assert_eq!(disk.asked(), []);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, SECTORS - 2, &[], 1024).0, OK);
}

#[test]
fn a_discard_or_write_zeroes_is_about_one_range() {
    let disk = Memory::new(SIZE);
    let options = VirtioBlkOptions { max_discard_sectors: 64, max_write_zeroes_sectors: 32, ..Default::default() };
    let device = VirtioBlk::new(disk.clone(), options).expect("a device");
    let mut driver = Driver::start(&device, &memory(), FLUSHES);
    let mut ask = |kind, range: &[u8]| driver.ask(&device, kind, 0, range, 0).0;
    let (discard, zero) = (VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES);
    for kind in [discard, zero] {
        assert_eq!(ask(kind, &[range(0, 1, 0), range(1, 1, 0)].concat()), UNSUPPORTED, "two ranges");
        assert_eq!(ask(kind & !VIRTIO_BLK_T_OUT, &range(0, 1, 0)), UNSUPPORTED, "no direction");
        assert_eq!(ask(kind, &range(0, 1, 2)), UNSUPPORTED, "a reserved flag");
        assert_eq!(ask(kind, &range(0, 65, 0)), IO_ERROR, "too many sectors");
        assert_eq!(ask(kind, &range(0, u32::MAX, 0)), IO_ERROR, "far too many sectors");
        assert_eq!(ask(kind, &range(SECTORS - 1, 2, 0)), IO_ERROR, "beyond the end");
        assert_eq!(ask(kind, &range(u64::MAX, 2, 2)), IO_ERROR, "beyond the end, whatever the flags");
    }
    assert_eq!(ask(zero, &range(0, 33, 0)), IO_ERROR);
    assert_eq!(ask(discard, &range(0, 1, 1)), UNSUPPORTED, "a discard gives space back anyhow");
    assert_eq!(disk.asked(), []);
    assert_eq!(ask(discard, &range(0, 64, 0)), OK);
    assert_eq!(ask(zero, &range(1, 32, 0)), OK);
    assert_eq!(ask(zero, &range(1, 32, 1)), OK);
    let zeroes = |unmap| Asked::WriteZeroes { fua: false, unmap };
    assert_eq!(disk.asked(), [Asked::Discard, zeroes(false), zeroes(true)]);
}

#[test]
fn what_is_not_offered_is_unsupported() {
    let options = VirtioBlkOptions { discard: false, write_zeroes: false, ..Default::default() };
    let device = VirtioBlk::new(Memory::new(SIZE), options).expect("a device");
    let mut driver = Driver::start(&device, &memory(), FLUSHES);
    for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
        assert_eq!(driver.ask(&device, kind, 0, &range(0, 1, 0), 0).0, UNSUPPORTED);
    }
    for kind in [VIRTIO_BLK_T_SCSI_CMD, 14, 16, 77, u32::MAX] {
        assert_eq!(driver.ask(&device, kind, 0, &[0; 16], 16).0, UNSUPPORTED, "{kind}");
    }
}

#[test]
fn the_identity_is_the_serial_as_far_as_there_is_room() {
    let long = "twenty bytes, no more";
    for (serial, room, id) in [
        ("", 20, "\0"),
        ("abc", 20, "abc\0"),
        ("abc", 4, "abc\0"),
        ("abc", 3, "abc"),
        ("abc", 2, "ab"),
        ("abc", 0, ""),
        (&long[..19], 20, "twenty bytes, no mo\0"),
        (&long[..20], 20, "twenty bytes, no mor"),
        (long, 40, "twenty bytes, no mor"),
    ] {
        let options = VirtioBlkOptions { serial: serial.into(), ..Default::default() };
        let device = VirtioBlk::new(Memory::new(SIZE), options).expect("a device");
        let mut driver = Driver::start(&device, &memory(), FLUSHES);
        let (status, data) = driver.ask(&device, VIRTIO_BLK_T_GET_ID, 0, &[], room);
        assert_eq!(status, OK);
        assert!(data.starts_with(id.as_bytes()), "{serial} in {room}: {data:?}");
        assert!(data[id.len()..].iter().all(|byte| *byte == 0), "{serial} in {room}: {data:?}");
    }
}

#[test]
fn the_disk_has_its_write_cache_as_long_as_the_driver_knows_of_it() {
    let both = 1 << VIRTIO_BLK_F_CONFIG_WCE | FLUSHES;
    for (configured, features, written, wanted) in [
        (true, both, None, true),
        (false, both, None, false),
        (true, both, Some(0), false),
        (false, both, Some(1), true),
        (true, FLUSHES, None, true),
        (false, FLUSHES, None, true),
        (true, 0, None, false),
    ] {
        let disk = Memory::new(SIZE);
        disk.set_write_cache(configured);
        let device = device(disk.clone());
        let mut driver = Driver::start(&device, &memory(), features);
        if let Some(byte) = written {
            device.write_config(32, &[byte]);
        }
        assert_eq!((disk.write_cache(), device.config()[32] != 0), (wanted, wanted));
        assert_eq!(driver.ask(&device, VIRTIO_BLK_T_OUT, 0, &[1; 512], 0).0, OK);
        assert_eq!(driver.ask(&device, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range(0, 1, 0), 0).0, OK);
        assert_eq!(disk.asked(), [Asked::Write { fua: false }, Asked::WriteZeroes { fua: false, unmap: false }]);
        device.reset();
        assert_eq!(disk.write_cache(), configured, "a reset forgets what the driver wants");
    }
}

#[test]
fn what_the_driver_wants_of_the_write_cache_shows_and_holds() {
    let setup = Setup::new(json!({"driver": "null-co", "node-name": "file", "size": SIZE}), SIZE as u64);
    setup.disk.set_write_cache(false);
    let device = device(setup.disk.clone());
    let shown = || {
        let disks = setup.block.query_block().expect("told");
        disks[0].inserted.as_ref().expect("a node").cache.writeback
    };
    assert!(!shown());
    let _driver = Driver::start(&device, &memory(), 1 << VIRTIO_BLK_F_CONFIG_WCE | FLUSHES);
    device.write_config(32, &[1]);
    assert!(shown());
    device.reset();
    assert!(!shown());
}

#[test]
fn a_long_request_goes_in_pieces_and_is_answered_once() {
    let disk = Memory::new(16 << 20);
    let (device, mut driver) = started(disk.clone(), 0);
    // One buffer, many times over: 4 MiB and a block of 256 KiB of memory.
    driver.write(0x40_000, &[5; 0x40_000]);
    let parts = |writable| (0..17).map(move |_| crate::driver::Part { address: 0x40_000, len: 0x40_000, writable });
    let status = crate::driver::Part { address: 0x1_f000, len: 1, writable: true };
    for (kind, writable) in [(VIRTIO_BLK_T_OUT, false), (VIRTIO_BLK_T_IN, true)] {
        driver.write(0x1_e000, &crate::driver::header(kind, 1));
        driver.write(0x1_f000, &[0xff]);
        let header = crate::driver::Part { address: 0x1_e000, len: 16, writable: false };
        let chain: Vec<_> = [header].into_iter().chain(parts(writable)).chain([status]).collect();
        let head = driver.offer_indirect(0x1_d000, &chain);
        driver.kick(&device);
        let len = if writable { 17 * 0x40_000 } else { 0 } + 1;
        assert_eq!(driver.wait_for(1), [(head, len)]);
        assert_eq!(driver.read(0x1_f000, 1), [OK]);
        driver.write(0x40_000, &[6; 0x40_000]);
    }
    let content = disk.content();
    assert!(content[..512].iter().all(|byte| *byte == 0));
    assert!(content[512..512 + 17 * 0x40_000].iter().all(|byte| *byte == 5));
    assert!(content[512 + 17 * 0x40_000..].iter().all(|byte| *byte == 0));
    let asked = disk.asked();
    let writes: Vec<_> = asked.iter().filter(|asked| matches!(asked, Asked::Write { .. })).collect();
    assert_eq!(writes.len(), 5);
    assert_eq!(asked.len(), 10);
}

#[test]
fn the_policy_does_not_apply_to_the_guests_mistakes() {
    let fixture = crate::held::Fixture::new(0);
    let mut driver = Driver::start(&fixture.device, &memory(), FLUSHES);
    let before = fixture.setup.log.all();
    let beyond = crate::held::SIZE / 512;
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_OUT, beyond, &[1; 512], 0).0, IO_ERROR);
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_IN, 0, &[], 100).0, IO_ERROR);
    assert_eq!(fixture.setup.log.all(), before);
}

#[test]
fn a_read_only_disk_says_so_and_refuses_writes() {
    let (device, mut driver) = started(Arc::new(ReadOnly), FLUSHES);
    assert_ne!(device.features() & 1 << 5, 0);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_OUT, 0, &[1; 512], 0).0, IO_ERROR);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 0, &[], 512).0, OK);
}

/// A disk that answers writes as a backend does that must not write.
struct ReadOnly;

impl Disk for ReadOnly {
    fn submit(&self, request: Request) {
        let answer = if let Operation::Read { length, .. } = *request.operation() {
            Ok(vec![0; length])
        } else {
            Err(Errno::PERM.into())
        };
        request.complete(answer);
    }

    fn cancel(&self, _: &Client) {}

    fn length(&self) -> std::io::Result<u64> {
        Ok(SIZE as u64)
    }

    fn read_only(&self) -> bool {
        true
    }
}
