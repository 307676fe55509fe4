//! What the drivers `file` and `host_device` share: an image that the host's kernel keeps.
//!
//! Data goes through the page cache, or past it with `cache.direct` (`direct.rs`). Space is given back by `space.rs`,
//! stable storage reached through `flush.rs`, other processes kept out by `lock.rs`. `source.rs` opens the image.

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use qapi_schema::Error;
use qapi_schema::common::OnOffAuto;
use rustix::fs::{FileType, SeekFrom};

use super::range_lock::{Mode, RangeLock};
use super::{BlockDriver, DriverOptions, Reopening, Usage, unchangeable};
use crate::error::message;
use crate::fdset::FdSet;
use flush::FlushGate;
use handle::Handle;
use lock::ImageLock;

mod direct;
mod flush;
mod handle;
mod lock;
mod source;
mod space;

static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// How an image is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    ReadOnly,
    /// For reading and writing.
    ReadWrite,
    /// For reading and writing, or for reading where writing is not permitted.
    ReadWriteIfPermitted,
}

/// The options of `file` and `host_device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Path to the image or device.
    pub filename: String,
    /// The descriptors that it is opened from, if the filename stands for a set of them.
    pub fdset: Option<FdSet>,
    /// How it is opened.
    pub access: Access,
    /// Whether the page cache is bypassed (`cache.direct`).
    pub direct: bool,
    /// Whether other processes are kept out.
    pub locking: OnOffAuto,
    /// Whether other processes may write to what is read here.
    pub force_share: bool,
}

/// What tells a regular file from a device.
pub trait Kind: Send + Sync + 'static {
    /// The name of the driver.
    const DRIVER: &'static str;

    /// The options, if they are of this driver.
    fn options(options: &DriverOptions) -> Option<&HostOptions>;

    /// Refuses what is not of this kind.
    ///
    /// # Errors
    /// It is not, and what to do instead.
    fn check(filename: &str, found: FileType) -> Result<(), Error>;

    /// The size in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn length(file: &fs::File) -> io::Result<u64>;

    /// Changes the size.
    ///
    /// # Errors
    /// The operating system's, or that this can't be done.
    fn resize(file: &fs::File, length: u64) -> io::Result<()>;

    /// What the offset and length of a request to give back or zero must be multiples of.
    ///
    /// # Errors
    /// The operating system's.
    fn granularity(file: &fs::File) -> io::Result<u64>;

    /// How many bytes are occupied, if that is known.
    ///
    /// # Errors
    /// The operating system's.
    fn allocated(file: &fs::File) -> io::Result<Option<u64>>;
}

/// An image of the host.
///
/// Locks held while the kernel does I/O, outermost first: the handle, shared by all requests, so that a reopen waits for
/// those under way and those that come wait for it; ranges of the image, by what gives space back, zeroes, or changes the
/// size, and with `cache.direct` by what writes. Requests through the page cache never wait for each other.
#[derive(Debug)]
pub struct HostFile<K> {
    options: HostOptions,
    handle: RwLock<Handle>,
    length: AtomicU64,
    granularity: u64,
    ranges: RangeLock,
    flushes: FlushGate,
    lock: Option<ImageLock>,
    kind: PhantomData<K>,
}

impl<K: Kind> HostFile<K> {
    /// Opens an image.
    ///
    /// # Errors
    /// As QEMU words them: `Could not open 'x': No such file or directory`.
    pub fn open(options: HostOptions) -> Result<Self, Error> {
        let handle = Handle::open::<K>(&options)?;
        let cause = |error| could_not_open(&options.filename, &error);
        let length = K::length(handle.file()).map_err(cause)?;
        let granularity = K::granularity(handle.file()).map_err(cause)?;
        let lock = ImageLock::new(&options, &handle)?;
        Ok(Self {
            options,
            handle: RwLock::new(handle),
            length: AtomicU64::new(length),
            granularity,
            ranges: RangeLock::default(),
            flushes: FlushGate::default(),
            lock,
            kind: PhantomData,
        })
    }

    fn write_through(&self, handle: &Handle, offset: u64, data: &[u8]) -> io::Result<()> {
        match handle.direct() {
            None => handle::write(handle.file(), offset, data),
            Some(direct) => {
                let (length, range) = (self.length()?, offset..offset + data.len() as u64);
                let _guard = self.ranges.lock(handle.around(&range), direct.mode(length, &range));
                direct.write(handle.file(), length, offset, data)
            }
        }
    }

