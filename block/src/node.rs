//! A node of the block graph: a name, a driver, and the options that hold for every driver.
//!
//! A request is checked here and shaped by the node's options before its driver sees it. This is the path of every
//! request: it neither allocates nor waits for a lock.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::block_core::{BlockDeviceInfo, BlockdevCacheInfo, BlockdevDetectZeroesOptions, ImageInfo};
use rustix::io::Errno;

use crate::driver::{BlockDriver, DriverOptions, Reopening, Usage};
use crate::error::message;
use settings::SharedSettings;
pub use settings::{Discard, Settings};
use users::Users;

pub(crate) use users::KeptSize;

#[cfg(test)]
pub(crate) mod recorder;
mod settings;
mod users;

/// The largest size of a node: a multiple of any alignment.
const MAX_LENGTH: u64 = (i64::MAX as u64) & !((1 << 30) - 1);

/// How many nodes may stand on top of each other: a request goes through them by recursion.
const MAX_DEPTH: usize = 64;

static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// A block node.
///
/// Locks: only `users`, for changes of who uses the node and how, never during I/O.
pub struct Node {
    name: String,
    driver: Box<dyn BlockDriver>,
    settings: SharedSettings,
    /// The longest way down to a node that stands on none.
    depth: usize,
    users: Mutex<Users>,
    /// The highest offset written to.
    highest_written: AtomicU64,
    /// There has been a request to change something.
    changed: AtomicBool,
}

impl Node {
    /// A node with a driver just opened.
    ///
    /// # Errors
    /// It stands on too many others, or is too large.
    pub fn new(name: impl Into<String>, driver: Box<dyn BlockDriver>, settings: Settings) -> Result<Arc<Self>, Error> {
        let depth = driver.child().map_or(0, |child| child.depth + 1);
        if depth >= MAX_DEPTH {
            return Err(Error::generic(format!("Cannot stack more than {MAX_DEPTH} block nodes")));
        }
        // One that can't tell its size says so to every request.
        if driver.length().is_ok_and(|length| length > MAX_LENGTH) {
            return Err(Error::generic("Could not refresh total sector count: File too large"));
        }
        let settings = Settings { read_only: settings.read_only || driver.read_only(), ..settings };
        let settings = SharedSettings::new(settings);
        Ok(Arc::new(Self {
            name: name.into(),
            driver,
            settings,
            depth,
            users: Mutex::default(),
            highest_written: AtomicU64::new(0),
            changed: AtomicBool::new(false),
        }))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the image.
    pub fn filename(&self) -> String {
        self.driver.filename()
    }

    /// The node beneath.
    pub fn child(&self) -> Option<&Arc<Self>> {
        self.driver.child()
    }

    /// The one that all above it stand on, and whose size is that of all, or a part of it.
    pub(crate) fn lowest(&self) -> &Self {
        self.child().map_or(self, |child| child.lowest())
    }

    /// Whether writes are refused, here or beneath.
    pub fn read_only(&self) -> bool {
        self.settings.load().read_only || self.child().is_some_and(|child| child.read_only())
    }

    /// Whether the page cache of the host is bypassed.
    pub fn direct(&self) -> bool {
        self.driver.direct()
    }

    /// The size in bytes.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn length(&self) -> io::Result<u64> {
        self.driver.length()
    }

