//! What a transport and a virtio device ask of each other (virtio 1.2 section 2); [`mmio`] is the transport.

use std::sync::Arc;

use virtio_queue::Queue;
use vl::Transaction;
use vm_memory::GuestMemoryMmap;

mod blk;
pub mod disk;
pub mod mmio;

/// A device behind a transport.
///
/// A transport calls these with a lock of its own held, on whichever thread the guest's access came: they must not block
/// on the host, and must not call the VM but through a transaction they are given.
pub trait VirtioDevice: Send + Sync {
    /// The kind of device (section 5).
    fn device_id(&self) -> u32;

    /// The features that are offered, also those of the rings.
    fn features(&self) -> u64;

    /// The size of each queue as long as the driver chooses none.
    fn queue_sizes(&self) -> Vec<u16>;

    /// Reads from the configuration space (section 2.5). An access that goes beyond its end leaves all of `data` as it is.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Writes to the configuration space. What can't be written is left as it is.
    fn write_config(&self, offset: u64, data: &[u8]);

    /// The driver is ready (`DRIVER_OK`), or a legacy one uses a queue before it is. Not called again before
    /// [`Self::reset`].
    fn start(&self, activation: Activation);

    /// A legacy driver has placed a queue, or placed it anew, after [`Self::start`]. How far its rings were read and written
    /// stays.
    fn move_queue(&self, index: u16, queue: Queue);

    /// There may be new buffers in a queue. Called only between [`Self::start`] and [`Self::reset`].
    fn notify(&self, queue: u16);

    /// Forgets everything of the driver. From now on nothing is written to its memory, and no interrupt is raised for what
    /// it asked before. By the transaction it says what is no longer held.
    fn reset(&self, tx: &mut Transaction<'_>);
}

/// What a driver has set up.
pub struct Activation {
    /// The guest's memory.
    pub ram: GuestMemoryMmap,
    /// All queues; those that the driver does not use are not ready.
    pub queues: Vec<Queue>,
    /// The features that both sides have.
    pub features: u64,
    /// Reaches the driver.
    pub interrupt: Arc<dyn Interrupt>,
}

/// How a device reaches its driver. Callable from any thread, and with any lock of the device held.
pub trait Interrupt: Send + Sync {
    /// A queue has used buffers that the driver wants to hear of.
    fn used(&self, queue: u16);

    /// The configuration space has changed.
    fn config_changed(&self);

    /// The driver has broken the rules beyond repair: only a reset helps (section 2.1.1).
    fn broken(&self);
}
