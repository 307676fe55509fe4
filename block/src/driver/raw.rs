//! The driver `raw`: a window onto another node.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use qapi_schema::Error;

use super::{BlockDriver, DriverOptions, Reopening, unchangeable};
use crate::error::message;
use crate::node::{KeptSize, Node};

/// What the size of a window is a multiple of.
const SECTOR: u64 = 512;

/// The options of `raw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawOptions {
    /// Where the window starts.
    pub offset: u64,
    /// Its size; up to the end of the node beneath if none is given.
    pub size: Option<u64>,
}

/// The driver `raw`.
#[derive(Debug)]
pub struct Raw {
    child: Arc<Node>,
    window: RawOptions,
    /// Of the child, where the window would stick out of a smaller one.
    _size: Option<KeptSize>,
}

impl Raw {
    /// A window onto `child`.
    ///
    /// # Errors
    /// It doesn't lie within the child, or is of no whole sectors.
    pub fn new(child: Arc<Node>, window: RawOptions) -> Result<Self, Error> {
        let kept = window.size.map(|_| child.keep_size()).transpose()?;
        let length = child.length().map_err(|error| Error::generic(message(&error)))?;
        let RawOptions { offset, size } = window;
        if offset > length {
            let text = format!("Offset ({offset}) cannot be greater than size of the containing file ({length})");
            return Err(Error::generic(text));
        }
        if let Some(size) = size.filter(|size| *size > length - offset) {
            let sum = format!("The sum of offset ({offset}) and size ({size})");
            let text = format!("{sum} has to be smaller or equal to the actual size of the containing file ({length})");
            return Err(Error::generic(text));
        }
        if size.is_some_and(|size| !size.is_multiple_of(SECTOR)) {
            return Err(Error::generic(format!("Specified size is not multiple of {SECTOR}")));
        }
        Ok(Self { child, window, _size: kept })
    }

    /// Where in the child a byte of this is. Bytes that lie too far are refused by the child.
    const fn translate(&self, offset: u64) -> u64 {
        self.window.offset.saturating_add(offset)
    }
}

impl BlockDriver for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn child(&self) -> Option<&Arc<Node>> {
        Some(&self.child)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.child.read(self.translate(offset), buffer)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.child.write(self.translate(offset), data, false)
    }

    fn flush(&self) -> io::Result<()> {
        self.child.flush()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.child.discard(self.translate(offset), length)
    }

    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        self.child.write_zeroes(self.translate(offset), length, unmap, false)
    }

    fn length(&self) -> io::Result<u64> {
        match self.window.size {
            Some(size) => Ok(size),
            None => Ok(self.child.length()?.saturating_sub(self.window.offset)),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let unsupported = |text| Err(io::Error::new(io::ErrorKind::Unsupported, text));
        if self.window.size.is_some() {
            return unsupported("Cannot resize fixed-size raw disks");
        }
        match length.checked_add(self.window.offset) {
            Some(length) if i64::try_from(length).is_ok() => self.child.truncate(length),
            Some(_) | None => unsupported("Disk size too large for the chosen offset"),
        }
    }

    fn allocated(&self) -> io::Result<Option<u64>> {
        self.child.allocated()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let (length, offset) = (self.length()?, self.window.offset);
        let found = self.child.next_data(self.translate(from))?;
        let cut = found.map(|data| (data.start - offset)..(data.end - offset).min(length));
        Ok(cut.filter(|data| !data.is_empty()))
    }

    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error> {
        let DriverOptions::Raw(RawOptions { offset, size }, child) = options else {
            return Err(unchangeable("driver"));
        };
        if !Arc::ptr_eq(child, &self.child) {
            return Err(unchangeable("file"));
        }
        if *offset != self.window.offset {
            return Err(unchangeable("offset"));
        }
        if *size != self.window.size {
            return Err(unchangeable("size"));
        }
        Ok(Reopening::unchanged())
    }
}