    fn write_zero_bytes(&self, handle: &Handle, range: Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(ZEROES.len() as u64);
            self.write_through(handle, at, &ZEROES[..length as usize])?;
            at += length;
        }
        Ok(())
    }

    /// The part of `range` that the kernel can be asked to give back or zero; perhaps none.
    fn whole(&self, range: &Range<u64>) -> Range<u64> {
        let end = range.end - range.end % self.granularity;
        range.start.next_multiple_of(self.granularity).min(end)..end
    }
}

impl<K: Kind> BlockDriver for HostFile<K> {
    fn name(&self) -> &'static str {
        K::DRIVER
    }

    fn filename(&self) -> String {
        self.options.filename.clone()
    }

    fn read_only(&self) -> bool {
        !self.handle.read().writable()
    }

    fn direct(&self) -> bool {
        self.handle.read().direct().is_some()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let handle = self.handle.read();
        match handle.direct() {
            None => handle::read(handle.file(), offset, buffer),
            Some(direct) => direct.read(handle.file(), self.length()?, offset, buffer),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_through(&self.handle.read(), offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.flushes.flush(|| handle::sync(self.handle.read().file()))
    }

    fn flush_ahead(&self) -> io::Result<()> {
        self.flushes.flush_ahead(|| handle::sync(self.handle.read().file()))
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let handle = self.handle.read();
        let whole = self.whole(&(offset..offset + length));
        if whole.is_empty() {
            return Ok(());
        }
        let _guard = self.ranges.lock(handle.around(&whole), Mode::Exclusive);
        handle.space().discard(handle.file(), whole)
    }

    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        let handle = self.handle.read();
        let range = offset..offset + length;
        let whole = self.whole(&range);
        let done = !whole.is_empty() && {
            let _guard = self.ranges.lock(handle.around(&whole), Mode::Exclusive);
            handle.space().zero(handle.file(), whole.clone(), unmap)?
        };
        if done {
            self.write_zero_bytes(&handle, range.start..whole.start)?;
            self.write_zero_bytes(&handle, whole.end..range.end)
        } else {
            self.write_zero_bytes(&handle, range)
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length.load(Ordering::Acquire))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let handle = self.handle.read();
        let _guard = self.ranges.lock(0..u64::MAX, Mode::Exclusive);
        K::resize(handle.file(), length)?;
        self.length.store(K::length(handle.file())?, Ordering::Release);
        Ok(())
    }

    fn allocated(&self) -> io::Result<Option<u64>> {
        K::allocated(self.handle.read().file())
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let length = self.length()?;
        if from >= length {
            return Ok(None);
        }
        let handle = self.handle.read();
        let everything = Ok(Some(from..length));
        let start = match rustix::fs::seek(handle.file(), SeekFrom::Data(from)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => return everything,
            Err(error) => return Err(error.into()),
        };
        let end = match rustix::fs::seek(handle.file(), SeekFrom::Hole(start)) {
            Ok(end) => end,
            // Cut off by somebody else meanwhile.
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = start.min(length)..end.min(length);
        Ok((!found.is_empty()).then_some(found))
    }

    fn acquire(&self, usage: Usage) -> Result<(), Error> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.acquire(usage))
    }

    fn release(&self, usage: Usage) {
        if let Some(lock) = &self.lock {
            lock.release(usage);
        }
    }

    /// Opens the image anew, also if no option changes: that is how a failed flush is got over.
    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error> {
        let Some(options) = K::options(options) else {
            return Err(unchangeable("driver"));
        };
        if options.filename != self.options.filename {
            return Err(unchangeable("filename"));
        }
        if options.locking != self.options.locking {
            return Err(unchangeable("locking"));
        }
        if options.force_share != self.options.force_share {
            return Err(unchangeable("force-share"));
        }
        // An error that the old handle has not reported yet must not get lost with it.
        if !self.flushes.failed() && !self.read_only() {
            self.flush_ahead().map_err(|error| could_not_open(&options.filename, &error))?;
        }
        let new = Handle::open::<K>(options)?;
        if !new.is_same_image(&self.handle.read()) {
            let text = format!("Could not reopen '{}': another file has taken its place", options.filename);
            return Err(Error::generic(text));
        }
        let read_only = !new.writable();
        let commit = move || {
            *self.handle.write() = new;
            self.flushes.forgive();
        };
        Ok(Reopening { read_only, shrinks: false, commit: Box::new(commit) })
    }
}

fn could_not_open(filename: &str, cause: &io::Error) -> Error {
    Error::generic(format!("Could not open '{filename}': {}", message(cause)))
}
