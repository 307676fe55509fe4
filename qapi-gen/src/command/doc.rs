//! `qapi-gen doc`: writes the reference manual of a schema.

use std::fs;
use std::path::PathBuf;

use lexopt::{Arg, ValueExt};
use qapi_gen::Manual;

use super::{Failure, Output};

#[derive(Clone, Copy)]
enum Format {
    Html,
    Markdown,
}

/// Writes the manual into a directory, and prints the name of the file.
pub fn run(mut parser: lexopt::Parser) -> Result<Output, Failure> {
    let mut files = Vec::new();
    let (mut format, mut directory) = (None, None);
    let mut title = "QMP Reference Manual".to_owned();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(file) => files.push(PathBuf::from(file)),
            Arg::Long("format") => format = Some(self::format(&parser.value()?.string()?)?),
            Arg::Short('o') | Arg::Long("output") => directory = Some(PathBuf::from(parser.value()?)),
            Arg::Long("title") => title = parser.value()?.string()?,
            Arg::Short(_) | Arg::Long(_) => return Err(super::not_mine(argument)),
        }
    }
    let file = super::one_file("doc", files)?;
    let format = format.ok_or_else(|| Failure::Usage("'doc' needs '--format html' or '--format md'".to_owned()))?;
    let directory = directory.ok_or_else(|| Failure::Usage("'doc' needs '-o DIR'".to_owned()))?;
    let schema = qapi_gen::compile(file)?;
    let manual = Manual::new(&schema, &title);
    let (name, text) = match format {
        Format::Html => ("qmp-ref.html", manual.html()),
        Format::Markdown => ("qmp-ref.md", manual.markdown()),
    };
    let path = directory.join(name);
    let written = fs::create_dir_all(&directory).map_err(|error| (&directory, error));
    let written = written.and_then(|()| fs::write(&path, text).map_err(|error| (&path, error)));
    written.map_err(|(path, error)| Failure::Work(format!("qapi-gen: can't write '{}': {error}\n", path.display())))?;
    Ok(Output::from(format!("{}\n", path.display())))
}

fn format(name: &str) -> Result<Format, Failure> {
    match name {
        "html" => Ok(Format::Html),
        "md" => Ok(Format::Markdown),
        _ => Err(Failure::Usage(format!("unknown format '{name}': it is 'html' or 'md'"))),
    }
}
