//! `qapi-gen check`: reports what is wrong with schemas.

use std::path::PathBuf;

use lexopt::Arg;

use super::{Failure, Output};

/// Says nothing about valid schemas.
pub fn run(mut parser: lexopt::Parser) -> Result<Output, Failure> {
    let mut files = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(file) => files.push(PathBuf::from(file)),
            Arg::Short(_) | Arg::Long(_) => return Err(super::not_mine(argument)),
        }
    }
    if files.is_empty() {
        return Err(Failure::Usage("a file is missing".to_owned()));
    }
    let errors = files.iter().filter_map(|file| qapi_gen::compile(file).err());
    let errors: String = errors.map(|errors| errors.to_string()).collect();
    if errors.is_empty() { Ok(Output::from(errors)) } else { Err(Failure::Work(errors)) }
}
