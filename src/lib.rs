//! whystop as a program and as a whole machine to embed: [`machine`] does all the wiring, [`daemon`] carries out a command
//! line on it, [`demo`] tells the story.

pub mod background;
pub mod chardev;
pub mod command_line;
pub mod commands;
pub mod daemon;
pub mod demo;
mod device_help;
mod drive_options;
mod event_clock;
pub mod identity;
pub mod inherited;
pub mod keyval;
pub mod machine;
pub mod machine_options;
pub mod monitor_options;
pub mod notify;
pub mod objects;
pub mod pidfile;
pub mod qom;
pub mod qtest;
mod trace;

pub use machine::{Machine, Running};
