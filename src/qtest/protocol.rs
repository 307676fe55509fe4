//! The qtest protocol: a line is a command, or there is a [`Refusal`].
//!
//! Words are separated by single spaces, and those that a command has no use for are ignored, as in QEMU. A
//! number is written as in C: decimal, `0x` hexadecimal or `0` octal, with an optional sign; a negative one counts from 2^64.
//! Answers are written into a buffer, each a line:
//!
//! | answer | to |
//! |---|---|
//! | `OK` | what returns nothing |
//! | `OK 0x0000000000000001` | `readb`, `readw`, `readl`, `readq` |
//! | `OK 0x0001` | `inb`, `inw`, `inl` |
//! | `OK 1` | `clock_step`, `clock_set`: the time in nanoseconds |
//! | `OK 0x01`, `OK AQ==` | `read`, `b64read` |
//! | `FAIL why` | what could not be done; QEMU often ends there |
//! | `IRQ raise 1`, `IRQ lower 1` | nothing: a line that is intercepted has changed, before the answer to the command that caused it |

use std::fmt;
use std::io::Write;

use super::refusal::Refusal;

/// How many bytes a command may read or write, but for `memset`.
pub const LONGEST_DATA: u64 = 64 << 20;

/// How many bytes `memset` may fill.
pub const LONGEST_FILL: u64 = 4 << 30;

/// The longest line, without its end: a `write` of the most data, in hexadecimal.
pub const LONGEST_LINE: usize = 2 * LONGEST_DATA as usize + 256;

/// How wide an access is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Word,
    /// 32 bits.
    Long,
    /// 64 bits.
    Quad,
}

impl Width {
    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Word => 2,
            Self::Long => 4,
            Self::Quad => 8,
        }
    }
}

/// How data stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `0x` and two digits for each byte.
    Hex,
    /// Base64 (RFC 4648, section 4).
    Base64,
}

/// Memory from an address on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub address: u64,
    /// How many.
    pub length: u64,
}

/// A command. Those with numbers have them as they were given: what does not fit into an access is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Moves the clock by so many nanoseconds, or to the next timer.
    ClockStep(Option<i64>),
    /// Moves the clock to this time.
    ClockSet(i64),
    /// Writes to a port.
    Out(Width, u16, u32),
    /// Reads from a port.
    In(Width, u16),
    /// Writes to memory.
    Store(Width, u64, u64),
    /// Reads from memory.
    Load(Width, u64),
    /// Reads a range.
    Read(Encoding, Range),
    /// Writes a range. The data is not decoded yet.
    Write(Encoding, Range, &'a [u8]),
    /// Fills a range.
    Fill(Range, u8),
    /// Reports the inputs of a device, those of this name if there is one.
    InterceptIn(&'a str, Option<&'a str>),
    /// Reports the outputs of a device, those of this name if there is one.
    InterceptOut(&'a str, Option<&'a str>),
    /// Sets an input of a device.
    SetInput {
        /// The device.
        path: &'a str,
        /// Its group of inputs; the usual one has no name.
        name: Option<&'a str>,
        /// Which.
        number: i32,
        /// Its level.
        level: i32,
    },
    /// Asks in which order the bytes of a number are.
    Endianness,
    /// Loads a module.
    LoadModule,
}

/// The inputs that have no name are called so.
const UNNAMED: &str = "unnamed-gpio-in";

