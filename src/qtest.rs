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

use qapi_schema::Error;

use crate::keyval::Argument;

/// The accelerators, for `-accel help`.
pub const ACCELERATORS: &[&str] = &["qtest"];

/// Reads what `-accel` takes: `qtest`, which lets the client of qtest move the clock.
///
/// # Errors
/// It is another accelerator: there is no processor to run.
pub fn parse_accelerator(text: &str) -> Result<(), Error> {
    Argument::parse(text, Some("accel"))?.read(|members| match members.required::<String>("accel")?.as_str() {
        "qtest" => Ok(()),
        other => {
            Err(Error::generic(format!("invalid accelerator {other}: there is no processor, only 'qtest' is known")))
        }
    })
}
