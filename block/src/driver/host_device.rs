//! The driver `host_device`: a device of the host, where blocks can be read and written at any offset.

use std::cmp::Ordering;
use std::fs;
use std::io;

use qapi_schema::Error;
use rustix::fs::{FileType, SeekFrom, ioctl_blksszget};
use rustix::io::Errno;

use super::DriverOptions;
use super::host_file::{HostFile, HostOptions, Kind};

/// The driver `host_device`.
pub type HostDevice = HostFile<Device>;

/// What is particular to devices.
#[derive(Clone, Copy, Debug)]
pub enum Device {}

impl Kind for Device {
    const DRIVER: &'static str = "host_device";

    fn options(options: &DriverOptions) -> Option<&HostOptions> {
        if let DriverOptions::HostDevice(options) = options { Some(options) } else { None }
    }

    fn check(filename: &str, found: FileType) -> Result<(), Error> {
        let hint = match found {
            FileType::BlockDevice | FileType::CharacterDevice => return Ok(()),
            FileType::RegularFile => "; use the driver 'file' for a regular file",
            FileType::Directory | FileType::Symlink | FileType::Fifo | FileType::Socket | FileType::Unknown => "",
        };
        let text = format!("'host_device' driver requires '{filename}' to be either a character or block device{hint}");
        Err(Error::generic(text))
    }

    fn length(file: &fs::File) -> io::Result<u64> {
        Ok(rustix::fs::seek(file, SeekFrom::End(0))?)
    }

    /// The device decides its size. What succeeds is to be told that it has changed.
    fn resize(file: &fs::File, length: u64) -> io::Result<()> {
        let unsupported = |text| Err(io::Error::new(io::ErrorKind::Unsupported, text));
        match length.cmp(&Self::length(file)?) {
            Ordering::Less => unsupported("Cannot resize device files"),
            Ordering::Equal => Ok(()),
            Ordering::Greater => unsupported("Cannot grow device files"),
        }
    }

    fn granularity(file: &fs::File) -> io::Result<u64> {
        match ioctl_blksszget(file) {
            // A character device, which has no blocks.
            Err(Errno::NOTTY | Errno::INVAL) => Ok(1),
            size => Ok(u64::from(size?.max(1))),
        }
    }

    fn allocated(_: &fs::File) -> io::Result<Option<u64>> {
        Ok(None)
    }
}
