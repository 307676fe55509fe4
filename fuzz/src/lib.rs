//! What must hold whatever the input: one function per target, which panics if it does not.
//!
//! `fuzz_targets` lets cargo-fuzz look for such an input; `tests/fuzz_corpus.rs` of the main workspace compiles this file
//! once more and plays every input of `corpus`.

mod board;
mod command_line;
mod json_stream;
mod nbd_handshake;
mod nbd_transmission;
mod qapi_schema;
mod qmp_session;
mod qtest;
mod virtio_blk;

pub use command_line::command_line;
pub use json_stream::json_stream;
pub use nbd_handshake::nbd_handshake;
pub use nbd_transmission::nbd_transmission;
pub use qapi_schema::qapi_schema;
pub use qmp_session::qmp_session;
pub use qtest::qtest;
pub use virtio_blk::virtio_blk;