impl<'a> Command<'a> {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &'a [u8]) -> Result<Self, Refusal<'a>> {
        let mut words = Words(Some(line));
        let name = words.next().unwrap_or_default();
        Ok(match name {
            b"clock_step" => Self::ClockStep(words.next().map(|word| signed("NS", word)).transpose()?),
            b"clock_set" => Self::ClockSet(signed("NS", words.required("NS")?)?),
            b"outb" => words.out(Width::Byte)?,
            b"outw" => words.out(Width::Word)?,
            b"outl" => words.out(Width::Long)?,
            b"inb" => Self::In(Width::Byte, words.port()?),
            b"inw" => Self::In(Width::Word, words.port()?),
            b"inl" => Self::In(Width::Long, words.port()?),
            b"writeb" => words.store(Width::Byte)?,
            b"writew" => words.store(Width::Word)?,
            b"writel" => words.store(Width::Long)?,
            b"writeq" => words.store(Width::Quad)?,
            b"readb" => Self::Load(Width::Byte, words.number("ADDR")?),
            b"readw" => Self::Load(Width::Word, words.number("ADDR")?),
            b"readl" => Self::Load(Width::Long, words.number("ADDR")?),
            b"readq" => Self::Load(Width::Quad, words.number("ADDR")?),
            // An answer without data would be taken for none.
            b"read" => Self::Read(Encoding::Hex, words.range(1, LONGEST_DATA)?),
            b"b64read" => Self::Read(Encoding::Base64, words.range(0, LONGEST_DATA)?),
            b"write" => words.write(Encoding::Hex)?,
            b"b64write" => words.write(Encoding::Base64)?,
            // What does not fit is cut off.
            b"memset" => Self::Fill(words.range(0, LONGEST_FILL)?, words.number("VALUE")? as u8),
            b"irq_intercept_in" => Self::InterceptIn(words.text("PATH")?, words.name()?),
            b"irq_intercept_out" => Self::InterceptOut(words.text("PATH")?, words.name()?),
            b"set_irq_in" => Self::SetInput {
                path: words.text("PATH")?,
                name: Some(words.text("NAME")?).filter(|name| *name != UNNAMED),
                number: words.small("NUM")?,
                level: words.small("LEVEL")?,
            },
            b"endianness" => Self::Endianness,
            b"module_load" => {
                words.required("PREFIX")?;
                words.required("NAME")?;
                Self::LoadModule
            }
            _ => return Err(Refusal::Unknown(name)),
        })
    }
}

/// The words of a line that are left. As in QEMU there is one between any two spaces, and be it empty.
struct Words<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0?;
        let end = memchr::memchr(b' ', line);
        self.0 = end.map(|end| &line[end + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    }
}

impl<'a> Words<'a> {
    fn required(&mut self, what: &'static str) -> Result<&'a [u8], Refusal<'a>> {
        self.next().ok_or(Refusal::Missing(what))
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, Refusal<'a>> {
        text(what, self.required(what)?)
    }

    fn name(&mut self) -> Result<Option<&'a str>, Refusal<'a>> {
        self.next().map(|word| text("NAME", word)).transpose()
    }

    fn number(&mut self, what: &'static str) -> Result<u64, Refusal<'a>> {
        unsigned(what, self.required(what)?)
    }

    fn small(&mut self, what: &'static str) -> Result<i32, Refusal<'a>> {
        let number = signed(what, self.required(what)?)?;
        i32::try_from(number).map_err(|_| Refusal::Range(what, i32::MIN.into(), i32::MAX as u64))
    }

    fn port(&mut self) -> Result<u16, Refusal<'a>> {
        u16::try_from(self.number("ADDR")?).map_err(|_| Refusal::Range("ADDR", 0, u16::MAX.into()))
    }

    /// `least` is 0 or 1.
    fn range(&mut self, least: u64, most: u64) -> Result<Range, Refusal<'a>> {
        let range = Range { address: self.number("ADDR")?, length: self.number("SIZE")? };
        if range.length < least || range.length > most {
            return Err(Refusal::Range("SIZE", least as i64, most));
        }
        Ok(range)
    }

    fn out(&mut self, width: Width) -> Result<Command<'a>, Refusal<'a>> {
        Ok(Command::Out(width, self.port()?, self.number("VALUE")? as u32))
    }

    fn store(&mut self, width: Width) -> Result<Command<'a>, Refusal<'a>> {
        Ok(Command::Store(width, self.number("ADDR")?, self.number("VALUE")?))
    }

    fn write(&mut self, encoding: Encoding) -> Result<Command<'a>, Refusal<'a>> {
        let (range, data) = (self.range(0, LONGEST_DATA)?, self.required("DATA")?);
        if data.len() < 3 {
            return Err(Refusal::Size);
        }
        Ok(Command::Write(encoding, range, data))
    }
}

fn text<'a>(what: &'static str, word: &'a [u8]) -> Result<&'a str, Refusal<'a>> {
    std::str::from_utf8(word).map_err(|_| Refusal::Text(what, word))
}

/// As `strtoull` with base 0 reads it, all of the word.
fn unsigned<'a>(what: &'static str, word: &'a [u8]) -> Result<u64, Refusal<'a>> {
    let (negative, magnitude) = magnitude(word).ok_or(Refusal::Number(what, word))?;
    Ok(if negative { magnitude.wrapping_neg() } else { magnitude })
}

