//! The command `whystop`.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    whystop::daemon::run(env::args_os().skip(1))
}
