//! A machine's hardware, without a processor: what a guest reaches by loads, stores and port I/O.
//!
//! ```text
//!   qtest, or a vCPU's exit                        Interceptor: qtest, or an injection
//!             |                                                  ^
//!             v                                                  |
//!            Bus --> RAM                                  irq::Controller
//!             |                                                  ^
//!             +--> power, pvpanic, ib700 <-- clock               | irq::Line, of power, too
//!             |          |                                       |
//!             |          +--> vl::Vm: events, actions, stops     |
//!             |                                                  |
//!             +--> virtio::mmio, a slot -------------------------+
//!                        |        ^
//!                        v        | used, broken, config changed
//!                  a VirtioDevice, such as block::virtio_blk
//! ```
//!
//! - [`board`]: which machines there are, and one of them built; devices come and go.
//! - [`bus`]: guest memory and the two address spaces; who answers at an address.
//! - [`irq`]: interrupt lines, and the controllers they end at.
//! - [`virtio`]: virtio devices, and the transport virtio-mmio.
//! - [`power`], [`pvpanic`], [`ib700`]: what a guest says of itself, and what watches it.
//! - [`memory_backend`]: RAM that is set aside under a name.
//! - [`clock`]: the virtual clock and its timers.
//!
//! What clients see of it: [`types`] of objects, [`device`]s with their properties, and the tree of objects, [`qom`].
//! What is at which address is in `docs/machine.md`, and `examples/machine.rs` embeds a board.

pub mod board;
pub mod bus;
pub mod clock;
mod commands;
pub mod device;
pub mod ib700;
pub mod irq;
pub mod memory_backend;
pub mod power;
pub mod pvpanic;
pub mod qom;
pub mod types;
pub mod virtio;

pub use board::{Board, BoardKind, BoardOptions};
pub use bus::Bus;
pub use clock::{Timer, VirtualClock};
