//! `--daemonize`: the command returns when everything is set up, and the daemon goes on in the background.
//!
//! Forking a process that has threads is not safe, so nothing is forked: the command starts itself again, in a session of
//! its own, and waits for one line on that process's standard output, which says that the sockets listen. An error before
//! it appears on the common standard error, with the exit status of the command.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{chdir, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdout};

/// Tells the process started for the background what it is.
const MARK: &str = "WHYSTOP_IN_BACKGROUND";
const READY: &str = "ready";

/// Starts this command again in the background and waits until it is set up.
///
/// # Errors
/// It could not be started.
pub fn start() -> io::Result<ExitCode> {
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.trim_end() == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// This process, if it is the one in the background.
#[derive(Debug)]
pub struct Background(());

impl Background {
    /// `None` in the foreground.
    pub fn entered() -> Option<Self> {
        env::var_os(MARK).map(|_| {
            // Fails only for the leader of a group, which a child is not.
            let _ = setsid();
            Self(())
        })
    }

    /// Lets the command return. From here on there is no terminal, and the directory is `/`.
    ///
    /// # Errors
    /// There is no `/dev/null`.
    pub fn ready(self) -> io::Result<()> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        chdir("/")?;
        writeln!(io::stdout(), "{READY}")?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        Ok(())
    }
}
