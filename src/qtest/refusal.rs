//! What is wrong with a command of qtest, and how a client is told.

use std::fmt;
use std::io::Write;

use super::protocol::LONGEST_LINE;

/// How much of a word is repeated when it is refused.
pub(super) const SHOWN: usize = 64;

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// There is no such command.
    Unknown(&'a [u8]),
    /// A word is not there.
    Missing(&'static str),
    /// A word is not a number.
    Number(&'static str, &'a [u8]),
    /// A number is not within these bounds, of which the upper belongs to it.
    Range(&'static str, i64, u64),
    /// A word is no text.
    Text(&'static str, &'a [u8]),
    /// Too few digits to be data.
    Size,
    /// Not hexadecimal data.
    Hex,
    /// Not Base64.
    Base64,
    /// A line is too long.
    Line,
    /// Only under `-accel qtest` there is a clock to move.
    Clock(&'static str),
    /// No timer is armed, or the VM is stopped.
    NoDeadline,
    /// The clock does not go back, or further than it can count.
    NoAdvance,
    /// The clock stands at this time, later than it is to be set to.
    Late(u64),
    /// There is no such device, or it has no pins.
    NoDevice,
    /// Inputs that have a name are not intercepted.
    NamedInputs,
    /// One device at a time is intercepted.
    Intercepted,
    /// The device has no such pins.
    NoPins,
    /// The device has no input of this number.
    NoInput(i32),
    /// The device has no group of inputs of this name.
    NoGroup(&'a str),
    /// There are no modules.
    NoModules,
}

impl Refusal<'_> {
    /// Writes the answer.
    pub fn write(&self, out: &mut Vec<u8>) {
        // As QEMU spells them. Writing to memory cannot fail.
        let _ = writeln!(out, "{} {self}", if *self == Self::Size { "ERR" } else { "FAIL" });
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "Unknown command '{}'", Shown(word)),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::Number(what, word) => write!(f, "{what} '{}' is not a number of 64 bits", Shown(word)),
            Self::Range(what, least, most) => write!(f, "{what} must be from {least} to {most}"),
            Self::Text(what, word) => write!(f, "{what} '{}' is not valid UTF-8", Shown(word)),
            Self::Size => f.write_str("invalid argument size"),
            Self::Hex => f.write_str("DATA must be 0x and an even number of hexadecimal digits"),
            Self::Base64 => f.write_str("DATA is not valid Base64"),
            Self::Line => write!(f, "the line is longer than {LONGEST_LINE} bytes"),
            Self::Clock(command) => write!(f, "Unknown command '{command}'"),
            Self::NoDeadline => {
                f.write_str("cannot advance clock to the next deadline because there is no pending deadline")
            }
            Self::NoAdvance => f.write_str("could not advance time"),
            Self::Late(now) => write!(f, "{now}"),
            Self::NoDevice => f.write_str("Unknown device"),
            Self::NamedInputs => f.write_str("Interception of named in-GPIOs not yet supported"),
            Self::Intercepted => f.write_str("IRQ intercept already enabled"),
            Self::NoPins => f.write_str("No intercepts installed"),
            Self::NoInput(number) => write!(f, "the device has no input {number}"),
            Self::NoGroup(name) => write!(f, "the device has no inputs '{}'", Shown(name.as_bytes())),
            Self::NoModules => f.write_str("there are no modules: everything is built in"),
        }
    }
}

/// A word in a message: printable, and not too long.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.get(..SHOWN).unwrap_or(self.0).escape_ascii())?;
        if self.0.len() > SHOWN { f.write_str("...") } else { Ok(()) }
    }
}
