//! What stores the bytes of a node: the interface, and one file per driver.
//!
//! A driver is asked by its [`Node`], which has checked the request by then, and keeps the operating system's error
//! unchanged on its way up: the error policy decides by it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use qapi_schema::Error;

use crate::node::Node;

pub mod blkdebug;
pub mod file;
pub mod host_device;
pub mod host_file;
pub mod null_co;
pub mod quota;
mod range_lock;
pub mod raw;

/// What a user of a node does with it. Writing includes reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Reads; what it reads must not change under it.
    Read,
    /// Reads and writes. Outside of this process nobody else writes.
    Write,
    /// Reads and writes, and suffers nobody else who writes: a guest that keeps what it knows of its disk.
    WriteAlone,
    /// Changes the size.
    Resize,
}

/// The options of a driver, checked, as they are given to open or to reopen it; `C` is the node beneath.
#[derive(Clone, Debug)]
pub enum DriverOptions<C = Arc<Node>> {
    /// Those of [`mod@file`].
    File(host_file::HostOptions),
    /// Those of [`host_device`].
    HostDevice(host_file::HostOptions),
    /// Those of [`null_co`].
    NullCo(null_co::NullOptions),
    /// Those of [`quota`].
    Quota(quota::QuotaOptions, C),
    /// Those of [`blkdebug`].
    Blkdebug(blkdebug::BlkdebugOptions, C),
    /// Those of [`raw`].
    Raw(raw::RawOptions, C),
}

impl<C> DriverOptions<C> {
    /// The same with another node beneath, if there is one.
    ///
    /// # Errors
    /// That of `change`.
    pub fn with_child<D, E>(self, change: impl FnOnce(C) -> Result<D, E>) -> Result<DriverOptions<D>, E> {
        Ok(match self {
            Self::File(options) => DriverOptions::File(options),
            Self::HostDevice(options) => DriverOptions::HostDevice(options),
            Self::NullCo(options) => DriverOptions::NullCo(options),
            Self::Quota(options, child) => DriverOptions::Quota(options, change(child)?),
            Self::Blkdebug(options, child) => DriverOptions::Blkdebug(options, change(child)?),
            Self::Raw(options, child) => DriverOptions::Raw(options, change(child)?),
        })
    }

    /// The node beneath.
    pub const fn child(&self) -> Option<&C> {
        match self {
            Self::File(_) | Self::HostDevice(_) | Self::NullCo(_) => None,
            Self::Blkdebug(_, child) | Self::Quota(_, child) | Self::Raw(_, child) => Some(child),
        }
    }

    /// The same, to be changed.
    pub const fn child_mut(&mut self) -> Option<&mut C> {
        match self {
            Self::File(_) | Self::HostDevice(_) | Self::NullCo(_) => None,
            Self::Blkdebug(_, child) | Self::Quota(_, child) | Self::Raw(_, child) => Some(child),
        }
    }

    /// Fetches what is not in the options themselves, before [`open`](DriverOptions::open). It may take for ever: no lock
    /// is held meanwhile.
    ///
    /// # Errors
    /// It can't be read, or is wrong.
    pub fn load(&mut self) -> Result<(), Error> {
        match self {
            Self::Blkdebug(options, _) => options.load(),
            Self::File(_) | Self::HostDevice(_) | Self::NullCo(_) | Self::Quota(..) | Self::Raw(..) => Ok(()),
        }
    }
}

impl DriverOptions {
    /// Opens the driver.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn open(self) -> Result<Box<dyn BlockDriver>, Error> {
        Ok(match self {
            Self::File(options) => Box::new(file::File::open(options)?),
            Self::HostDevice(options) => Box::new(host_device::HostDevice::open(options)?),
            Self::NullCo(options) => Box::new(null_co::NullCo::new(options)),
            Self::Quota(options, child) => Box::new(quota::Quota::new(child, options)?),
            Self::Blkdebug(options, child) => Box::new(blkdebug::Blkdebug::new(child, options)),
            Self::Raw(options, child) => Box::new(raw::Raw::new(child, options)?),
        })
    }
}