    /// How many bytes are occupied, if that is known.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn allocated(&self) -> io::Result<Option<u64>> {
        self.driver.allocated()
    }

    /// The next run of bytes at or after `from` that are occupied.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.driver.next_data(from)
    }

    /// The end of the highest range written to so far, in bytes.
    pub fn highest_written(&self) -> u64 {
        self.highest_written.load(Ordering::Relaxed)
    }

    /// Whether anything was to be changed so far, so that there may be something to flush.
    pub(crate) fn changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// EINVAL past the end, or those of the driver.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.check_range(offset, buffer.len() as u64)?;
        if buffer.is_empty() { Ok(()) } else { self.driver.read(offset, buffer) }
    }

    /// Writes `data`, with `fua` to stable storage.
    ///
    /// # Errors
    /// EPERM if the node is read-only, EINVAL past the end, or those of the driver.
    pub fn write(&self, offset: u64, data: &[u8], fua: bool) -> io::Result<()> {
        let settings = self.check_change(offset, data.len() as u64)?;
        if !data.is_empty() {
            let unmap = match settings.detect_zeroes {
                BlockdevDetectZeroesOptions::Off => None,
                BlockdevDetectZeroesOptions::On => Some(false),
                BlockdevDetectZeroesOptions::Unmap => Some(settings.discard == Discard::Unmap),
            };
            match unmap {
                Some(unmap) if is_zero(data) => self.zero(offset, data.len() as u64, unmap)?,
                Some(_) | None => self.driver.write(offset, data)?,
            }
            self.wrote_to(offset + data.len() as u64);
        }
        if fua { self.flush() } else { Ok(()) }
    }

    /// Brings everything written so far to stable storage; nothing with `cache.no-flush`.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn flush(&self) -> io::Result<()> {
        if !self.settings.load().no_flush {
            return self.driver.flush();
        }
        // The option is the node's own: what is beneath may have been told otherwise.
        self.child().map_or(Ok(()), |child| child.flush())
    }

    /// Like [`flush`](Self::flush) of a node that stands on none, for nobody who waits for the answer.
    ///
    /// # Errors
    /// Those of the driver, which the next flush gets, too.
    pub(crate) fn flush_ahead(&self) -> io::Result<()> {
        if self.settings.load().no_flush { Ok(()) } else { self.driver.flush_ahead() }
    }

    /// Gives space back where that is possible, unless `discard` says otherwise. The range reads as anything afterwards.
    ///
    /// # Errors
    /// EPERM if the node is read-only, EINVAL past the end, or those of the driver.
    pub fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        match self.check_change(offset, length)?.discard {
            Discard::Unmap if length > 0 => match self.driver.discard(offset, length) {
                // It is advice, which may be left alone.
                Err(error) if is_unsupported(&error) => Ok(()),
                result => result,
            },
            Discard::Unmap | Discard::Ignore => Ok(()),
        }
    }

    /// Zeroes a range; with `unmap` its space may be given back, unless `discard` says otherwise; with `fua` on stable
    /// storage.
    ///
    /// # Errors
    /// EPERM if the node is read-only, EINVAL past the end, or those of the driver.
    pub fn write_zeroes(&self, offset: u64, length: u64, unmap: bool, fua: bool) -> io::Result<()> {
        let settings = self.check_change(offset, length)?;
        if length > 0 {
            self.zero(offset, length, unmap && settings.discard == Discard::Unmap)?;
            self.wrote_to(offset + length);
        }
        if fua { self.flush() } else { Ok(()) }
    }

    /// What `query-named-block-nodes` says of it.
    pub fn info(&self) -> BlockDeviceInfo {
        let Settings { detect_zeroes, no_flush, read_only: _, discard: _ } = self.settings.load();
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let filename = self.filename();
        BlockDeviceInfo {
            file: filename.clone(),
            node_name: Some(self.name.clone()),
            ro: self.read_only(),
            drv: self.driver.name().to_owned(),
            backing_file_depth: 0,
            active: true,
            encrypted: false,
            detect_zeroes,
            bps: 0,
            bps_rd: 0,
            bps_wr: 0,
            iops: 0,
            iops_rd: 0,
            iops_wr: 0,
            image: ImageInfo {
                filename,
                format: self.driver.name().to_owned(),
                actual_size: self.allocated().ok().flatten().map(signed),
                virtual_size: signed(self.length().unwrap_or(0)),
            },
            cache: BlockdevCacheInfo { writeback: true, direct: self.direct(), no_flush },
            write_threshold: 0,
        }
    }

    /// Changes the size, as a request of the node above: [`resize`](Self::resize) has checked the whole chain.
    pub(crate) fn truncate(&self, length: u64) -> io::Result<()> {
        if self.settings.load().read_only {
            return Err(Errno::PERM.into());
        }
        if length > MAX_LENGTH {
            let text = format!("offset({length}) exceeds maximum({MAX_LENGTH})");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        self.begin_change();
        self.driver.truncate(length)
    }

    /// Changes the size. Before it becomes smaller `quiesce` ends the requests under way, none of which must reach what is
    /// cut off; no other starts as long as its result lives.
    ///
    /// # Errors
    /// It is read-only, a user can't do with a smaller size, or its driver can't.
    pub(crate) fn resize<Q>(&self, length: u64, quiesce: impl FnOnce() -> Q) -> Result<(), Error> {
        if self.read_only() {
            return Err(Error::generic("Image is read-only"));
        }
        let could_not = |error: io::Error| match error.raw_os_error() {
            Some(_) => Error::generic(format!("Could not resize file: {}", message(&error))),
            None => Error::generic(error.to_string()),
        };
        let shrinks = length < self.length().map_err(could_not)?;
        let _nobody_comes = if shrinks { self.keep_out_of_all()? } else { Vec::new() };
        let _no_requests = shrinks.then(quiesce);
        self.acquire(Usage::Resize)?;
        let result = self.truncate(length).map_err(could_not);
        self.release(Usage::Resize);
        result
    }

    /// Gets ready for new options, without changing anything that is seen from outside.
    ///
    /// # Errors
    /// An option can't be changed, or the new ones can't be had.
    pub(crate) fn prepare_reopen(
        &self,
        options: &DriverOptions,
        settings: Settings,
    ) -> Result<NodeReopening<'_>, Error> {
        let driver = self.driver.prepare_reopen(options)?;
        let settings = Settings { read_only: settings.read_only || driver.read_only, ..settings };
        let mut kept_out = Vec::new();
        if settings.read_only {
            kept_out.push(self.keep_writers_out()?);
        }
        if driver.shrinks {
            kept_out.push(self.keep_out()?);
        }
        Ok(NodeReopening { node: self, settings, driver, kept_out })
    }

    /// Zeroes a range: as the driver does it, or by writing.
    fn zero(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        match self.driver.write_zeroes(offset, length, unmap) {
            Err(error) if is_unsupported(&error) => {
                let end = offset + length;
                (offset..end).step_by(ZEROES.len()).try_for_each(|at| {
                    let piece = (end - at).min(ZEROES.len() as u64);
                    self.driver.write(at, &ZEROES[..piece as usize])
                })
            }
            result => result,
        }
    }

    fn wrote_to(&self, end: u64) {
        // Read first: most writes are no higher, and need not fight over the line.
        if end > self.highest_written() {
            self.highest_written.fetch_max(end, Ordering::Relaxed);
        }
    }

    fn begin_change(&self) {
        // Read first, as above.
        if !self.changed() {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    fn check_range(&self, offset: u64, length: u64) -> io::Result<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.driver.length()? => Ok(()),
            Some(_) | None => Err(Errno::INVAL.into()),
        }
    }

    fn check_change(&self, offset: u64, length: u64) -> io::Result<Settings> {
        let settings = self.settings.load();
        if settings.read_only {
            return Err(Errno::PERM.into());
        }
        self.check_range(offset, length)?;
        self.begin_change();
        Ok(settings)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings.load();
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("driver", &self.driver.name())
            .field("settings", &settings)
            .finish()
    }
}

