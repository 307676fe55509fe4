//! Block drivers, the I/O error policy with held requests, NBD exports and virtio-blk.
//!
//! What a guest asks for goes down this list, and a failure comes up again as far as [`backend`]:
//!
//! - [`nbd`]: the protocol of the guests that there are so far; [`export`]: what QMP knows of them.
//! - [`virtio_blk`]: a device of a machine, with its guest's memory; the registers around it are no part of it.
//! - [`request`]: an operation with the one answer it is owed.
//! - [`backend`]: runs requests, or makes them wait: the only place that knows [`policy`], io-status and statistics. Its
//!   [`queue`] says who waits, its [`workers`] retry what waited.
//! - [`disk`]: what of it guest-facing code sees.
//! - [`drive`]: disks that wait for their device.
//! - [`graph`] and [`node`]: named nodes, and what all drivers have in common.
//! - [`driver`]: what stores the bytes; [`fdset`]: descriptors to open images from, handed over by clients.
//! - [`error`]: what a driver's error is called on the wire.
//! - [`block`](mod@block): all of it together, for one VM.

pub mod backend;
pub mod block;
mod crew;
pub mod disk;
pub mod drive;
pub mod driver;
pub mod error;
pub mod export;
pub mod fdset;
pub mod graph;
pub mod nbd;
pub mod node;
mod pace;
pub mod policy;
pub mod queue;
pub mod request;
mod statistics;
pub mod virtio_blk;
pub mod workers;
