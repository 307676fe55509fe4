//! `qapi-gen introspect`: shows what `query-qmp-schema` tells clients of a schema.

use std::path::PathBuf;

use lexopt::Arg;
use qapi_gen::Conditions;
use qapi_gen::introspect::{introspect, json};

use super::{Failure, Output};

/// Prints JSON.
pub fn run(mut parser: lexopt::Parser) -> Result<Output, Failure> {
    let mut files = Vec::new();
    let mut conditions = Conditions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(file) => files.push(PathBuf::from(file)),
            Arg::Long("all-conditions") => conditions = Conditions::AllHold,
            Arg::Short(_) | Arg::Long(_) => return Err(super::not_mine(argument)),
        }
    }
    let schema = qapi_gen::compile(super::one_file("introspect", files)?)?;
    conditions.check(&schema, schema.definitions())?;
    Ok(Output::from(json(&introspect(&schema))))
}
