//! The driver `host_device`: a block device of the host.

use std::fs;
use std::io;

use qapi_schema::Error;
use rustix::fs::{FileType, SeekFrom, ioctl_blksszget};

use super::DriverOptions;
use super::host_file::{HostFile, HostOptions, Kind};

/// The driver `host_device`.
pub type HostDevice = HostFile<BlockDevice>;

/// What is particular to block devices.
#[derive(Clone, Copy, Debug)]
pub enum BlockDevice {}

impl Kind for BlockDevice {
    const DRIVER: &'static str = "host_device";

    fn options(options: &DriverOptions) -> Option<&HostOptions> {
        if let DriverOptions::HostDevice(options) = options { Some(options) } else { None }
    }

    fn check(filename: &str, found: FileType) -> Result<(), Error> {
        let hint = match found {
            FileType::BlockDevice => return Ok(()),
            FileType::RegularFile => "; use the driver 'file' for a regular file",
            FileType::Directory
            | FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::Unknown => "",
        };
        Err(Error::generic(format!("'host_device' driver requires '{filename}' to be a block device{hint}")))
    }

    fn length(file: &fs::File) -> io::Result<u64> {
        Ok(rustix::fs::seek(file, SeekFrom::End(0))?)
    }

    /// The device decides its size. What succeeds is to be told that it has changed.
    fn resize(file: &fs::File, length: u64) -> io::Result<()> {
        if Self::length(file)? == length {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::Unsupported, "Cannot resize device files"))
        }
    }

    fn granularity(file: &fs::File) -> io::Result<u64> {
        Ok(u64::from(ioctl_blksszget(file)?.max(1)))
    }

    fn allocated(_: &fs::File) -> io::Result<Option<u64>> {
        Ok(None)
    }
}