/// New options that a node is ready to take. Dropping it changes nothing.
pub(crate) struct NodeReopening<'a> {
    node: &'a Node,
    settings: Settings,
    driver: Reopening<'a>,
    /// Whom the new options exclude, until they are there.
    kept_out: Vec<users::KeptOut<'a>>,
}

impl NodeReopening<'_> {
    /// Takes the new options.
    pub(crate) fn commit(self) {
        (self.driver.commit)();
        self.node.settings.store(self.settings);
        drop(self.kept_out);
    }
}

/// Whether this is no failure, but something that is not done here.
fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error())
}

fn is_zero(data: &[u8]) -> bool {
    data.chunks(ZEROES.len()).all(|piece| piece == &ZEROES[..piece.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::raw::RawOptions;
    use recorder::Recorder;

    /// What a node with these settings asks of its driver.
    fn asked(settings: Settings, ask: impl FnOnce(&Arc<Node>) -> io::Result<()>) -> Vec<String> {
        let recorder = Recorder::default();
        let record = recorder.record();
        ask(&Node::new("disk", Box::new(recorder), settings).expect("a node")).expect("no error");
        std::mem::take(&mut record.lock())
    }

    #[test]
    fn a_request_with_fua_is_followed_by_a_flush() {
        let settings = Settings::default();
        assert_eq!(asked(settings, |disk| disk.write(10, &[1; 5], true)), ["write 10 5", "flush"]);
        assert_eq!(asked(settings, |disk| disk.write_zeroes(10, 5, false, true)), ["zero 10 5 false", "flush"]);
        assert_eq!(asked(settings, |disk| disk.write(1000, &[], true)), ["flush"]);
        assert_eq!(asked(settings, |disk| disk.write(10, &[1; 5], false)), ["write 10 5"]);
    }

    #[test]
    fn a_request_for_nothing_reaches_no_driver() {
        let settings = Settings { discard: Discard::Unmap, ..Settings::default() };
        let nothing = asked(settings, |disk| {
            disk.read(1000, &mut [])?;
            disk.write(0, &[], false)?;
            disk.discard(1000, 0)?;
            disk.write_zeroes(5, 0, true, false)
        });
        assert!(nothing.is_empty(), "{nothing:?}");
    }

    #[test]
    fn without_flush_nothing_is_flushed_but_what_is_beneath() {
        let settings = Settings { no_flush: true, ..Settings::default() };
        assert_eq!(asked(settings, |disk| disk.write(10, &[1; 5], true)), ["write 10 5"]);
        let flushed = asked(Settings::default(), |disk| {
            let window = DriverOptions::Raw(RawOptions { offset: 0, size: None }, Arc::clone(disk));
            Node::new("raw", window.open().expect("opens"), settings).expect("a node").flush()
        });
        assert_eq!(flushed, ["flush"]);
    }

    #[test]
    fn the_options_say_what_becomes_of_discards_and_zeroes() {
        let (ignore, unmap) = (Settings::default(), Settings { discard: Discard::Unmap, ..Settings::default() });
        let both = |disk: &Arc<Node>| disk.discard(1, 2).and(disk.write_zeroes(3, 4, true, false));
        assert_eq!(asked(ignore, both), ["zero 3 4 false"]);
        assert_eq!(asked(unmap, both), ["discard 1 2", "zero 3 4 true"]);
        let detecting = |settings, detect_zeroes| Settings { detect_zeroes, ..settings };
        let zeroes = |disk: &Arc<Node>| disk.write(3, &[0; 4], false).and(disk.write(3, &[0, 0, 1], false));
        let (on, free) = (BlockdevDetectZeroesOptions::On, BlockdevDetectZeroesOptions::Unmap);
        assert_eq!(asked(unmap, zeroes), ["write 3 4", "write 3 3"]);
        assert_eq!(asked(detecting(unmap, on), zeroes), ["zero 3 4 false", "write 3 3"]);
        assert_eq!(asked(detecting(unmap, free), zeroes), ["zero 3 4 true", "write 3 3"]);
        assert_eq!(asked(detecting(ignore, free), zeroes), ["zero 3 4 false", "write 3 3"]);
    }

    #[test]
    fn a_window_shifts_requests_and_cuts_what_it_shows_of_the_data() {
        let (mut shown, mut size) = (None, 0);
        let requests = asked(Settings::default(), |disk| {
            let window = DriverOptions::Raw(RawOptions { offset: 50, size: Some(512) }, Arc::clone(disk));
            let window = Node::new("raw", window.open().expect("opens"), Settings::default()).expect("a node");
            shown = window.next_data(0)?;
            size = window.length()?;
            assert!(window.write(511, &[1; 2], false).is_err(), "past its end");
            window.write(511, &[1], false)
        });
        assert_eq!((requests, size), (vec!["write 561 1".to_owned()], 512));
        assert_eq!(shown, Some(50..512));
    }
}
