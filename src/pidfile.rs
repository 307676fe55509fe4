//! A file with the process id: locked as long as the process lives, removed when it leaves.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use block::error::message;
use rustix::fs::{FlockOperation, flock};

/// The locked file. Dropping it removes it.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Pidfile {
    /// Writes the id of this process to `path`.
    ///
    /// # Errors
    /// The file can't be written, or another live process has it.
    pub fn create(path: &str) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot create PID file '{path}': {}", message(&error));
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| format!("cannot create PID file '{path}': it is locked by another process"))?;
        let write = |file: &mut File| {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(failed)?;
        // Absolute, for the process may change its directory before it leaves.
        let path = fs::canonicalize(path).map_err(failed)?;
        Ok(Self { path, _file: file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // A file that somebody removed already is gone all the same.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_and_the_file_goes_with_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        let text = path.to_str().expect("UTF-8");
        let first = Pidfile::create(text).expect("created");
        assert_eq!(fs::read_to_string(first.path()).expect("readable"), format!("{}\n", std::process::id()));
        assert!(Pidfile::create(text).expect_err("locked").contains("locked by another process"));
        drop(first);
        assert!(!path.exists());
    }
}
