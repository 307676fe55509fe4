//! A device between its start and its reset: the only way to the guest's memory.
//!
//! A life that is over, or broken, is closed: nothing is written into the guest's memory any more, whatever requests are
//! still under way for it.

use std::sync::Arc;

use virtio_bindings::virtio_config::VIRTIO_F_NOTIFY_ON_EMPTY;
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Queue, QueueT};
use vl::sync::RwLock;
use vl::sync::atomic::{AtomicUsize, Ordering};
use vm_memory::GuestMemoryMmap;

use super::Notifier;
use super::chain::{Chain, Malformed};
use super::command::Status;
use super::config::has;
use super::ring::Ring;
use crate::request::Client;

/// One life of a device.
///
/// Lock order: `open`, then that of a ring. The notifier is called with neither.
pub(super) struct Life {
    memory: Arc<GuestMemoryMmap>,
    rings: Vec<Ring>,
    notifier: Arc<dyn Notifier>,
    /// Held for reading while the guest's memory is written.
    open: RwLock<bool>,
    /// Who asks the disk during this life.
    pub(super) client: Client,
    /// Requests taken off the rings, and not ended in one way or another.
    pub(super) unfinished: AtomicUsize,
}

impl Life {
    pub(super) fn new(
        memory: Arc<GuestMemoryMmap>,
        queues: Vec<Queue>,
        features: u64,
        notifier: Arc<dyn Notifier>,
    ) -> Self {
        let rings = queues.into_iter().map(|mut queue| {
            queue.set_event_idx(has(features, VIRTIO_RING_F_EVENT_IDX));
            Ring::new(queue, has(features, VIRTIO_F_NOTIFY_ON_EMPTY))
        });
        Self {
            memory,
            rings: rings.collect(),
            notifier,
            open: RwLock::new(true),
            client: Client::default(),
            unfinished: AtomicUsize::new(0),
        }
    }

    /// How many queues there are.
    pub(super) fn queues(&self) -> u16 {
        u16::try_from(self.rings.len()).unwrap_or(u16::MAX)
    }

    /// The guest's memory, to read.
    pub(super) fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// Has a ring lie where `queue` does.
    pub(super) fn move_queue(&self, ring: u16, queue: Queue) {
        self.with_ring(ring, |ring| {
            ring.replace(queue);
            Ok(())
        });
    }

    /// Tells the driver that the configuration space is not what it was.
    pub(super) fn config_changed(&self) {
        self.notifier.config_changed();
    }

    /// Whether all requests ended.
    pub(super) fn is_finished(&self) -> bool {
        self.unfinished.load(Ordering::SeqCst) == 0
    }

    /// Whether nothing is done for the guest any more.
    pub(super) fn is_closed(&self) -> bool {
        !*self.open.read()
    }

    /// From now on leaves the guest's memory alone. Returns whether it did so already.
    pub(super) fn close(&self) -> bool {
        !std::mem::replace(&mut *self.open.write(), false)
    }

    /// Takes off a ring what is available, see [`Ring::take`]. Nothing where the guest made that impossible.
    pub(super) fn take(&self, ring: u16, each: impl FnMut(Chain) -> Result<(), Malformed>) -> usize {
        self.with_ring(ring, |ring| ring.take(&self.memory, each)).unwrap_or(0)
    }

    /// Writes data of an answer.
    pub(super) fn write(&self, chain: &Chain, offset: usize, data: &[u8]) {
        let open = self.open.read();
        if *open && let Err(error) = chain.writable.write(&self.memory, offset, data) {
            tracing::error!(%error, "cannot write to a buffer that was checked");
        }
    }

    /// Completes a request. The driver is told by [`signal`](Self::signal).
    pub(super) fn answer(&self, ring: u16, chain: &Chain, status: Status) {
        let len = chain.writable.len();
        self.write(chain, len - 1, &[status as u8]);
        self.with_ring(ring, |ring| ring.put(&self.memory, chain.head, len));
    }

    /// Tells the driver of the answers, if it wants to know.
    pub(super) fn signal(&self, ring: u16) {
        if self.with_ring(ring, |ring| ring.needs_signal(&self.memory)) == Some(true) {
            self.notifier.used(ring);
        }
    }

    fn with_ring<R>(&self, index: u16, body: impl FnOnce(&Ring) -> Result<R, Malformed>) -> Option<R> {
        let result = {
            let open = self.open.read();
            let ring = self.rings.get(usize::from(index)).filter(|_| *open)?;
            body(ring)
        };
        result.inspect_err(|malformed| self.break_down(index, *malformed)).ok()
    }

    fn break_down(&self, ring: u16, Malformed(why): Malformed) {
        if !self.close() {
            tracing::warn!(queue = ring, "virtio-blk: the driver offered {why}: the device needs a reset");
            self.notifier.broken();
        }
    }
}
