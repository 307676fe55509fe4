//! Scenes with a machine: lines of the qtest protocol, and guests that drive its disks.

use std::path::Path;
use std::sync::Arc;

use crate::support::board::Board;
use crate::support::daemon::{Daemon, whystop};
use crate::support::emulator::Emulator;
use crate::support::qmp::QmpClient;
use crate::support::qtest::{Irq, Qtest};
use crate::support::virtio_blk::memory::GuestMemory;
use crate::support::virtio_blk::{Options, VirtioBlk, Wait};

/// What the test does to the hardware, or is told by it.
#[derive(Debug, PartialEq)]
pub enum QtestAction {
    /// Sends a line, and expects this answer.
    Ask(String, Answer),
    /// Expects the next change of an intercepted interrupt.
    Change(Irq),
}

/// What is expected of an answer.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// `OK`, whatever value comes with it.
    Ok,
    /// `OK VALUE`.
    Value(String),
    /// `FAIL REASON`.
    Fail(String),
}

impl QtestAction {
    /// Reads what follows `qtest:`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let change = |input: &str, high| {
            let input = input.parse().map_err(|error| format!("{input}: {error}"))?;
            Ok(Self::Change(Irq { input, high }))
        };
        match text.split_once(' ') {
            Some(("raise", input)) => return change(input, true),
            Some(("lower", input)) => return change(input, false),
            Some(_) => {}
            None if text.is_empty() => return Err("expected a line of the qtest protocol".into()),
            None => {}
        }
        if let Some((line, value)) = text.split_once(" = ") {
            return Ok(Self::Ask(line.into(), Answer::Value(value.into())));
        }
        if let Some((line, reason)) = text.split_once(" ! ") {
            return Ok(Self::Ask(line.into(), Answer::Fail(reason.into())));
        }
        Ok(Self::Ask(text.into(), Answer::Ok))
    }
}

/// The hardware of a scene.
pub struct Machine {
    qtest: Arc<Qtest>,
    board: Board,
    /// What the drivers share.
    memory: Arc<GuestMemory>,
}

impl Machine {
    /// Starts a daemon that is a machine. Its first monitor is the one that it brings along.
    pub fn start(directory: tempfile::TempDir, options: &[String]) -> Result<(Daemon, QmpClient, Self), String> {
        let options = [&services(directory.path())[..], options].concat();
        let is_virt = options.iter().any(|option| option == "virt" || option.starts_with("virt,"));
        let board = if is_virt { Board::virt() } else { Board::microvm() };
        let Emulator { mut daemon, qtest, qmp } = Emulator::start_with(whystop(), directory, &options, "qtest")?;
        daemon.await_greeting()?;
        let memory = GuestMemory::new(board.ram.clone());
        Ok((daemon, qmp, Self { qtest, board, memory }))
    }

    /// Does, or expects, this.
    pub fn play(&self, action: &QtestAction) -> Result<(), String> {
        let (line, expected) = match action {
            QtestAction::Ask(line, Answer::Ok) => return self.qtest.ask(line).map(drop),
            QtestAction::Ask(line, Answer::Value(value)) => (line, format!("OK {value}")),
            QtestAction::Ask(line, Answer::Fail(reason)) => (line, format!("FAIL {reason}")),
            QtestAction::Change(expected) => {
                let change = self.qtest.change().map_err(|error| error.to_string())?;
                let outcome = if change == *expected { Ok(()) } else { Err(format!("{change:?}")) };
                return outcome.map_err(|change| format!("not what was expected\n  - {expected:?}\n  + {change}"));
            }
        };
        let answer = self.qtest.exchange(line.as_bytes()).map_err(|error| error.to_string())?;
        let matches = match expected.strip_suffix("...") {
            Some(start) => answer.starts_with(start),
            None => answer == expected,
        };
        if matches { Ok(()) } else { Err(format!("not what was expected\n  - {expected}\n  + {answer}")) }
    }

    /// Takes a disk into service: that which was added after so many others.
    pub fn drive(&self, number: usize) -> Result<VirtioBlk, String> {
        let mut disks = self.board.disks(&self.qtest)?;
        if number >= disks.len() {
            return Err(format!("the machine has {} disks", disks.len()));
        }
        // Looking does not move the virtual time, which belongs to the script.
        let options = Options { wait: Wait::Look, ..Options::default() };
        VirtioBlk::start(disks.remove(number), &self.memory, options)
    }

    /// A change of an interrupt that the script does not mention.
    pub fn unmentioned(&self) -> Option<Irq> {
        self.qtest.told_change()
    }
}

/// What every daemon of a scene has: a monitor and an NBD server for whoever else comes.
fn services(directory: &Path) -> Vec<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let chardev = format!("socket,id=qmp,path={},server=on,wait=off", path("qmp.sock"));
    let nbd = format!("addr.type=unix,addr.path={}", path("nbd.sock"));
    ["--nbd-server", &nbd, "--chardev", &chardev, "--monitor", "qmp"].map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_expected_of_its_answer() {
        let ask = |line: &str, answer| Ok(QtestAction::Ask(line.into(), answer));
        assert_eq!(QtestAction::parse("outb 0x505 1"), ask("outb 0x505 1", Answer::Ok));
        assert_eq!(QtestAction::parse("inb 0x505 = 0x0007"), ask("inb 0x505", Answer::Value("0x0007".into())));
        assert_eq!(QtestAction::parse("no ! Unknown..."), ask("no", Answer::Fail("Unknown...".into())));
        assert_eq!(QtestAction::parse("endianness"), ask("endianness", Answer::Ok));
        assert_eq!(QtestAction::parse("raise 9"), Ok(QtestAction::Change(Irq { input: 9, high: true })));
        assert_eq!(QtestAction::parse("lower 9"), Ok(QtestAction::Change(Irq { input: 9, high: false })));
        assert!(QtestAction::parse("raise it").is_err());
        assert!(QtestAction::parse("").is_err());
    }
}