/// As `strtoll` with base 0 reads it, all of the word.
fn signed<'a>(what: &'static str, word: &'a [u8]) -> Result<i64, Refusal<'a>> {
    let (negative, magnitude) = magnitude(word).ok_or(Refusal::Number(what, word))?;
    let signed = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    signed.ok_or(Refusal::Range(what, i64::MIN, i64::MAX as u64))
}

/// Whether a number is negative, and how large without its sign.
fn magnitude(word: &[u8]) -> Option<(bool, u64)> {
    let (negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', digits @ ..] => (16, digits),
        [b'0', _, ..] => (8, digits),
        digits => (10, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let add = |number: u64, digit: &u8| {
        let digit = char::from(*digit).to_digit(base)?;
        number.checked_mul(base.into())?.checked_add(digit.into())
    };
    Some((negative, digits.iter().try_fold(0, add)?))
}

/// Writes `OK` and what follows it.
pub fn write_ok(out: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = writeln!(out, "OK {value}");
}

/// Writes that an input has changed its level.
pub fn write_irq(out: &mut Vec<u8>, input: u32, high: bool) {
    // Writing to memory cannot fail.
    let _ = writeln!(out, "IRQ {} {input}", if high { "raise" } else { "lower" });
}

/// Writes bytes as hexadecimal digits.
pub fn write_hex(out: &mut Vec<u8>, data: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS[usize::from(value & 15)];
    out.extend(data.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
}

/// Appends the bytes that hexadecimal data stands for.
///
/// # Errors
/// It is something else.
pub fn read_hex<'a>(word: &'a [u8], out: &mut Vec<u8>) -> Result<(), Refusal<'a>> {
    let digits = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X")).ok_or(Refusal::Hex)?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Refusal::Hex);
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(Refusal::Hex);
    for &[high, low] in pairs {
        // Two digits are a byte.
        out.push((digit(high)? << 4 | digit(low)?) as u8);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qtest::refusal::SHOWN;
    use proptest::prelude::*;

    fn refused(line: &[u8]) -> String {
        let refusal = Command::parse(line).expect_err("refused");
        let mut out = Vec::new();
        refusal.write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn every_command_is_read() {
        let range = Range { address: 16, length: 4 };
        for (line, command) in [
            ("clock_step", Command::ClockStep(None)),
            ("clock_step 0x10", Command::ClockStep(Some(16))),
            ("clock_step -5", Command::ClockStep(Some(-5))),
            ("clock_set 1000", Command::ClockSet(1000)),
            ("outb 0x505 1", Command::Out(Width::Byte, 0x505, 1)),
            ("outw 1 0x12345", Command::Out(Width::Word, 1, 0x12345)),
            ("outl 0xffff -1", Command::Out(Width::Long, 0xffff, u32::MAX)),
            ("inb 0", Command::In(Width::Byte, 0)),
            ("inw 0", Command::In(Width::Word, 0)),
            ("inl 0", Command::In(Width::Long, 0)),
            ("writeb 1 2", Command::Store(Width::Byte, 1, 2)),
            ("writew 1 2", Command::Store(Width::Word, 1, 2)),
            ("writel 1 2", Command::Store(Width::Long, 1, 2)),
            ("writeq 1 0xffffffffffffffff", Command::Store(Width::Quad, 1, u64::MAX)),
            ("readb 1", Command::Load(Width::Byte, 1)),
            ("readw 1", Command::Load(Width::Word, 1)),
            ("readl 1", Command::Load(Width::Long, 1)),
            ("readq 1", Command::Load(Width::Quad, 1)),
            ("read 0x10 4", Command::Read(Encoding::Hex, range)),
            ("b64read 0x10 4", Command::Read(Encoding::Base64, range)),
            ("write 0x10 4 0x00", Command::Write(Encoding::Hex, range, b"0x00")),
            ("b64write 0x10 4 AAAA", Command::Write(Encoding::Base64, range, b"AAAA")),
            ("memset 020 04 0x1ff", Command::Fill(range, 0xff)),
            ("irq_intercept_in ioapic", Command::InterceptIn("ioapic", None)),
            ("irq_intercept_out /machine/x n", Command::InterceptOut("/machine/x", Some("n"))),
            (
                "set_irq_in ioapic unnamed-gpio-in 5 1",
                Command::SetInput { path: "ioapic", name: None, number: 5, level: 1 },
            ),
            ("set_irq_in d n -1 -2", Command::SetInput { path: "d", name: Some("n"), number: -1, level: -2 }),
            ("endianness", Command::Endianness),
            ("module_load accel- qtest", Command::LoadModule),
            ("endianness  ", Command::Endianness),
            ("endianness x", Command::Endianness),
            ("readb 1 2 3", Command::Load(Width::Byte, 1)),
            ("clock_step 1 2", Command::ClockStep(Some(1))),
            ("irq_intercept_out d n x", Command::InterceptOut("d", Some("n"))),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, answer) in [
            ("", "FAIL Unknown command ''"),
            ("frob 1", "FAIL Unknown command 'frob'"),
            (" endianness", "FAIL Unknown command ''"),
            ("\tendianness", "FAIL Unknown command '\\tendianness'"),
            ("endianness\r", "FAIL Unknown command 'endianness\\r'"),
            ("readb", "FAIL ADDR is missing"),
            ("readb  1", "FAIL ADDR '' is not a number of 64 bits"),
            ("readb 1\r", "FAIL ADDR '1\\r' is not a number of 64 bits"),
            ("writel 0", "FAIL VALUE is missing"),
            ("readb 0x", "FAIL ADDR '0x' is not a number of 64 bits"),
            ("readb 08", "FAIL ADDR '08' is not a number of 64 bits"),
            ("readb 1x", "FAIL ADDR '1x' is not a number of 64 bits"),
            ("readb -", "FAIL ADDR '-' is not a number of 64 bits"),
            ("readb 0x10000000000000000", "FAIL ADDR '0x10000000000000000' is not a number of 64 bits"),
            ("inb 65536", "FAIL ADDR must be from 0 to 65535"),
            ("read 0 0", "FAIL SIZE must be from 1 to 67108864"),
            ("b64read 0 0xffffffffffffffff", "FAIL SIZE must be from 0 to 67108864"),
            ("memset 0 -1 0", "FAIL SIZE must be from 0 to 4294967296"),
            ("write 0 4 0x", "ERR invalid argument size"),
            ("set_irq_in d n 0x80000000 1", "FAIL NUM must be from -2147483648 to 2147483647"),
            ("clock_step 0x8000000000000000", "FAIL NS must be from -9223372036854775808 to 9223372036854775807"),
            ("clock_set", "FAIL NS is missing"),
            ("module_load accel-", "FAIL NAME is missing"),
        ] {
            assert_eq!(refused(line.as_bytes()), format!("{answer}\n"), "{line}");
        }
        assert_eq!(refused(b"irq_intercept_in \xff"), "FAIL PATH '\\xff' is not valid UTF-8\n");
    }

    #[test]
    fn a_word_is_repeated_only_in_part() {
        assert_eq!(refused(&[b'x'; 1 << 20]), format!("FAIL Unknown command '{}...'\n", "x".repeat(SHOWN)));
    }

    #[test]
    fn numbers_are_as_in_c() {
        for (word, number) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("+7", Some(7)),
            ("010", Some(8)),
            ("0X1f", Some(31)),
            ("-1", Some(u64::MAX)),
            ("-18446744073709551615", Some(1)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-18446744073709551616", None),
            ("--1", None),
            ("0x-1", None),
            ("0b1", None),
            ("+", None),
        ] {
            assert_eq!(unsigned("N", word.as_bytes()).ok(), number, "{word}");
        }
        assert_eq!(signed("N", b"-9223372036854775808"), Ok(i64::MIN));
        assert!(signed("N", b"9223372036854775808").is_err());
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_are_printed(number: u64, negative: i64) {
            for word in [format!("{number}"), format!("{number:#x}"), format!("0{number:o}")] {
                prop_assert_eq!(unsigned("N", word.as_bytes()), Ok(number));
            }
            let word = negative.to_string();
            prop_assert_eq!(signed("N", word.as_bytes()), Ok(negative));
        }

        #[test]
        fn hexadecimal_data_is_read_as_it_is_written(data: Vec<u8>) {
            let (mut word, mut again) = (b"0x".to_vec(), Vec::new());
            write_hex(&mut word, &data);
            prop_assert_eq!(read_hex(&word, &mut again), Ok(()));
            prop_assert_eq!(&again, &data);
            word.push(b'0');
            prop_assert!(read_hex(&word, &mut again).is_err());
        }
    }
}
