//! A server with a small machine behind it, and clients on real sockets. Nothing here waits for time to pass: what a
//! test waits for, it reads.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod client;
mod endpoints;
mod events;
mod machine;
mod many_clients;
mod out_of_band;
mod sessions;
mod shutdown;
mod slow_clients;
mod stdio;
