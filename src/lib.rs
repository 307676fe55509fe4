//! whystop as a program and as a whole machine to embed.

pub mod chardev;
pub mod command_line;
pub mod keyval;
