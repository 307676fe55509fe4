//! The drivers and the graph against real files, file systems, devices and QEMU's own programs.
#![allow(clippy::expect_used, clippy::panic, reason = "a test panics to say what is wrong")]

mod commands;
mod direct;
mod file;
mod graph;
mod graph_images;
mod host;
mod host_device;
mod locking;
mod model;
mod quota;
