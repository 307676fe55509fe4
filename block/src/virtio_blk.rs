//! The request core of a virtio-blk device (virtio 1.2, section 5.2): from a kick to the used ring. No transport and no
//! registers: whoever has those gives the device guest memory and queues, kicks it, and is told what the driver is to
//! be notified of.
//!
//! ```text
//!  kick --> device --> ring --> chain --> command --> job --> Disk::submit
//!          (leader)                                               |
//!                                                                 v any thread
//!               used ring <-- life: guest memory <-- job <--------+
//! ```
//!
//! - [`options`], [`config`]: what the device is, and what it says of itself.
//! - `chain`, `command`: what a driver wants; pure.
//! - `ring`, `life`: the queues between start and reset, and the guest's memory.
//! - `job`, `budget`: a request on its way through the disk, in pieces that are bounded.
//! - `device`: the threads.
//!
//! A request that the disk holds stays unanswered in its ring. A driver that breaks the rules of the rings breaks its
//! device, which does nothing more until it is reset, and nothing else.

mod budget;
mod chain;
mod command;
pub mod config;
mod device;
mod job;
mod life;
pub mod options;
mod ring;

use std::fmt;
use std::io;
use std::sync::Arc;

use virtio_bindings::virtio_blk::{VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH};
use virtio_queue::Queue;
use vl::Transaction;
use vm_memory::GuestMemoryMmap;

use crate::disk::Disk;
use config::{WRITEBACK, has};
use device::Device;
use life::Life;
pub use options::{Geometry, VirtioBlkOptions};

/// What the driver is to be told. Called from any thread without a lock of the device or the disk; must not block.
///
/// A call that was under way when the device was reset may arrive just after: a transport that minds makes a notifier
/// for each life.
pub trait Notifier: Send + Sync {
    /// There is something new on the used ring of a queue, and the driver wants to know.
    fn used(&self, queue: u16);

    /// The driver broke the rules: the device needs a reset (virtio 1.2, section 2.1.2).
    fn broken(&self);

    /// The configuration space has changed.
    fn config_changed(&self);
}

/// A virtio-blk device behind some transport.
///
/// Its threads live as long as it does. Before its disk is taken away it is to be [`reset`](Self::reset) and
/// [`drain`](Self::drain)ed. It resets itself when it is dropped, which must not happen in a transaction of the VM.
pub struct VirtioBlk {
    device: Arc<Device>,
}

impl VirtioBlk {
    /// A device that waits to be started.
    ///
    /// # Errors
    /// The options make no sense, or the system refuses a thread.
    pub fn new(disk: Arc<dyn Disk>, options: VirtioBlkOptions) -> io::Result<Arc<Self>> {
        options.check()?;
        let mut options = options;
        if options.geometry == Geometry::default() {
            // As large as the disk is now: it stays that when the disk changes its size.
            options.geometry = Geometry::of_disk(disk.length().unwrap_or(0));
        }
        Ok(Arc::new(Self { device: Device::new(disk, options)? }))
    }

    /// The features that are offered, those of the ring among them.
    pub fn features(&self) -> u64 {
        let disk = self.device.disk();
        config::features(self.device.options(), disk.read_only(), disk.write_cache())
    }

    /// The configuration space.
    pub fn config(&self) -> Vec<u8> {
        let disk = self.device.disk();
        // One whose size can't be had is empty.
        config::space(self.device.options(), disk.length().unwrap_or(0), disk.write_cache())
    }

    /// The driver writes to the configuration space, where only `writeback` can be changed.
    pub fn write_config(&self, offset: usize, data: &[u8]) {
        let written = WRITEBACK.checked_sub(offset).and_then(|at| data.get(at));
        if let Some(value) = written.filter(|_| self.device.options().config_wce) {
            self.device.disk().set_write_cache(*value != 0);
        }
    }

    /// How many queues the device has.
    pub fn num_queues(&self) -> u16 {
        self.device.options().num_queues
    }

    /// The geometry, made up from the size unless it was told.
    pub fn geometry(&self) -> Geometry {
        self.device.options().geometry
    }

    /// The length of each queue, at most.
    pub fn queue_size(&self) -> u16 {
        self.device.options().queue_size
    }

    /// The driver is ready and has accepted `features`. Called once after `new` or a reset. Queues that are not ready
    /// are not served.
    pub fn start(&self, memory: Arc<GuestMemoryMmap>, queues: Vec<Queue>, features: u64, notifier: Arc<dyn Notifier>) {
        // A driver that can neither flush nor say what it wants is promised the most.
        if !has(features, VIRTIO_BLK_F_CONFIG_WCE) {
            self.device.disk().set_write_cache(has(features, VIRTIO_BLK_F_FLUSH));
        }
        self.device.start(Life::new(memory, queues, features, notifier));
    }

    /// A legacy driver has placed a queue, or placed it anew, after [`start`](Self::start). How far its rings were read and
    /// written stays.
    pub fn move_queue(&self, index: u16, queue: Queue) {
        self.device.move_queue(index, queue);
    }

    /// The driver says that there is something on the available ring of a queue. Never waits for the disk.
    pub fn kick(&self, queue: u16) {
        self.device.kick(queue);
    }

    /// Back to the state after `new`: nothing is written to guest memory any more, what is held or waits is dropped. What
    /// the disk is executing is let run to its end, and what comes after the next start waits for that. Does not block,
    /// but takes the VM's lock.
    pub fn reset(&self) {
        if let Some(life) = self.device.stop() {
            self.device.disk().cancel(&life.client);
            self.device.wake();
        }
    }

    /// The same, in a transaction of the VM: when it is the machine that is reset.
    pub fn reset_in(&self, tx: &mut Transaction<'_>) {
        if let Some(life) = self.device.stop() {
            self.device.disk().cancel_in(&life.client, tx);
            self.device.wake();
        }
    }

    /// Waits until nothing is under way that was begun before a reset.
    pub fn drain(&self) {
        self.device.drain();
    }
}

impl Drop for VirtioBlk {
    fn drop(&mut self) {
        self.reset();
        self.device.end();
    }
}

impl fmt::Debug for VirtioBlk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtioBlk").field("options", self.device.options()).finish_non_exhaustive()
    }
}
