//! `qapi-gen expand`: shows the Rust code of a schema.

use std::path::PathBuf;

use lexopt::Arg;
use qapi_gen::Conditions;

use super::{Failure, Output};

/// Prints formatted code.
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
    let schema = qapi_gen::compile(super::one_file("expand", files)?)?;
    let code = qapi_gen::generate(&schema, &conditions.into())?;
    let file = syn::parse2(code).map_err(|error| Failure::Work(format!("qapi-gen: generated code: {error}\n")))?;
    Ok(Output::from(prettyplease::unparse(&file)))
}
