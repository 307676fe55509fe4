//! Block drivers, the I/O error policy with held requests, and NBD exports.

pub mod driver;
pub mod error;
pub mod graph;
pub mod node;
pub mod policy;
