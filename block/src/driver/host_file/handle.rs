//! An open image: its descriptors, and positioned I/O on them.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use qapi_schema::Error;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::direct::Direct;
use super::source::Source;
use super::space::Space;
use super::{Access, HostOptions, Kind, could_not_open};

/// The unit of the page cache, within which requests get into each other's way.
const PAGE: u64 = 4096;

/// The descriptors of one opening.
#[derive(Debug)]
pub(super) struct Handle {
    /// Data through the page cache, and everything that is not data.
    file: fs::File,
    /// Data past the page cache.
    direct: Option<Direct>,
    writable: bool,
    space: Space,
    source: Source,
}

impl Handle {
    /// Opens an image of kind `K`.
    pub(super) fn open<K: Kind>(options: &HostOptions) -> Result<Self, Error> {
        let filename = options.filename.as_str();
        if filename.is_empty() {
            return Err(Error::generic(format!("The '{}' block driver requires a file name", K::DRIVER)));
        }
        let failed = |error: &io::Error| could_not_open(filename, error);
        let source = Source::new(options).map_err(|error| failed(&error))?;
        if let Some(found) = source.look().map_err(|error| failed(&error))? {
            K::check(filename, found)?;
        }
        let (file, writable) = match options.access {
            Access::ReadOnly => (source.open(false, false), false),
            Access::ReadWrite => (source.open(true, false), true),
            Access::ReadWriteIfPermitted => match source.open(true, false) {
                Err(error) if not_permitted(&error) => (source.open(false, false), false),
                opened => (opened, true),
            },
        };
        let file = file.map_err(|error| failed(&error))?;
        let opened = file.metadata().map_err(|error| failed(&error))?;
        K::check(filename, FileType::from_raw_mode(opened.mode()))?;
        let direct = if options.direct { Some(open_direct(&source, &file, filename, writable)?) } else { None };
        Ok(Self { file, direct, writable, space: Space::default(), source })
    }

    pub(super) const fn file(&self) -> &fs::File {
        &self.file
    }

    pub(super) const fn direct(&self) -> Option<&Direct> {
        self.direct.as_ref()
    }

    pub(super) const fn writable(&self) -> bool {
        self.writable
    }

    pub(super) const fn space(&self) -> &Space {
        &self.space
    }

    /// `range` widened to whole pages and blocks.
    pub(super) fn around(&self, range: &Range<u64>) -> Range<u64> {
        let unit = self.direct.as_ref().map_or(PAGE, |direct| direct.block().max(PAGE));
        range.start - range.start % unit..range.end.next_multiple_of(unit)
    }

    /// Whether both are of the same file, whatever its name is now.
    pub(super) fn is_same_image(&self, other: &Self) -> bool {
        is_same_file(&self.file, &other.file).unwrap_or(false)
    }

    /// Another open file description of the image, to lock it by.
    pub(super) fn another_description(&self) -> io::Result<fs::File> {
        let another = self.source.open_anew(&self.file)?;
        the_same(&self.file, another)
    }
}

/// Devices are the same by their number: their nodes in the file system come and go.
fn is_same_file(a: &fs::File, b: &fs::File) -> io::Result<bool> {
    let (a, b) = (a.metadata()?, b.metadata()?);
    let same_inode = (a.dev(), a.ino()) == (b.dev(), b.ino());
    Ok(same_inode || (a.rdev() != 0 && a.rdev() == b.rdev()))
}

/// One that was replaced just now is as good as gone.
fn the_same(image: &fs::File, another: fs::File) -> io::Result<fs::File> {
    if is_same_file(image, &another)? { Ok(another) } else { Err(Errno::STALE.into()) }
}

fn open_direct(source: &Source, image: &fs::File, filename: &str, write: bool) -> Result<Direct, Error> {
    match source.open(write, true).and_then(|file| the_same(image, file)) {
        Ok(file) => Direct::new(file).map_err(|error| could_not_open(filename, &error)),
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            Err(Error::generic(format!("Could not open '{filename}': filesystem does not support O_DIRECT")))
        }
        Err(error) => Err(could_not_open(filename, &error)),
    }
}

fn not_permitted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Fills `buffer`, with zeroes past the end of the file.
pub(super) fn read(file: &fs::File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let (mut at, mut rest) = (offset, buffer);
    while !rest.is_empty() {
        match file.read_at(rest, at) {
            Ok(0) => {
                rest.fill(0);
                break;
            }
            Ok(count) => {
                at += count as u64;
                rest = &mut rest[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `data`.
pub(super) fn write(file: &fs::File, offset: u64, data: &[u8]) -> io::Result<()> {
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        match file.write_at(rest, at) {
            // The kernel never does that; without an error it would be tried for ever.
            Ok(0) => return Err(Errno::IO.into()),
            Ok(count) => {
                at += count as u64;
                rest = &rest[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until everything written is on stable storage.
pub(super) fn sync(file: &fs::File) -> io::Result<()> {
    loop {
        match file.sync_data() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
