//! The options of `whystop demo`.

use std::ffi::OsString;
use std::path::PathBuf;

use qapi_schema::{Dialect, FromValue, Visitor};

use super::storage::Storage;

/// What `whystop demo --help` prints.
pub const HELP: &str = "\
Usage: whystop demo [--dir DIR [--grow COMMAND]] [--size SIZE]

A guest writes a disk that has too little storage: each time it runs out, the guest is stopped,
space is added, and the guest goes on. Exit status 1 if a write was failed or lost.

  --dir DIR       put the disk on this file system, and let it run full (default: a quota on a
                  temporary file). You are asked to add the space when it is needed
  --grow COMMAND  add the space by this command instead of asking
                  Example: --dir /mnt/small --grow 'mount -o remount,size=64M /mnt/small'
  --size SIZE     the size of the disk (default: 16M, with --dir 64M)";

const EMBEDDED_SIZE: u64 = 16 << 20;
const REAL_SIZE: u64 = 64 << 20;
/// The embedded storage starts as this part of the disk, and grows by it.
const STEPS: u64 = 4;

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    /// Where the image goes; a temporary directory if none is given.
    pub directory: Option<PathBuf>,
    /// The size of the disk in bytes.
    pub size: u64,
    /// Where space comes from.
    pub storage: Storage,
}

impl Options {
    /// Reads the arguments; `None` if they ask for help.
    ///
    /// # Errors
    /// What makes no sense, for people.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let (mut directory, mut grow, mut size) = (None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let name = argument.to_string_lossy().into_owned();
            let mut value = || arguments.next().ok_or_else(|| format!("{name}: option requires a value"));
            match name.as_str() {
                "--help" | "-h" | "-help" => return Ok(None),
                "--dir" | "-dir" => directory = Some(PathBuf::from(value()?)),
                "--grow" | "-grow" => grow = Some(value()?.to_string_lossy().into_owned()),
                "--size" | "-size" => size = Some(read_size(&value()?.to_string_lossy())?),
                _ => return Err(format!("{name}: invalid option")),
            }
        }
        let default = if directory.is_some() { REAL_SIZE } else { EMBEDDED_SIZE };
        let size = size.unwrap_or(default);
        let storage = match (&directory, grow) {
            (None, Some(_)) => return Err("--grow: needs --dir, the file system that it grows".into()),
            (None, None) => Storage::Quota { limit: size / STEPS, step: size / STEPS },
            (Some(_), Some(command)) => Storage::Grow(command),
            (Some(_), None) => Storage::Operator,
        };
        Ok(Some(Self { directory, size, storage }))
    }
}

fn read_size(text: &str) -> Result<u64, String> {
    let root = Visitor::root(Dialect::Keyval);
    let size = u64::from_value(text.into(), &root).ok().filter(|size| (1 << 20..=1 << 40).contains(size));
    size.ok_or_else(|| format!("--size: '{text}' is not a size from 1M to 1T"))
}
