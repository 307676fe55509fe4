//! A terminal that passes keys on as they are typed, and leaves drawing to the monitor.

use std::io::{IsTerminal, stdin};

use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal on standard input in raw mode. Dropping it makes the terminal what it was.
#[derive(Debug)]
pub(crate) struct RawMode(Termios);

impl RawMode {
    /// `None` if standard input is no terminal. Keys that send signals go on to do so.
    pub(crate) fn enter() -> Option<Self> {
        if !stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.input_modes -=
            InputModes::ISTRIP | InputModes::INLCR | InputModes::IGNCR | InputModes::ICRNL | InputModes::IXON;
        raw.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::IEXTEN;
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
