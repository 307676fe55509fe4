//! The graph and its drivers.
#![allow(clippy::expect_used, clippy::panic, reason = "a test panics to say what is wrong")]

mod commands;
mod graph;
