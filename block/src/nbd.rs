//! Network block device: disks served to real guests over a socket.
//!
//! The protocol cores, [`negotiation`] and [`transmission`], know no sockets; the [`client`] does.

mod address;
pub mod client;
mod fields;
mod input;
pub mod negotiation;
pub mod protocol;
mod socket;
pub mod transmission;

pub use address::Address;
