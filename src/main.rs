//! The command `whystop`: the daemon, or the demo.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == "demo").is_some() {
        whystop::demo::run(arguments)
    } else {
        whystop::daemon::run(arguments)
    }
}
