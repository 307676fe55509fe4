//! What the commands of `qapi-gen` have in common: one file each, from the arguments to what is printed.

pub mod check;
pub mod diff;
pub mod doc;
pub mod expand;
pub mod introspect;

use std::path::PathBuf;

use lexopt::{Arg, Parser};
use qapi_gen::{Conditions, Errors, Schema};

/// What a command prints on standard output, and its exit status.
pub struct Output {
    /// The text.
    pub text: String,
    /// 0, or 1 where the text is bad news.
    pub status: u8,
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self { text, status: 0 }
    }
}

/// Why a command does not do what it is for.
pub enum Failure {
    /// The help was asked for.
    Help,
    /// The version was asked for.
    Version,
    /// The arguments make no sense.
    Usage(String),
    /// The work failed. The text is for standard error as it is.
    Work(String),
    /// The failure of a command that gives a verdict by exit status 1.
    NoVerdict(Box<Failure>),
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Self {
        Self::Work(errors.to_string())
    }
}

/// What an argument means that the command itself does not take.
pub fn not_mine(argument: Arg<'_>) -> Failure {
    match argument {
        Arg::Short('h') | Arg::Long("help") => Failure::Help,
        Arg::Short('V') | Arg::Long("version") => Failure::Version,
        Arg::Short(option) => Failure::Usage(format!("unknown option '-{option}'")),
        Arg::Long(option) => Failure::Usage(format!("unknown option '--{option}'")),
        Arg::Value(value) => Failure::Usage(format!("unexpected argument '{}'", value.display())),
    }
}

/// The files that a command takes, and nothing else.
pub fn files(mut parser: Parser) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(file) => files.push(PathBuf::from(file)),
            Arg::Short(_) | Arg::Long(_) => return Err(not_mine(argument)),
        }
    }
    Ok(files)
}

/// The schema that a command takes, and what is said of its conditions.
pub fn schema_and_conditions(command: &str, mut parser: Parser) -> Result<(Schema, Conditions), Failure> {
    let mut files = Vec::new();
    let mut conditions = Conditions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(file) => files.push(PathBuf::from(file)),
            Arg::Long("all-conditions") => conditions = Conditions::AllHold,
            Arg::Short(_) | Arg::Long(_) => return Err(not_mine(argument)),
        }
    }
    let schema = qapi_gen::compile(one_file(command, files)?)?;
    Ok((schema, conditions))
}

/// The one file that a command takes.
pub fn one_file(command: &str, files: Vec<PathBuf>) -> Result<PathBuf, Failure> {
    let mut files = files.into_iter();
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        (None, _) => Err(Failure::Usage("a file is missing".to_owned())),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("'{command}' takes one file"))),
    }
}