/// New options that a driver is ready to take. Nothing has changed yet, and dropping it changes nothing.
pub struct Reopening<'a> {
    /// Whether the driver will be unable to write.
    pub read_only: bool,
    /// Whether the size will be less.
    pub shrinks: bool,
    /// Takes the new options; cannot fail.
    pub commit: Box<dyn FnOnce() + Send + 'a>,
}

impl Reopening<'_> {
    /// New options that change nothing.
    pub fn unchanged() -> Self {
        Self { read_only: false, shrinks: false, commit: Box::new(|| {}) }
    }
}

/// Stores the bytes of a node.
///
/// All methods may block on the host and are called from many threads at once. Ranges are never empty, lie within
/// [`length`](Self::length) as it was when the request was made, and do not overflow. Nothing that changes the image is
/// called while the node is read-only.
pub trait BlockDriver: Send + Sync {
    /// The name of the driver on the wire.
    fn name(&self) -> &'static str;

    /// The node beneath.
    fn child(&self) -> Option<&Arc<Node>> {
        None
    }

    /// The name of the image: that of the node beneath, where there is one.
    fn filename(&self) -> String {
        self.child().map_or_else(String::new, |child| child.filename())
    }

    /// Whether this cannot write, whatever was asked for.
    fn read_only(&self) -> bool {
        false
    }

    /// Whether the page cache of the host is bypassed, here or beneath.
    fn direct(&self) -> bool {
        self.child().is_some_and(|child| child.direct())
    }

    /// Fills `buffer`. What was never written reads as zeroes.
    ///
    /// # Errors
    /// The operating system's. Nothing is known of the buffer then.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data`.
    ///
    /// # Errors
    /// The operating system's. Any part may have been written then; writing it again is safe.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Brings every write that was answered before the call to stable storage.
    ///
    /// # Errors
    /// The operating system's. Success means that none of those writes was lost, not even between two calls.
    fn flush(&self) -> io::Result<()>;

    /// Does the same for nobody who waits for the answer. Only asked of a driver that has no node beneath.
    ///
    /// # Errors
    /// The operating system's. The next [`flush`](Self::flush) fails, too, unless this one's failure lost nothing.
    fn flush_ahead(&self) -> io::Result<()> {
        self.flush()
    }

    /// Gives the space of a range back if that is possible. It reads as anything afterwards.
    ///
    /// # Errors
    /// The operating system's. EOPNOTSUPP is no failure: then nothing is given back.
    fn discard(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Makes a range read as zeroes. With `unmap` its space may be given back; without it is there to be written to.
    ///
    /// # Errors
    /// The operating system's. Any part may have been zeroed then. After EOPNOTSUPP zeroes are written instead.
    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()>;

    /// The size in bytes. Called for every request: cheap.
    ///
    /// # Errors
    /// The operating system's.
    fn length(&self) -> io::Result<u64>;

    /// Changes the size. What is added reads as zeroes. Nothing is written to what is cut off meanwhile.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] with a text for people if the driver never does this, or the operating
    /// system's.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// How many bytes are occupied, if that is known.
    ///
    /// # Errors
    /// The operating system's.
    fn allocated(&self) -> io::Result<Option<u64>>;

    /// The next run of bytes at or after `from` that are occupied, cut to start there. All of them where the driver
    /// can't tell. It need not be the longest possible.
    ///
    /// # Errors
    /// The operating system's.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>>;

    /// Called when a user starts to use the node, before anything is done for it. Each success is followed by one
    /// [`release`](Self::release).
    ///
    /// # Errors
    /// Somebody outside this process uses the image in a way that excludes this.
    fn acquire(&self, _usage: Usage) -> Result<(), Error> {
        Ok(())
    }

    /// Called when a user has ceased to use the node.
    fn release(&self, _usage: Usage) {}

    /// Gets ready for new options, without changing anything that is seen from outside.
    ///
    /// # Errors
    /// An option can't be changed, or the new ones can't be had.
    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error>;
}

/// Refuses to change an option that is fixed once a node is open.
pub(crate) fn unchangeable(option: &str) -> Error {
    Error::generic(format!("Cannot change the option '{option}'"))
}
