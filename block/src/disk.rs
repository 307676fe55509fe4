//! What a device or an export asks of the disk it serves.

use std::io;

use crate::backend::BlockBackend;
use crate::request::{Client, Request};

/// A disk that takes requests. Outside of tests it is a [`BlockBackend`].
pub trait Disk: Send + Sync {
    /// Executes the request on the calling thread, or keeps it; it is answered once, by whichever thread gets to it.
    fn submit(&self, request: Request);

    /// Answers everything that waits for `client`. Called once the client is gone, when none of its requests is in
    /// [`submit`](Self::submit) any more; nothing of it may be kept again afterwards.
    fn cancel(&self, client: &Client);

    /// Size in bytes.
    ///
    /// # Errors
    /// Those of the driver.
    fn length(&self) -> io::Result<u64>;

    /// Whether writes are refused.
    fn read_only(&self) -> bool;
}

impl Disk for BlockBackend {
    fn submit(&self, request: Request) {
        BlockBackend::submit(self, request);
    }

    fn cancel(&self, client: &Client) {
        BlockBackend::cancel(self, client);
    }

    fn length(&self) -> io::Result<u64> {
        BlockBackend::length(self)
    }

    fn read_only(&self) -> bool {
        BlockBackend::read_only(self)
    }
}
