//! The driver `file`: a regular file, which may be sparse.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use qapi_schema::Error;
use rustix::fs::FileType;

use super::DriverOptions;
use super::host_file::{HostFile, HostOptions, Kind};

/// The driver `file`.
pub type File = HostFile<RegularFile>;

/// What is particular to regular files.
#[derive(Clone, Copy, Debug)]
pub enum RegularFile {}

/// What `st_blocks` counts in (stat(2)).
const STAT_BLOCK: u64 = 512;

impl Kind for RegularFile {
    const DRIVER: &'static str = "file";

    fn options(options: &DriverOptions) -> Option<&HostOptions> {
        if let DriverOptions::File(options) = options { Some(options) } else { None }
    }

    fn check(filename: &str, found: FileType) -> Result<(), Error> {
        let refuse = |hint| {
            let text = format!("'file' driver requires '{filename}' to be a regular file{hint}");
            Err(Error::generic(text))
        };
        match found {
            FileType::RegularFile => Ok(()),
            FileType::Directory => Err(Error::generic(format!("Could not open '{filename}': Is a directory"))),
            FileType::BlockDevice => refuse("; use the driver 'host_device' for a block device"),
            FileType::Symlink | FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::Unknown => {
                refuse("")
            }
        }
    }

    fn length(file: &fs::File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn resize(file: &fs::File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn granularity(_: &fs::File) -> io::Result<u64> {
        Ok(1)
    }

    fn allocated(file: &fs::File) -> io::Result<Option<u64>> {
        Ok(Some(file.metadata()?.blocks().saturating_mul(STAT_BLOCK)))
    }
}
