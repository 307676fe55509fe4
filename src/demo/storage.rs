//! What the demo's disk lies on, and how more space is added to it.

use std::fs::File;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::conversation::Client;
use super::screen::{Screen, mebibytes};

/// Where space comes from.
#[derive(Debug)]
pub enum Storage {
    /// A quota, which grows by steps.
    Quota {
        /// The present limit in bytes.
        limit: u64,
        /// What is added, in bytes.
        step: u64,
    },
    /// A real file system, which grows by a command.
    Grow(String),
    /// A real file system, to which the operator adds the space.
    Operator,
}

/// Removes the image.
///
/// # Errors
/// It is not there.
pub fn remove(directory: &Path) -> io::Result<()> {
    std::fs::remove_file(image(directory))
}

fn image(directory: &Path) -> PathBuf {
    directory.join("whystop-demo.img")
}

fn quota(limit: u64, file: &str) -> String {
    format!(r#"{{"driver": "quota", "node-name": "thin", "limit": {limit}, "file": {file}}}"#)
}

impl Storage {
    /// Creates the image and returns the options of its node, `thin`.
    ///
    /// # Errors
    /// The image can't be created.
    pub fn create(&self, directory: &Path, size: u64) -> io::Result<String> {
        let image = image(directory);
        let create = File::create(&image).and_then(|file| file.set_len(size));
        create.map_err(|error| io::Error::other(format!("cannot create '{}': {error}", image.display())))?;
        let file = json!({"driver": "file", "filename": image, "node-name": "image"});
        Ok(match self {
            Self::Quota { limit, .. } => quota(*limit, &file.to_string()),
            Self::Grow(_) | Self::Operator => json!({"driver": "raw", "node-name": "thin", "file": file}).to_string(),
        })
    }

    /// Adds space.
    ///
    /// # Errors
    /// It could not be added.
    pub fn extend(&mut self, client: &mut Client, screen: &Screen) -> io::Result<()> {
        match self {
            Self::Quota { limit, step } => {
                *limit += *step;
                let options = quota(*limit, r#""image""#);
                let command = format!(r#"{{"execute": "blockdev-reopen", "arguments": {{"options": [{options}]}}}}"#);
                client.execute(&command).map(drop)
            }
            Self::Grow(command) => {
                screen.line(&format!("$ {command}"));
                let status = Command::new("sh").arg("-c").arg(&*command).status()?;
                if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command}: {status}"))) }
            }
            Self::Operator => {
                screen.line("      add space, then press Enter");
                match io::stdin().lock().read_line(&mut String::new())? {
                    0 => Err(io::Error::other("nobody is there to add space")),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Says what it is.
    pub fn describe(&self) -> String {
        match self {
            Self::Quota { limit, .. } => format!("{} MiB of storage", mebibytes(*limit)),
            Self::Grow(_) | Self::Operator => "a file system with less".to_owned(),
        }
    }
}
