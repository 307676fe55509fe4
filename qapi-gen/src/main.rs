//! The command `qapi-gen`: checks a QAPI schema, or shows the Rust code that it becomes.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use qapi_gen::{Conditions, compile, generate};

const HELP: &str = "\
Usage: qapi-gen COMMAND

Compiles schemas in QEMU's QAPI schema language.

Commands:
  check FILE...    report what is wrong with the schemas that start with these
                   files; exit status 1 if there is anything
  expand FILE      print the Rust code that include_schema! makes of a schema

Options:
  --all-conditions  expand: take every 'if' condition as true
  -h, --help        print this help
  -V, --version     print the version

Examples:
  qapi-gen check schema/qapi-schema.json
  qapi-gen expand schema/qapi-schema.json | less
";

fn main() -> ExitCode {
    match Invocation::parse(env::args_os().skip(1)).and_then(Invocation::run) {
        Ok(output) => print(&output),
        Err(message) => {
            eprint!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// What the user asked for.
enum Invocation {
    Help,
    Version,
    Check(Vec<PathBuf>),
    Expand(PathBuf, Conditions),
}

impl Invocation {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut conditions = Conditions::Refuse;
        let mut options_end = false;
        for argument in arguments {
            match argument.to_str() {
                Some("--") if !options_end => options_end = true,
                Some("-h" | "--help") if !options_end => return Ok(Self::Help),
                Some("-V" | "--version") if !options_end => return Ok(Self::Version),
                Some("--all-conditions") if !options_end => conditions = Conditions::AllHold,
                Some(option) if !options_end && option.starts_with('-') && option != "-" => {
                    return Err(usage(&format!("unknown option '{option}'")));
                }
                Some(_) | None => words.push(argument),
            }
        }
        let mut words = words.into_iter();
        let command = words.next().ok_or_else(|| usage("a command is missing"))?;
        let files: Vec<PathBuf> = words.map(PathBuf::from).collect();
        match (command.to_str(), files.as_slice()) {
            (Some("check" | "expand"), []) => Err(usage("a file is missing")),
            (Some("check"), _) if conditions == Conditions::AllHold => {
                Err(usage("'--all-conditions' goes with 'expand'"))
            }
            (Some("check"), _) => Ok(Self::Check(files)),
            (Some("expand"), [file]) => Ok(Self::Expand(file.clone(), conditions)),
            (Some("expand"), _) => Err(usage("'expand' takes one file")),
            _ => Err(usage(&format!("unknown command '{}'", command.display()))),
        }
    }

    /// What is to be printed.
    fn run(self) -> Result<String, String> {
        match self {
            Self::Help => Ok(HELP.to_owned()),
            Self::Version => Ok(format!("qapi-gen {}\n", env!("CARGO_PKG_VERSION"))),
            Self::Check(files) => {
                let errors = files.iter().filter_map(|file| compile(file).err());
                let errors: String = errors.map(|errors| errors.to_string()).collect();
                if errors.is_empty() { Ok(errors) } else { Err(errors) }
            }
            Self::Expand(file, conditions) => {
                let schema = compile(file).map_err(|errors| errors.to_string())?;
                let code = generate(&schema, conditions).map_err(|errors| errors.to_string())?;
                let file = syn::parse2(code).map_err(|error| format!("qapi-gen: generated code: {error}\n"))?;
                Ok(prettyplease::unparse(&file))
            }
        }
    }
}

fn usage(message: &str) -> String {
    format!("qapi-gen: {message}\nTry 'qapi-gen --help'.\n")
}

/// A reader that leaves early, as `head` does, is no error.
fn print(output: &str) -> ExitCode {
    match io::stdout().write_all(output.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qapi-gen: {error}");
            ExitCode::FAILURE
        }
    }
}
