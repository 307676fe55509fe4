//! Sockets: where a server meets its clients, and who may be one.
//!
//! ```text
//!   Address --Listener::bind--> Listener --accept--> connected socket
//!      |
//!      +------Remote::resolve--> Remote --connect--> connected socket
//! ```
//!
//! The monitor and the NBD server know nothing of each other, but they listen alike: what holds for a socket of one
//! holds for those of the other. They differ in what they do with a client, the one on an event loop, the other with
//! threads, so nothing here waits for a client, and a connected socket is handed over as a plain descriptor.

mod address;
mod error;
mod listener;
mod remote;
mod resolve;
mod socket_file;

pub use address::{Address, Inet};
pub use listener::Listener;
pub use remote::{Attempt, Remote};
