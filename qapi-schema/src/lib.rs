//! The contract between the subsystems and their clients: the QAPI schema compiled to Rust, and the few traits its
//! code needs at run time.
//!
//! `schema/*.json` becomes one module per file with its types, its events and a `Commands` trait; the crate that owns
//! the file implements the trait next to the state the commands act on. Requests come down through a
//! [`CommandTable`], events go up through an [`EventSink`].

extern crate self as qapi_schema;

mod client;
mod command;
mod error;
mod event;
mod generated;
mod identifier;
pub mod introspection;
mod qtype;
mod visit;
mod wire;

pub use client::Client;
pub use command::{Arguments, Command, CommandOptions, CommandTable, Reply};
pub use error::{Error, ErrorClass};
pub use event::{Event, EventSink};
pub use identifier::check_identifier;
pub use introspection::Introspection;
pub use qapi_gen_macros::include_schema;
pub use qtype::QType;
pub use visit::{Dialect, FromMembers, FromValue, Members, SerializeMembers, Visitor};
pub use wire::{Empty, Wire, is_noncharacter};
// Generated code names them through this crate, so that it needs no other.
#[doc(hidden)]
pub use {serde, serde_json};

include_schema!("schema/qapi-schema.json");
