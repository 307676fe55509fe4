//! What the tests use of the host: temporary files, small file systems, loop devices, other programs.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use block::driver::DriverOptions;
use block::driver::host_file::{Access, HostOptions};
use block::node::{Node, Settings};
use qapi_schema::common::OnOffAuto;
use tempfile::TempDir;

/// Says that a test can't do its work; where peers are required that is a failure.
pub fn skipped(needs: &str) {
    assert!(std::env::var_os("WHYSTOP_REQUIRE_PEERS").is_none(), "needs {needs}");
    // Not by a macro, whose output is shown only when a test fails.
    let _ = writeln!(io::stderr(), "skipped: needs {needs}");
}

pub fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().expect("an error of the operating system")
}

pub const EPERM: i32 = 1;
pub const EIO: i32 = 5;
pub const EINVAL: i32 = 22;
pub const EFBIG: i32 = 27;
pub const ENOSPC: i32 = 28;

/// How a file is opened unless a test wants it otherwise.
pub fn options(path: &Path) -> HostOptions {
    HostOptions {
        fdset: None,
        filename: path.to_str().expect("UTF-8").to_owned(),
        access: Access::ReadWrite,
        direct: false,
        locking: OnOffAuto::Auto,
        force_share: false,
    }
}

/// A node with settings under which everything reaches the driver.
pub fn node(name: &str, driver: DriverOptions) -> Arc<Node> {
    let settings = Settings { discard: block::node::Discard::Unmap, ..Settings::default() };
    Node::new(name, driver.open().expect("opens"), settings).expect("a node")
}

/// A temporary directory with one image of `size` bytes.
pub fn image(size: u64) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("disk.img");
    fs::File::create(&path).and_then(|file| file.set_len(size)).expect("an image");
    (directory, path)
}

/// A small file system of its own.
pub struct Tmpfs {
    directory: TempDir,
}

impl Tmpfs {
    /// Mounts it; nothing where that isn't permitted.
    pub fn mount(size: &str) -> Option<Self> {
        let directory = TempDir::new().expect("a temporary directory");
        let option = format!("size={size}");
        if run("mount", &["-t", "tmpfs", "-o", &option, "tmpfs", text(directory.path())]).is_none() {
            skipped("root and mount");
            return None;
        }
        Some(Self { directory })
    }

    pub fn resize(&self, size: &str) {
        let option = format!("remount,size={size}");
        run("mount", &["-o", &option, text(self.path())]).expect("remounts");
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if run("umount", &[text(self.directory.path())]).is_none() {
            // Something of the failed test still has a file open.
            run("umount", &["-l", text(self.directory.path())]);
        }
    }
}

/// A block device on top of a file.
pub struct Loop {
    pub device: PathBuf,
    _image: TempDir,
}

impl Loop {
    /// Makes one; nothing where that isn't possible.
    pub fn new(size: u64, sector: u32) -> Option<Self> {
        let (directory, path) = image(size);
        let sector = sector.to_string();
        let made = run("losetup", &["--find", "--show", "--sector-size", &sector, text(&path)]);
        let Some(output) = made else {
            skipped("root and losetup");
            return None;
        };
        let device = String::from_utf8(output.stdout).expect("a path").trim().into();
        Some(Self { device, _image: directory })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["--detach", text(&self.device)]);
    }
}

/// Runs a program; nothing if it is missing or fails.
pub fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(output)
}

/// Whether a program of package qemu-utils can be run.
pub fn has_qemu(program: &str) -> bool {
    let found = run(program, &["--version"]).is_some();
    if !found {
        skipped(program);
    }
    found
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
