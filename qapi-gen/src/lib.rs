//! A compiler for QEMU's QAPI schema language that emits Rust.
//!
//! One module per stage: [`source`] reads files, the lexer and the parser make expressions of them, [`doc`] reads the
//! documentation comments, `include` follows the directives, `definition` reads each expression by itself, `check`
//! looks at how they fit together, [`schema`] is what comes out. [`generate`](fn@generate) turns it into code,
//! [`introspect`] into what `query-qmp-schema` tells clients, and [`manual`] into a reference manual; `markup` reads the
//! text of the comments for both of them. [`diff`](fn@diff) says what two versions of a schema are to clients.
//!
//! ```no_run
//! let schema = qapi_gen::compile("schema/qapi-schema.json")?;
//! for definition in schema.definitions() {
//!     println!("{}:{}: {definition}", schema.path(definition).display(), definition.span.line);
//! }
//! # Ok::<(), qapi_gen::Errors>(())
//! ```

mod check;
mod compile;
mod definition;
pub mod diagnostic;
pub mod diff;
pub mod doc;
pub mod generate;
mod include;
pub mod introspect;
mod lexer;
#[cfg(feature = "command")]
pub mod manual;
mod markup;
mod name;
mod parser;
mod pragma;
pub mod schema;
pub mod source;
mod suggest;
mod value;

pub use compile::compile;
pub use diagnostic::{Diagnostic, Errors};
pub use diff::diff;
pub use generate::{Conditions, External, Options, generate};
#[cfg(feature = "command")]
pub use manual::Manual;
pub use schema::Schema;
