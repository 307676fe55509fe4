//! Requests of virtio-blk, and how their bytes are laid out in descriptors.
//!
//! Virtio 1.2, section 5.2.6.

use std::io;

use block::request::Operation;
use rustix::io::Errno;

use super::queue::{Descriptor, WRITE};

/// In which offsets are counted.
pub const SECTOR: u64 = 512;
const HEADER: usize = 16;

/// Types of requests.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

/// Statuses.
pub const OK: u8 = 0;
pub const IOERR: u8 = 1;
pub const UNSUPP: u8 = 2;

/// What the driver asks for: any type with any data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub kind: u32,
    pub sector: u64,
    /// What the device reads after the header.
    pub output: Vec<u8>,
    /// How much it writes before the status.
    pub input: usize,
}

/// A range of a discard or of zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub sector: u64,
    pub sectors: u32,
    pub flags: u32,
}

/// How a request is cut into descriptors. What the device reads always comes before what it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// Header, data and status have one each: what a legacy device may insist on.
    #[default]
    Parts,
    /// One for what the device reads, one for what it writes.
    Merged,
    /// As many as it takes when none is longer than this.
    Pieces(usize),
}

/// Where a request is put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub cut: Cut,
    /// In a table of its own.
    pub indirect: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// How much the device says that it has written.
    pub written: u32,
    pub status: u8,
    pub data: Vec<u8>,
}

impl Request {
    /// Reads so many bytes.
    pub fn read(sector: u64, length: usize) -> Self {
        Self { kind: IN, sector, output: Vec::new(), input: length }
    }

    /// Writes these bytes.
    pub fn write(sector: u64, data: Vec<u8>) -> Self {
        Self { kind: OUT, sector, output: data, input: 0 }
    }

    /// Flushes.
    pub fn flush() -> Self {
        Self { kind: FLUSH, sector: 0, output: Vec::new(), input: 0 }
    }

    /// Asks for the serial number.
    pub fn get_id() -> Self {
        Self { kind: GET_ID, sector: 0, output: Vec::new(), input: 20 }
    }

    /// Discards these ranges.
    pub fn discard(segments: &[Segment]) -> Self {
        Self {
            kind: DISCARD,
            sector: 0,
            output: segments.iter().flat_map(|segment| segment.bytes()).collect(),
            input: 0,
        }
    }

    /// Zeroes these ranges.
    pub fn write_zeroes(segments: &[Segment]) -> Self {
        Self { kind: WRITE_ZEROES, ..Self::discard(segments) }
    }

    /// What the device reads.
    pub fn readable(&self) -> Vec<u8> {
        let header = u128::from(self.kind) | u128::from(self.sector) << 64;
        [&header.to_le_bytes(), &self.output[..]].concat()
    }

    /// How much the device writes.
    pub fn writable(&self) -> usize {
        self.input + 1
    }

    /// The descriptors of a request that is in guest memory at `address`, what the device writes right behind what it
    /// reads.
    pub fn descriptors(&self, address: u64, cut: Cut) -> Vec<Descriptor> {
        let (output, input) = (self.output.len(), self.input);
        let (readable, writable) = match cut {
            Cut::Parts => (vec![HEADER, output], vec![input, 1]),
            Cut::Merged => (vec![HEADER + output], vec![input + 1]),
            Cut::Pieces(longest) => (pieces(HEADER + output, longest), pieces(input + 1, longest)),
        };
        let parts =
            readable.into_iter().map(|length| (length, 0)).chain(writable.into_iter().map(|length| (length, WRITE)));
        let mut at = address;
        let mut place = |(length, flags): (usize, u16)| {
            let descriptor = Descriptor { address: at, length: length as u32, flags, next: 0 };
            at += length as u64;
            descriptor
        };
        parts.filter(|(length, _)| *length > 0).map(&mut place).collect()
    }
}

/// What a guest asks for, if this device has it and it is at whole sectors.
impl TryFrom<&Operation> for Request {
    type Error = String;

    fn try_from(operation: &Operation) -> Result<Self, String> {
        let sectors = |bytes: u64| {
            let whole = bytes.is_multiple_of(SECTOR).then_some(bytes / SECTOR);
            whole.ok_or_else(|| format!("{bytes} bytes are no whole sectors"))
        };
        let segment = |offset: u64, length: u64, flags: u32| {
            let count = u32::try_from(sectors(length)?).map_err(|error| error.to_string())?;
            Ok::<_, String>(Segment { sector: sectors(offset)?, sectors: count, flags })
        };
        match operation {
            Operation::Read { offset, length } => Ok(Self::read(sectors(*offset)?, *length)),
            Operation::Write { fua: true, .. } | Operation::WriteZeroes { fua: true, .. } => {
                Err("virtio-blk has no fua: flush".into())
            }
            Operation::Write { offset, data, fua: false } => Ok(Self::write(sectors(*offset)?, data.clone())),
            Operation::Flush => Ok(Self::flush()),
            Operation::Discard { offset, length } => Ok(Self::discard(&[segment(*offset, *length, 0)?])),
            Operation::WriteZeroes { offset, length, unmap, fua: false } => {
                Ok(Self::write_zeroes(&[segment(*offset, *length, u32::from(*unmap))?]))
            }
        }
    }
}

impl Segment {
    fn bytes(self) -> [u8; 16] {
        let value = u128::from(self.sector) | u128::from(self.sectors) << 64 | u128::from(self.flags) << 96;
        value.to_le_bytes()
    }
}

impl Completion {
    /// As a guest's program sees it.
    pub fn result(self) -> io::Result<Vec<u8>> {
        let error = |errno: Errno| Err(io::Error::from_raw_os_error(errno.raw_os_error()));
        match self.status {
            OK => Ok(self.data),
            UNSUPP => error(Errno::OPNOTSUPP),
            _ => error(Errno::IO),
        }
    }
}

fn pieces(length: usize, longest: usize) -> Vec<usize> {
    let rest = length % longest;
    std::iter::repeat_n(longest, length / longest).chain((rest > 0).then_some(rest)).collect()
}
