//! `qapi-gen check`: reports what is wrong with schemas.

use super::{Failure, Output};

/// Says nothing about valid schemas.
pub fn run(parser: lexopt::Parser) -> Result<Output, Failure> {
    let files = super::files(parser)?;
    if files.is_empty() {
        return Err(Failure::Usage("a file is missing".to_owned()));
    }
    let errors = files.iter().filter_map(|file| qapi_gen::compile(file).err());
    let errors: String = errors.map(|errors| errors.to_string()).collect();
    if errors.is_empty() { Ok(Output::from(errors)) } else { Err(Failure::Work(errors)) }
}
