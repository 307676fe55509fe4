//! The command `qapi-gen`: everything that can be done with a QAPI schema without compiling a crate.

mod command;

use std::io::{self, Write};
use std::process::ExitCode;

use command::{Failure, Output};
use lexopt::Arg;

const HELP: &str = "\
Usage: qapi-gen COMMAND

Compiles schemas in QEMU's QAPI schema language.

Commands:
  check FILE...    report what is wrong with the schemas that start with these
                   files; exit status 1 if there is anything
  diff OLD NEW     list what changes on the wire for clients of a schema; exit
                   status 1 if a change breaks them, 2 if there is no telling
  doc FILE --format html|md -o DIR
                   write the reference manual of a schema, made from its
                   documentation comments, to DIR/qmp-ref.html or .md
  expand FILE      print the Rust code that include_schema! makes of a schema
  introspect FILE  print what query-qmp-schema tells clients of a schema, as
                   JSON

A FILE is a regular file, /dev/stdin or /dev/fd/NUMBER, as a shell makes of
<(command). Files that it includes are looked for next to it.

Options:
  --all-conditions  expand, introspect: take every 'if' condition as true
  --format html|md  doc: the format of the manual
  -o, --output DIR  doc: the directory for the manual, created if need be
  --title TITLE     doc: what the manual is called
  -h, --help        print this help
  -V, --version     print the version

Examples:
  qapi-gen check schema/qapi-schema.json
  qapi-gen expand schema/qapi-schema.json | less
  qapi-gen introspect --all-conditions schema/qapi-schema.json | jq length
  qapi-gen diff released/qapi-schema.json schema/qapi-schema.json
  qapi-gen doc schema/qapi-schema.json --format html -o docs
";

fn main() -> ExitCode {
    match run(lexopt::Parser::from_env()) {
        Ok(output) => print(&output),
        Err(failure) => fail(failure),
    }
}

fn fail(failure: Failure) -> ExitCode {
    match failure {
        Failure::Help => print(&Output::from(HELP.to_owned())),
        Failure::Version => print(&Output::from(format!("qapi-gen {}\n", env!("CARGO_PKG_VERSION")))),
        Failure::Usage(message) => {
            eprint!("qapi-gen: {message}\nTry 'qapi-gen --help'.\n");
            ExitCode::FAILURE
        }
        Failure::Work(message) => {
            eprint!("{message}");
            ExitCode::FAILURE
        }
        Failure::NoVerdict(failure) => {
            fail(*failure);
            ExitCode::from(2)
        }
    }
}

fn run(mut parser: lexopt::Parser) -> Result<Output, Failure> {
    let Some(argument) = parser.next()? else {
        return Err(Failure::Usage("a command is missing".to_owned()));
    };
    let Arg::Value(name) = argument else {
        return Err(command::not_mine(argument));
    };
    match name.to_str() {
        Some("check") => command::check::run(parser),
        Some("diff") => command::diff::run(parser),
        Some("doc") => command::doc::run(parser),
        Some("expand") => command::expand::run(parser),
        Some("introspect") => command::introspect::run(parser),
        Some(_) | None => Err(Failure::Usage(format!("unknown command '{}'", name.display()))),
    }
}

/// A reader that leaves early, as `head` does, is no error.
fn print(output: &Output) -> ExitCode {
    let done = ExitCode::from(output.status);
    match io::stdout().write_all(output.text.as_bytes()) {
        Ok(()) => done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => done,
        Err(error) => {
            eprintln!("qapi-gen: {error}");
            ExitCode::FAILURE
        }
    }
}
