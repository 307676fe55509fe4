//! The driver `raw`: a window onto another node.

use std::io;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::RwLock;
use qapi_schema::Error;
use rustix::io::Errno;

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
    /// A request under way keeps the one that it found, whatever a reopen does: nobody waits for it.
    window: RwLock<Arc<Window>>,
}

/// A window that lies within the child, and goes on to do so.
#[derive(Debug)]
struct Window {
    options: RawOptions,
    /// Of the child, where the window would stick out of a smaller one.
    _kept: Option<KeptSize>,
}

impl Raw {
    /// A window onto `child`.
    ///
    /// # Errors
    /// It doesn't lie within the child, or is of no whole sectors.
    pub fn new(child: Arc<Node>, window: RawOptions) -> Result<Self, Error> {
        let window = RwLock::new(Arc::new(Window::new(&child, window)?));
        Ok(Self { child, window })
    }

    fn window(&self) -> Arc<Window> {
        Arc::clone(&self.window.read())
    }
}

impl Window {
    fn new(child: &Arc<Node>, options: RawOptions) -> Result<Self, Error> {
        let RawOptions { offset, size } = options;
        let kept = size.map(|_| child.keep_size()).transpose()?;
        let length = child.length().map_err(|error| Error::generic(message(&error)))?;
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
        Ok(Self { options, _kept: kept })
    }

    fn length(&self, child: &Node) -> io::Result<u64> {
        match self.options.size {
            Some(size) => Ok(size),
            None => Ok(child.length()?.saturating_sub(self.options.offset)),
        }
    }

    /// Where in the child a range of this starts. What lies too far is refused by the child, and here what a reopen has
    /// cut off since the request was checked.
    fn translate(&self, offset: u64, length: u64) -> io::Result<u64> {
        match self.options.size {
            Some(size) if offset.saturating_add(length) > size => Err(Errno::INVAL.into()),
            Some(_) | None => Ok(self.options.offset.saturating_add(offset)),
        }
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
        let window = self.window();
        self.child.read(window.translate(offset, buffer.len() as u64)?, buffer)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let window = self.window();
        self.child.write(window.translate(offset, data.len() as u64)?, data, false)
    }

    fn flush(&self) -> io::Result<()> {
        self.child.flush()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let window = self.window();
        self.child.discard(window.translate(offset, length)?, length)
    }

    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        let window = self.window();
        self.child.write_zeroes(window.translate(offset, length)?, length, unmap, false)
    }

    fn length(&self) -> io::Result<u64> {
        self.window().length(&self.child)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let unsupported = |text| Err(io::Error::new(io::ErrorKind::Unsupported, text));
        let RawOptions { offset, size } = self.window().options;
        if size.is_some() {
            return unsupported("Cannot resize fixed-size raw disks");
        }
        match length.checked_add(offset) {
            Some(length) if i64::try_from(length).is_ok() => self.child.truncate(length),
            Some(_) | None => unsupported("Disk size too large for the chosen offset"),
        }
    }

    fn allocated(&self) -> io::Result<Option<u64>> {
        self.child.allocated()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let window = self.window();
        let (length, offset) = (window.length(&self.child)?, window.options.offset);
        let found = self.child.next_data(offset.saturating_add(from))?;
        let cut = found.map(|data| (data.start - offset)..(data.end - offset).min(length));
        Ok(cut.filter(|data| !data.is_empty()))
    }

    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error> {
        let DriverOptions::Raw(options, child) = options else {
            return Err(unchangeable("driver"));
        };
        if !Arc::ptr_eq(child, &self.child) {
            return Err(unchangeable("file"));
        }
        let new = Window::new(&self.child, *options)?;
        let length = |window: &Window| window.length(&self.child).map_err(|error| Error::generic(message(&error)));
        let shrinks = length(&new)? < length(&self.window())?;
        let commit = move || {
            let old = mem::replace(&mut *self.window.write(), Arc::new(new));
            drop(old);
        };
        Ok(Reopening { read_only: false, shrinks, commit: Box::new(commit) })
    }
}
