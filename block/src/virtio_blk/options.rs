//! What a virtio-blk device can be told when it is made: the properties of QEMU's, checked as QEMU checks them.

use std::io;

use super::command::SECTOR;

/// The most sectors of one request, so that its bytes fit in an `i32`, as in QEMU.
pub(super) const MOST_SECTORS: u32 = (i32::MAX as u32) >> 9;

/// QEMU's limit of a virtio device.
const MOST_QUEUES: u16 = 1024;

/// QEMU's limit of a virtqueue.
const LONGEST_QUEUE: u16 = 1024;

/// Properties of a device. The default of each is QEMU's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtioBlkOptions {
    /// `serial`: what the guest reads as the disk's identity, of which it sees 20 bytes.
    pub serial: String,
    /// `num-queues`.
    pub num_queues: u16,
    /// `queue-size`.
    pub queue_size: u16,
    /// `seg-max-adjust`: a request may have as many buffers as fit in the queue.
    pub seg_max_adjust: bool,
    /// `logical_block_size`: the smallest unit of a request, in bytes.
    pub logical_block_size: u32,
    /// `physical_block_size`: what the disk writes in one piece, in bytes.
    pub physical_block_size: u32,
    /// `min_io_size`: the smallest request that performs well, in bytes, 0 if that is not known.
    pub min_io_size: u32,
    /// `opt_io_size`: the request that performs best, in bytes, 0 if that is not known.
    pub opt_io_size: u32,
    /// `discard_granularity`, in bytes, where it is not the logical block size.
    pub discard_granularity: Option<u32>,
    /// `report-discard-granularity`: the guest is told of it.
    pub report_discard_granularity: bool,
    /// `discard`: the guest may give space back.
    pub discard: bool,
    /// `max-discard-sectors`.
    pub max_discard_sectors: u32,
    /// `write-zeroes`: the guest may have ranges zeroed.
    pub write_zeroes: bool,
    /// `max-write-zeroes-sectors`.
    pub max_write_zeroes_sectors: u32,
    /// `config-wce`: the guest may turn the disk's write cache on and off.
    pub config_wce: bool,
    /// `cyls`, `heads` and `secs`; if all are 0 they are made up from the size.
    pub geometry: Geometry,
    /// `event_idx`: notifications are suppressed by index.
    pub event_idx: bool,
    /// `indirect_desc`: descriptors may stand in tables of their own.
    pub indirect_desc: bool,
    /// The transport speaks virtio 1.
    pub version_1: bool,
}

/// Cylinders, heads and sectors of a disk that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u32,
    /// Heads.
    pub heads: u32,
    /// Sectors of a track.
    pub sectors: u32,
}

impl Default for VirtioBlkOptions {
    fn default() -> Self {
        Self {
            serial: String::new(),
            num_queues: 1,
            queue_size: 256,
            seg_max_adjust: true,
            logical_block_size: 512,
            physical_block_size: 512,
            min_io_size: 0,
            opt_io_size: 0,
            discard_granularity: None,
            report_discard_granularity: true,
            discard: true,
            max_discard_sectors: MOST_SECTORS,
            write_zeroes: true,
            max_write_zeroes_sectors: MOST_SECTORS,
            config_wce: true,
            geometry: Geometry::default(),
            event_idx: true,
            indirect_desc: true,
            version_1: true,
        }
    }
}

impl VirtioBlkOptions {
    /// Checks the options against each other.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn check(&self) -> io::Result<()> {
        let block = self.logical_block_size;
        check(self.num_queues > 0, || "num-queues must be larger than 0".into())?;
        check(self.num_queues <= MOST_QUEUES, || format!("num-queues must not be larger than {MOST_QUEUES}"))?;
        check((3..=LONGEST_QUEUE).contains(&self.queue_size) && self.queue_size.is_power_of_two(), || {
            let size = self.queue_size;
            format!("invalid queue-size {size}, must be a power of 2 larger than 2 (at most {LONGEST_QUEUE})")
        })?;
        for (name, size) in [("logical_block_size", block), ("physical_block_size", self.physical_block_size)] {
            check((512..=2 << 20).contains(&size) && size.is_power_of_two(), || {
                format!("{name} must be a power of 2 between 512 and {}", 2 << 20)
            })?;
        }
        check(block <= self.physical_block_size, || {
            "logical_block_size must not be larger than physical_block_size".into()
        })?;
        let granularity = self.discard_granularity.unwrap_or(0);
        for (name, size) in
            [("min_io_size", self.min_io_size), ("opt_io_size", self.opt_io_size), ("discard_granularity", granularity)]
        {
            check(size.is_multiple_of(block), || format!("{name} must be a multiple of logical_block_size"))?;
        }
        check(u16::try_from(self.min_io_size / block).is_ok(), || {
            format!("min_io_size must not exceed {} logical blocks", u16::MAX)
        })?;
        for (name, offered, sectors) in [
            ("max-discard-sectors", self.discard, self.max_discard_sectors),
            ("max-write-zeroes-sectors", self.write_zeroes, self.max_write_zeroes_sectors),
        ] {
            check(!offered || (1..=MOST_SECTORS).contains(&sectors), || {
                format!("invalid {name} {sectors}, must be between 1 and {MOST_SECTORS}")
            })?;
        }
        self.geometry.check()
    }
}

impl Geometry {
    /// QEMU's for a disk of so many bytes without a partition table.
    pub(super) fn of_disk(length: u64) -> Self {
        let cylinders = (length / SECTOR / (16 * 63)).clamp(2, 16_383);
        Self { cylinders: u32::try_from(cylinders).unwrap_or(u32::MAX), heads: 16, sectors: 63 }
    }

    fn check(self) -> io::Result<()> {
        if self == Self::default() {
            return Ok(());
        }
        for (name, value, most) in
            [("cyls", self.cylinders, 65_535), ("heads", self.heads, 255), ("secs", self.sectors, 255)]
        {
            check((1..=most).contains(&value), || format!("{name} must be between 1 and {most}"))?;
        }
        Ok(())
    }
}

fn check(holds: bool, text: impl FnOnce() -> String) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, text())) }
}
