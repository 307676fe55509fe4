//! `qapi-gen expand`: shows the Rust code of a schema.

use super::{Failure, Output};

/// Prints formatted code.
pub fn run(parser: lexopt::Parser) -> Result<Output, Failure> {
    let (schema, conditions) = super::schema_and_conditions("expand", parser)?;
    let code = qapi_gen::generate(&schema, &conditions.into())?;
    let file = syn::parse2(code).map_err(|error| Failure::Work(format!("qapi-gen: generated code: {error}\n")))?;
    Ok(Output::from(prettyplease::unparse(&file)))
}
