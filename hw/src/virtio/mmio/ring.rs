//! Where a driver wants a queue, as its registers say.

use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestAddress;

use super::VirtioDevice;

/// The most entries that a driver may choose, as in QEMU.
pub(super) const MOST_ENTRIES: u16 = 1024;

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    /// How many entries it has.
    pub size: u16,
    /// Whether the driver uses it.
    pub ready: bool,
    /// Address of the descriptor table.
    pub descriptors: u64,
    /// Address of the available ring.
    pub available: u64,
    /// Address of the used ring.
    pub used: u64,
    /// Legacy: the used ring starts at a multiple of it.
    pub align: u32,
}

impl Ring {
    /// Those of a device as they are before a driver comes.
    pub(super) fn all(device: &dyn VirtioDevice) -> Vec<Self> {
        let ring = |size| Self { size, ready: false, descriptors: 0, available: 0, used: 0, align: 0 };
        device.queue_sizes().into_iter().map(ring).collect()
    }

    /// Legacy: the whole queue lies at a page, and is ready (section 2.7.2).
    pub(super) fn place(&mut self, page: u32, page_shift: u32) {
        let (size, align) = (u64::from(self.size), u64::from(self.align).max(1));
        self.ready = true;
        self.descriptors = u64::from(page) << page_shift;
        self.available = self.descriptors + 16 * size;
        // Flags, index, entries, and the used event.
        let end = self.available + 2 * (3 + size);
        self.used = end.next_multiple_of(align);
    }

    /// Legacy: the page that it lies at, or the low word of its number if the pages have become smaller.
    pub(super) const fn page(&self, page_shift: u32) -> u32 {
        (self.descriptors >> page_shift) as u32
    }

    /// The queue for a device; `None` if none can lie there.
    pub(super) fn queue(&self, features: u64) -> Option<Queue> {
        let mut queue = Queue::new(MOST_ENTRIES).ok()?;
        if self.ready {
            queue.try_set_size(self.size).ok()?;
            queue.try_set_desc_table_address(GuestAddress(self.descriptors)).ok()?;
            queue.try_set_avail_ring_address(GuestAddress(self.available)).ok()?;
            queue.try_set_used_ring_address(GuestAddress(self.used)).ok()?;
            queue.set_event_idx(features & 1 << VIRTIO_RING_F_EVENT_IDX != 0);
            queue.set_ready(true);
        }
        Some(queue)
    }
}
