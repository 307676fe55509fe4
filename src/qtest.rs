//! qtest: a test in place of the processor. It reads and writes the machine's memory and ports, hears of interrupts, and
//! moves the clock; QEMU's test programs speak it.
//!
//! ```text
//!   server --> lines --> protocol --> session --> the machine's buses, clock and interrupt controllers
//!      ^                                 |                       |
//!      +----------- outbox <--(answer)---+----(IRQ raise 5)------+
//! ```
//!
//! `lines`, `protocol` and `session` hold no I/O. A thread reads commands and writes their answers, another writes what
//! happens between commands; devices never wait for either.

pub mod lines;
mod log;
mod outbox;
pub mod protocol;
pub mod refusal;
mod server;
pub mod session;

pub use log::Log;
pub use server::{Endpoint, Handle, serve};
pub use session::{Session, Target};

/// The accelerators, for `-accel help`.
pub const ACCELERATORS: &[&str] = &["qtest"];
