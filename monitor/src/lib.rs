//! The QMP server: a byte stream becomes requests, requests become replies, and events go out to every session.
//!
//! ```text
//!   transport --> connection --> session (json, request) --> dispatcher --> the command, here or on a worker
//!       ^                            |                           |
//!       +---------- outbox <---------+----------(response)-------+
//!                     ^
//!                     +--- broadcaster (throttle) <--- whoever emits an event
//! ```
//!
//! A person has `hmp` between connection and session: an editor of lines, which become commands.
//!
//! `json`, `session`, `outbox` and `throttle` hold no I/O and no clock. Around them one thread, the event loop, serves
//! every client; `mailbox` is how other threads reach it. [`Server`] is what a program sees of it all.

mod broadcaster;
mod connection;
pub mod control;
pub mod dispatcher;
pub mod event;
mod event_clock;
mod event_loop;
mod greeting;
mod hmp;
pub mod json;
#[cfg(all(test, feature = "tls"))]
#[path = "../../tests/support/log.rs"]
mod log;
pub mod mailbox;
pub mod misc;
mod options;
pub mod outbox;
mod preconfig;
mod pretty;
mod request;
mod response;
mod server;
mod session;
mod sync;
pub mod throttle;
mod transport;
mod workers;

pub use broadcaster::Broadcaster;
pub use event_clock::EventClock;
pub use greeting::Version;
pub use options::{Mode, Options};
pub use preconfig::Preconfig;
pub use request::Request;
pub use response::Response;
pub use server::{Handle, Server};
pub use session::{Session, Step};
pub use sockets::{Access, Address};
