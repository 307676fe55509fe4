//! Where an image is opened: at its path, or from a set of descriptors that were handed over.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::{FileType, OFlags};

use super::HostOptions;
use crate::fdset::{FdSetUser, reopen};

/// What an image is opened from, as long as it is open.
#[derive(Debug)]
pub(super) enum Source {
    Path(PathBuf),
    Set(FdSetUser),
}

impl Source {
    pub(super) fn new(options: &HostOptions) -> io::Result<Self> {
        match &options.fdset {
            None => Ok(Self::Path(options.filename.clone().into())),
            Some(set) => Ok(Self::Set(set.join()?)),
        }
    }

    /// What is there, where opening what is not an image can wait, as with a pipe, or do things, as with a device.
    pub(super) fn look(&self) -> io::Result<Option<FileType>> {
        match self {
            Self::Path(path) => Ok(Some(FileType::from_raw_mode(fs::metadata(path)?.mode()))),
            Self::Set(_) => Ok(None),
        }
    }

    /// Opens the image, past the page cache if `direct`.
    pub(super) fn open(&self, write: bool, direct: bool) -> io::Result<fs::File> {
        match self {
            Self::Path(path) => {
                let flags = if direct { OFlags::DIRECT } else { OFlags::empty() };
                OpenOptions::new().read(true).write(write).custom_flags(flags.bits().cast_signed()).open(path)
            }
            Self::Set(user) => Ok(user.open(write, direct)?.into()),
        }
    }

    /// Opens the image for reading with a description of its own: copies of `file` share one.
    pub(super) fn open_anew(&self, file: &fs::File) -> io::Result<fs::File> {
        match self {
            Self::Path(_) => self.open(false, false),
            Self::Set(_) => Ok(reopen(file, OFlags::RDONLY)?.into()),
        }
    }
}
