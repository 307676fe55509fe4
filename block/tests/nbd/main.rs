//! The NBD server as its clients see it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics to say what is wrong")]

mod bounds;
mod disk;
mod exports;
mod garbage;
mod lifetime;
mod machine;
mod peers;
mod server;
mod session;
