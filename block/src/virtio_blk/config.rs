//! What the device says of itself: its features and its configuration space (virtio 1.2, sections 5.2.3 and 5.2.4).

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_GEOMETRY,
    VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_WRITE_ZEROES,
};
use virtio_bindings::virtio_config::{VIRTIO_F_NOTIFY_ON_EMPTY, VIRTIO_F_VERSION_1};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

use super::command::SECTOR;
use super::options::{Geometry, VirtioBlkOptions};

/// Bytes of the configuration space, if all of it is there.
const CONFIG_SIZE: usize = 57;

/// Where the guest changes `writeback`.
pub(super) const WRITEBACK: usize = 32;

/// Whether a set of features has one.
pub(super) const fn has(features: u64, feature: u32) -> bool {
    features >> feature & 1 != 0
}

/// What is offered.
pub(super) fn features(options: &VirtioBlkOptions, read_only: bool, writeback: bool) -> u64 {
    let offered = [
        (VIRTIO_BLK_F_SEG_MAX, true),
        (VIRTIO_BLK_F_GEOMETRY, true),
        (VIRTIO_BLK_F_RO, read_only),
        (VIRTIO_BLK_F_BLK_SIZE, true),
        (VIRTIO_BLK_F_FLUSH, writeback || options.config_wce),
        (VIRTIO_BLK_F_TOPOLOGY, true),
        (VIRTIO_BLK_F_CONFIG_WCE, options.config_wce),
        (VIRTIO_BLK_F_MQ, options.num_queues > 1),
        (VIRTIO_BLK_F_DISCARD, options.discard),
        (VIRTIO_BLK_F_WRITE_ZEROES, options.write_zeroes),
        (VIRTIO_F_NOTIFY_ON_EMPTY, !options.version_1),
        (VIRTIO_RING_F_INDIRECT_DESC, options.indirect_desc),
        (VIRTIO_RING_F_EVENT_IDX, options.event_idx),
        (VIRTIO_F_VERSION_1, options.version_1),
    ];
    offered.into_iter().filter(|(_, is)| *is).fold(0, |features, (feature, _)| features | 1 << feature)
}

/// The configuration space of a disk of `length` bytes. It ends with the last field of a feature that is offered.
pub(super) fn space(options: &VirtioBlkOptions, length: u64, writeback: bool) -> Vec<u8> {
    let block = options.logical_block_size;
    let geometry = geometry(options, length);
    let end = match (options.discard, options.write_zeroes) {
        (_, true) => CONFIG_SIZE,
        (true, false) => 48,
        (false, false) => 36,
    };
    let mut space = vec![0; end];
    let mut put = |at: usize, bytes: &[u8]| space[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(length / SECTOR).to_le_bytes());
    let buffers = if options.seg_max_adjust { u32::from(options.queue_size) } else { 128 };
    put(12, &(buffers - 2).to_le_bytes());
    put(16, &low16(geometry.cylinders));
    put(18, &[low8(geometry.heads), low8(geometry.sectors)]);
    put(20, &block.to_le_bytes());
    put(24, &[low8((options.physical_block_size / block).trailing_zeros()), 0]);
    put(26, &low16(options.min_io_size / block));
    put(28, &(options.opt_io_size / block).to_le_bytes());
    put(WRITEBACK, &[u8::from(writeback)]);
    put(34, &options.num_queues.to_le_bytes());
    if options.discard {
        let granularity = options.discard_granularity.filter(|_| options.report_discard_granularity).unwrap_or(block);
        put(36, &options.max_discard_sectors.to_le_bytes());
        put(40, &1_u32.to_le_bytes());
        put(44, &(granularity >> 9).to_le_bytes());
    }
    if options.write_zeroes {
        put(48, &options.max_write_zeroes_sectors.to_le_bytes());
        put(52, &1_u32.to_le_bytes());
        put(56, &[1]);
    }
    space
}

/// What the guest is told: only whole blocks make up a track.
fn geometry(options: &VirtioBlkOptions, length: u64) -> Geometry {
    let Geometry { cylinders, heads, sectors } = options.geometry;
    let tracks = length / u64::from(heads) / u64::from(sectors);
    let mask = options.logical_block_size / 512 - 1;
    let odd = !tracks.is_multiple_of(u64::from(options.logical_block_size));
    Geometry { cylinders, heads, sectors: if odd { sectors & !mask } else { sectors } }
}

/// The value, which the options keep below 65,536.
fn low16(value: u32) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes()
}

/// The value, which the options keep below 256.
fn low8(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
