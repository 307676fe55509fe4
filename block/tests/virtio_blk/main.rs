//! The virtio-blk device behind rings that are laid out by hand, as a driver does.
#![cfg(not(shuttle))]
#![allow(clippy::expect_used, clippy::panic, reason = "a test panics to say what is wrong")]

mod configuration;
#[path = "../nbd/disk.rs"]
mod disk;
mod driver;
mod held;
mod hostile;
mod lives;
mod malformed;
mod model;
mod notification;
mod requests;
#[path = "../support/mod.rs"]
mod support;
