//! Sockets: where a server meets its clients, and who may be one.
//!
//! ```text
//!   Address, Access --Listener::bind--> Listener --accept, past the gate--> connected socket
//!      |
//!      +---------------Remote::resolve--> Remote --connect----------------> connected socket
//! ```
//!
//! The monitor and the NBD server know nothing of each other, but they listen alike: what holds for a socket of one
//! holds for those of the other. They differ in what they do with a client, the one on an event loop, the other with
//! threads, so nothing here waits for a client, and a connected socket is handed over as a plain descriptor.
//!
//! Whoever gets through has power over the guest and files of the host, so the default is always the narrow one: a unix
//! socket is for its user, an abstract one for its user and root, TCP for this machine. The schema's `SocketAccess` opens
//! them further, key by key, and a key that would have no effect on a kind of socket is refused, not ignored. Where the
//! kernel can't tell who a peer is, TLS can: with credentials ([`Objects`], [`tls`]) TCP may leave this machine. A
//! [`tls::Session`] has neither a thread nor a clock, so that it fits the one server as well as the other.

mod access;
mod account;
mod address;
mod error;
mod gate;
pub mod inherited;
mod listener;
mod objects;
mod remote;
mod resolve;
mod socket_file;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub mod tls;

pub use access::Access;
pub use address::{Address, Inet};
pub use listener::Listener;
pub use objects::Objects;
pub use remote::{Attempt, Remote};
