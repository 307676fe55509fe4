//! An open image: its descriptors, and positioned I/O on them.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use qapi_schema::Error;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::space::Space;
use super::{Access, HostOptions, Kind, could_not_open};

/// The descriptors of one opening.
#[derive(Debug)]
pub(super) struct Handle {
    file: fs::File,
    writable: bool,
    space: Space,
}

impl Handle {
    /// Opens an image of kind `K`.
    pub(super) fn open<K: Kind>(options: &HostOptions) -> Result<Self, Error> {
        let filename = options.filename.as_str();
        // Looked at before it is opened: opening a pipe can wait, opening a device can do things.
        let found = fs::metadata(filename).map_err(|error| could_not_open(filename, &error))?;
        K::check(filename, FileType::from_raw_mode(found.mode()))?;
        let (file, writable) = match options.access {
            Access::ReadOnly => (open(filename, false), false),
            Access::ReadWrite => (open(filename, true), true),
            Access::ReadWriteIfPermitted => match open(filename, true) {
                Err(error) if not_permitted(&error) => (open(filename, false), false),
                opened => (opened, true),
            },
        };
        let file = file.map_err(|error| could_not_open(filename, &error))?;
        let opened = file.metadata().map_err(|error| could_not_open(filename, &error))?;
        K::check(filename, FileType::from_raw_mode(opened.mode()))?;
        Ok(Self { file, writable, space: Space::default() })
    }

    pub(super) const fn file(&self) -> &fs::File {
        &self.file
    }

    pub(super) const fn writable(&self) -> bool {
        self.writable
    }

    pub(super) const fn space(&self) -> &Space {
        &self.space
    }

    /// Whether both are of the same file, whatever its name is now.
    pub(super) fn is_same_image(&self, other: &Self) -> bool {
        is_same_file(&self.file, &other.file).unwrap_or(false)
    }

    /// Another open file description of the image, to lock it by.
    pub(super) fn another_description(&self, filename: &str) -> io::Result<fs::File> {
        open_again(&self.file, filename, false)
    }
}

/// Devices are the same by their number: their nodes in the file system come and go.
fn is_same_file(a: &fs::File, b: &fs::File) -> io::Result<bool> {
    let (a, b) = (a.metadata()?, b.metadata()?);
    let same_inode = (a.dev(), a.ino()) == (b.dev(), b.ino());
    Ok(same_inode || (a.rdev() != 0 && a.rdev() == b.rdev()))
}

fn open(filename: &str, write: bool) -> io::Result<fs::File> {
    OpenOptions::new().read(true).write(write).open(filename)
}

/// Opens the image anew; one that was replaced just now is as good as gone.
fn open_again(image: &fs::File, filename: &str, write: bool) -> io::Result<fs::File> {
    let another = open(filename, write)?;
    if is_same_file(image, &another)? { Ok(another) } else { Err(Errno::STALE.into()) }
}

fn not_permitted(error: &io::Error) -> bool {
    let refusals = [Errno::ACCESS, Errno::PERM, Errno::ROFS];
    refusals.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
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
