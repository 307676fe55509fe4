//! The disk behind a transport: `block`'s request core as a virtio device (virtio 1.2 section 5.2).

use std::sync::Arc;

use block::virtio_blk::{Notifier, VirtioBlk};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::Queue;
use vl::Transaction;

use super::{Activation, Interrupt, VirtioDevice};

impl VirtioDevice for VirtioBlk {
    fn device_id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        self.features()
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![self.queue_size(); self.num_queues().into()]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = self.config();
        let from = usize::try_from(offset).ok().and_then(|offset| config.get(offset..)?.get(..data.len()));
        from.into_iter().for_each(|from| data.copy_from_slice(from));
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        if let Ok(offset) = usize::try_from(offset) {
            self.write_config(offset, data);
        }
    }

    fn start(&self, activation: Activation) {
        let Activation { ram, queues, features, interrupt } = activation;
        self.start(Arc::new(ram), queues, features, Arc::new(Driver(interrupt)));
    }

    fn move_queue(&self, index: u16, queue: Queue) {
        self.move_queue(index, queue);
    }

    fn notify(&self, queue: u16) {
        self.kick(queue);
    }

    fn reset(&self, tx: &mut Transaction<'_>) {
        self.reset_in(tx);
    }
}

/// The driver, as the core reaches it.
struct Driver(Arc<dyn Interrupt>);

impl Notifier for Driver {
    fn used(&self, queue: u16) {
        self.0.used(queue);
    }

    fn broken(&self) {
        self.0.broken();
    }

    fn config_changed(&self) {
        self.0.config_changed();
    }
}
