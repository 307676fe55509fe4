//! A machine's hardware, without a processor: what a guest reaches by loads, stores and port I/O.
//!
//! An access goes down this list, an interrupt comes up again:
//!
//! - [`bus`]: guest memory and the two address spaces; who answers at an address.
//! - [`irq`]: interrupt lines, and the controllers they end at.
//! - [`virtio`]: virtio devices, and the transport virtio-mmio.
//! - [`clock`]: the virtual clock and its timers.

pub mod bus;
pub mod clock;
pub mod irq;
pub mod virtio;

pub use bus::Bus;
pub use clock::{Timer, VirtualClock};
