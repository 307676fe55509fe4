//! What a device or an export asks of the disk it serves.

use std::io;
use std::sync::Weak;

use vl::Transaction;

use crate::backend::BlockBackend;
use crate::request::{Client, Request};

/// A disk that takes requests. Outside of tests it is a [`BlockBackend`].
pub trait Disk: Send + Sync {
    /// Executes the request on the calling thread, or keeps it; it is answered once, by whichever thread gets to it.
    fn submit(&self, request: Request);

    /// Answers everything that waits for `client`, which is gone: nothing of it may be kept again afterwards, whatever
    /// is in [`submit`](Self::submit) meanwhile. May take the VM's lock.
    fn cancel(&self, client: &Client);

    /// The same, called in a transaction of the VM. To be provided by a disk that takes the VM's lock in `cancel`.
    fn cancel_in(&self, client: &Client, _tx: &mut Transaction<'_>) {
        self.cancel(client);
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// Those of the driver.
    fn length(&self) -> io::Result<u64>;

    /// Whether writes are refused.
    fn read_only(&self) -> bool;

    /// Whether writes need a flush to be on stable storage. Where they don't they are there when they are answered.
    fn write_cache(&self) -> bool {
        true
    }

    /// Turns the write cache on or off, for requests that are made from now on. To be provided, with
    /// [`write_cache`](Self::write_cache), by a disk that a device serves whose driver may want that.
    fn set_write_cache(&self, _on: bool) {}

    /// From now on tells `watcher` of every change of the size, instead of whoever was told before. To be provided by a
    /// disk whose size changes.
    fn watch(&self, _watcher: Weak<dyn Watcher>) {}
}

/// Follows the size of a disk.
pub trait Watcher: Send + Sync {
    /// The disk may have another size now. Called without a lock; must not block.
    fn resized(&self);
}

impl Disk for BlockBackend {
    fn submit(&self, request: Request) {
        BlockBackend::submit(self, request);
    }

    fn cancel(&self, client: &Client) {
        BlockBackend::cancel(self, client);
    }

    fn cancel_in(&self, client: &Client, tx: &mut Transaction<'_>) {
        BlockBackend::cancel_in(self, client, tx);
    }

    fn length(&self) -> io::Result<u64> {
        BlockBackend::length(self)
    }

    fn read_only(&self) -> bool {
        BlockBackend::read_only(self)
    }

    fn write_cache(&self) -> bool {
        BlockBackend::write_cache(self)
    }

    fn set_write_cache(&self, on: bool) {
        BlockBackend::set_write_cache(self, on);
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        BlockBackend::watch(self, watcher);
    }
}
