//! Generated code for every construct of the language: it compiles without warnings and is strict.
#![deny(warnings, missing_docs)]

qapi_gen_macros::include_schema!("tests/schema/main.json");
