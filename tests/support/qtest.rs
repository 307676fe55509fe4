//! A client of the qtest protocol: memory, ports, interrupts and the clock of a machine, a line at a time.
//!
//! Lines about intercepted interrupts may come at any time; they are kept apart from the answers.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use super::DEADLINE;
use super::qmp::NoMessage;

/// A connection to a machine. All of its parts may be used at once: each exchange is a whole one.
pub struct Qtest(Mutex<Connection>);

struct Connection {
    stream: UnixStream,
    /// Bytes of a line that is not complete.
    partial: Vec<u8>,
    /// Changes that nobody has asked for, oldest first.
    changes: VecDeque<Irq>,
    levels: HashMap<u32, bool>,
}

/// An intercepted interrupt input that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Irq {
    /// Which input.
    pub input: u32,
    /// Its level now.
    pub high: bool,
}

/// Accesses of one width: the address, and the value, in decimal or hexadecimal, as the protocol has them.
macro_rules! accesses {
    ($($write:ident $read:ident($address:ty, $value:ty);)*) => {
        $(
            #[doc = concat!("`", stringify!($write), " ADDRESS VALUE`")]
            pub fn $write(&self, address: $address, value: $value) -> Result<(), String> {
                self.done(&format!(concat!(stringify!($write), " {:#x} {:#x}"), address, value))
            }

            #[doc = concat!("`", stringify!($read), " ADDRESS`")]
            pub fn $read(&self, address: $address) -> Result<$value, String> {
                let line = format!(concat!(stringify!($read), " {:#x}"), address);
                let value = self.ask(&line)?;
                let hex = value.strip_prefix("0x").and_then(|hex| <$value>::from_str_radix(hex, 16).ok());
                hex.ok_or_else(|| format!("{line}: OK {value}"))
            }
        )*
    };
}

impl Qtest {
    /// Over a connected socket.
    pub fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let (changes, levels) = (VecDeque::new(), HashMap::new());
        Ok(Self(Mutex::new(Connection { stream, partial: Vec::new(), changes, levels })))
    }

    /// Sends a line, whatever it says, and returns the answer, whatever it says.
    pub fn exchange(&self, line: &[u8]) -> Result<String, NoMessage> {
        self.0.lock().exchange(line)
    }

    /// Sends a line and returns what comes after the `OK`.
    pub fn ask(&self, line: &str) -> Result<String, String> {
        let shown = line.get(..80).unwrap_or(line);
        let answer = self.exchange(line.as_bytes()).map_err(|error| format!("{shown}: {error}"))?;
        match answer.strip_prefix("OK") {
            Some(value) => Ok(value.trim_start().to_owned()),
            None => Err(format!("{shown}: {answer}")),
        }
    }

    /// Sends a line whose answer has no value.
    fn done(&self, line: &str) -> Result<(), String> {
        let value = self.ask(line)?;
        if value.is_empty() { Ok(()) } else { Err(format!("{line}: OK {value}")) }
    }

    accesses! {
        outb inb(u16, u8);
        outw inw(u16, u16);
        outl inl(u16, u32);
        writeb readb(u64, u8);
        writew readw(u64, u16);
        writel readl(u64, u32);
        writeq readq(u64, u64);
    }

    /// `read ADDRESS LENGTH`
    pub fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, String> {
        let line = format!("read {address:#x} {length:#x}");
        let value = self.ask(&line)?;
        bytes(&value).filter(|bytes| bytes.len() == length).ok_or_else(|| format!("{line}: OK {value}"))
    }

    /// `write ADDRESS LENGTH 0xBYTES`
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), String> {
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        self.done(&format!("write {address:#x} {:#x} 0x{hex}", data.len()))
    }

    /// `b64read ADDRESS LENGTH`
    pub fn b64read(&self, address: u64, length: usize) -> Result<Vec<u8>, String> {
        let line = format!("b64read {address:#x} {length:#x}");
        let value = self.ask(&line)?;
        let data = STANDARD.decode(&value).ok().filter(|data| data.len() == length);
        data.ok_or_else(|| format!("{line}: OK {value}"))
    }

    /// `b64write ADDRESS LENGTH BASE64`
    pub fn b64write(&self, address: u64, data: &[u8]) -> Result<(), String> {
        self.done(&format!("b64write {address:#x} {:#x} {}", data.len(), STANDARD.encode(data)))
    }

    /// `memset ADDRESS LENGTH BYTE`
    pub fn memset(&self, address: u64, length: u64, byte: u8) -> Result<(), String> {
        self.done(&format!("memset {address:#x} {length:#x} {byte:#x}"))
    }

    /// `endianness`
    pub fn endianness(&self) -> Result<String, String> {
        self.ask("endianness")
    }

    /// `clock_step NS`: the virtual time then.
    pub fn clock_step(&self, ns: u64) -> Result<u64, String> {
        self.time(&format!("clock_step {ns}"))
    }

    /// `clock_step`, to the next timer: the virtual time then.
    pub fn clock_step_to_timer(&self) -> Result<u64, String> {
        self.time("clock_step")
    }

    /// `clock_set NS`: the virtual time then.
    pub fn clock_set(&self, ns: u64) -> Result<u64, String> {
        self.time(&format!("clock_set {ns}"))
    }

    fn time(&self, line: &str) -> Result<u64, String> {
        let value = self.ask(line)?;
        value.parse().map_err(|error| format!("{line}: OK {value}: {error}"))
    }

    /// `module_load PREFIX NAME`
    pub fn module_load(&self, prefix: &str, name: &str) -> Result<(), String> {
        self.done(&format!("module_load {prefix} {name}"))
    }

    /// `irq_intercept_in PATH`: changes of the inputs of this device are told from now on.
    pub fn irq_intercept_in(&self, path: &str) -> Result<(), String> {
        self.done(&format!("irq_intercept_in {path}"))
    }

    /// `irq_intercept_out PATH [NAME]`
    pub fn irq_intercept_out(&self, path: &str, name: Option<&str>) -> Result<(), String> {
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        self.done(&format!("irq_intercept_out {path}{name}"))
    }

    /// `set_irq_in PATH NAME NUMBER LEVEL`
    pub fn set_irq_in(&self, path: &str, name: Option<&str>, number: u32, high: bool) -> Result<(), String> {
        let name = name.unwrap_or("unnamed-gpio-in");
        self.done(&format!("set_irq_in {path} {name} {number} {}", u8::from(high)))
    }

    /// The level of an intercepted input, as it was last told.
    pub fn level(&self, input: u32) -> bool {
        self.0.lock().levels.get(&input).copied().unwrap_or_default()
    }

    /// Waits for the next change of an intercepted input.
    pub fn change(&self) -> Result<Irq, NoMessage> {
        let mut connection = self.0.lock();
        loop {
            match connection.changes.pop_front() {
                Some(change) => return Ok(change),
                None => connection.receive_change()?,
            }
        }
    }

    /// The next change that was told and not asked for yet.
    pub fn told_change(&self) -> Option<Irq> {
        self.0.lock().changes.pop_front()
    }

    /// Waits until an intercepted input is high.
    pub fn await_high(&self, input: u32) -> Result<(), String> {
        let mut connection = self.0.lock();
        while !connection.levels.get(&input).copied().unwrap_or_default() {
            connection.receive_change().map_err(|error| format!("interrupt {input}: {error}"))?;
        }
        Ok(())
    }
}

