//! Network block device: disks served to real guests over a socket.
//!
//! The route of a request: [`server`] accepts a client, its `connection` negotiates ([`negotiation`]) and decodes
//! ([`transmission`]), a [`Disk`](crate::disk::Disk) executes. The protocol cores know no sockets, and nothing here knows
//! the error policy.

pub mod client;
mod connection;
mod export;
mod fields;
mod input;
pub mod negotiation;
pub mod protocol;
pub mod server;
mod socket;
pub mod transmission;
mod wake;

pub use export::{ExportOptions, Removal, RemovalError};
pub use sockets::{Access, Address};
