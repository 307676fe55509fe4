//! `qapi-gen introspect`: shows what `query-qmp-schema` tells clients of a schema.

use qapi_gen::introspect::{introspect, json};

use super::{Failure, Output};

/// Prints JSON.
pub fn run(parser: lexopt::Parser) -> Result<Output, Failure> {
    let (schema, conditions) = super::schema_and_conditions("introspect", parser)?;
    conditions.check(&schema, schema.definitions())?;
    Ok(Output::from(json(&introspect(&schema))))
}