impl Connection {
    fn exchange(&mut self, line: &[u8]) -> Result<String, NoMessage> {
        self.stream.write_all(&[line, b"\n"].concat()).map_err(failure)?;
        loop {
            let line = self.receive()?;
            match irq(&line) {
                Some(change) => self.note(change),
                None => return Ok(line),
            }
        }
    }

    /// Waits for a line that answers nothing.
    fn receive_change(&mut self) -> Result<(), NoMessage> {
        let line = self.receive()?;
        let change = irq(&line).ok_or(NoMessage::Malformed(line))?;
        self.note(change);
        Ok(())
    }

    fn note(&mut self, change: Irq) {
        self.levels.insert(change.input, change.high);
        self.changes.push_back(change);
    }

    fn receive(&mut self) -> Result<String, NoMessage> {
        let mut seen = 0;
        loop {
            if let Some(end) = self.partial[seen..].iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.partial.drain(..=seen + end).collect();
                line.pop();
                return String::from_utf8(line).map_err(|error| NoMessage::Malformed(error.to_string()));
            }
            seen = self.partial.len();
            let mut buffer = [0; 64 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) if self.partial.is_empty() => return Err(NoMessage::Closed),
                Ok(0) => return Err(NoMessage::Malformed(String::from_utf8_lossy(&self.partial).into_owned())),
                Ok(length) => self.partial.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(error)),
            }
        }
    }
}

fn failure(error: io::Error) -> NoMessage {
    let kind = error.kind();
    if kind == io::ErrorKind::WouldBlock {
        NoMessage::Silence
    } else if kind == io::ErrorKind::ConnectionReset || kind == io::ErrorKind::BrokenPipe {
        NoMessage::Closed
    } else {
        NoMessage::Malformed(error.to_string())
    }
}

fn irq(line: &str) -> Option<Irq> {
    let (verb, input) = line.strip_prefix("IRQ ")?.split_once(' ')?;
    let high = match verb {
        "raise" => true,
        "lower" => false,
        _ => return None,
    };
    Some(Irq { input: input.parse().ok()?, high })
}

/// Bytes in hexadecimal after a `0x`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}
