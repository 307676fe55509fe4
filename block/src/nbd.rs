//! Network block device: disks served to real guests over a socket.

mod fields;
pub mod negotiation;
pub mod protocol;
pub mod transmission;
