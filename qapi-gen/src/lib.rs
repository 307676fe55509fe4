//! A compiler for QEMU's QAPI schema language that emits Rust.
//!
//! One module per stage: [`source`] reads files, [`lexer`] and [`parser`] make expressions of them, [`doc`] reads the
//! documentation comments, [`include`] follows the directives.

pub mod diagnostic;
pub mod doc;
pub mod include;
pub mod lexer;
pub mod parser;
pub mod pragma;
pub mod source;
pub mod value;

pub use diagnostic::{Diagnostic, Errors};
