//! The machine beside QEMU's: the same lines of the qtest protocol to both, and the same answers.
//!
//! An answer with `OK` is compared as it stands, with the interrupts before it; of a refusal only that it is one. Where
//! the reference aborts, ours refuses and lives. The inputs are tables: `lines` for the protocol, `devices` for registers.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod compare;
mod devices;
mod driver;
mod lines;
