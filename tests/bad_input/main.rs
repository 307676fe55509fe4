//! Input that makes no sense, on the command line and on every socket: each gets a clear error, and the daemon goes on.

#![allow(clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod command_line;
mod machine_options;
mod nbd;
mod qmp;
