//! The whole of it with a real guest: `qemu-img` copies an image to an NBD export whose storage is too small, and is grown
//! whenever the VM stops for it. `qemu-img` never sees an error, and nothing is lost.

#![allow(clippy::expect_used)]

mod support;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use support::daemon::{Daemon, wait};
use support::peer;
use support::qmp::QmpClient;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// The size of the image.
const SIZE: u64 = 64 * MIB;
/// What fits at first, and how much is added whenever that is not enough.
const STEP: u64 = 16 * MIB;

/// On a real file system that is really full.
#[test]
fn a_copy_to_a_full_file_system_succeeds_as_it_is_grown() {
    let mut mount = Command::new("unshare");
    mount.args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]);
    if !qemu_img_is_there() || !peer::is_there("a tmpfs, which root can mount", &mut mount) {
        return;
    }
    let mut tmpfs = Tmpfs::mount(STEP);
    let disk = sparse_file(tmpfs.path());
    let node = format!("file,node-name=disk,filename={}", disk.display());
    copy(&["--blockdev", &node], |_| tmpfs.grow());
}

/// On the embedded default, which needs no root.
#[test]
fn a_copy_to_a_full_quota_succeeds_as_it_is_raised() {
    if !qemu_img_is_there() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let disk = sparse_file(directory.path());
    let file = format!("file,node-name=file,filename={}", disk.display());
    let mut limit = STEP;
    let quota = format!("quota,node-name=disk,limit={limit},file=file");
    copy(&["--blockdev", &file, "--blockdev", &quota], |management| {
        limit += STEP;
        let options = json!({"driver": "quota", "node-name": "disk", "limit": limit, "file": "file"});
        management.execute("blockdev-reopen", json!({"options": [options]})).expect("a higher limit");
    });
}

fn qemu_img_is_there() -> bool {
    peer::is_there("qemu-img", Command::new("qemu-img").arg("--version"))
}

/// Copies random data to the node `disk`, which is too small for it until it has grown often enough, and compares.
fn copy(blockdev: &[&str], mut grow: impl FnMut(&mut QmpClient)) {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("source.img");
    let mut random = File::open("/dev/urandom").expect("random numbers").take(SIZE);
    io::copy(&mut random, &mut File::create(&source).expect("a file")).expect("an image");

    let options = [blockdev, &["--export", "nbd,id=disk,node-name=disk,writable=on"]].concat();
    let mut daemon = Daemon::start(directory, &options).expect("a daemon");
    let mut management = QmpClient::connect(&daemon.qmp_socket()).expect("a client");
    let target = format!("nbd+unix:///disk?socket={}", daemon.nbd_socket().display());

    let stops = thread::scope(|scope| {
        let mut end_of_copy = QmpClient::connect(&daemon.qmp_socket()).expect("a client");
        let (source, target) = (&source, &target);
        scope.spawn(move || {
            qemu_img(&["convert", "-n", "-f", "raw", "-O", "raw"], source, target);
            end_of_copy.execute("stop", Value::Null).expect("the VM runs");
        });
        let mut stops = 0;
        while management.event("STOP").expect("a stop")["reason"] == "ioerror" {
            let why = management.execute("query-stop-reason", Value::Null).expect("a reason");
            assert_eq!(why["last-stop"]["io-errors"][0]["reason"], "enospc", "{why}");
            stops += 1;
            grow(&mut management);
            management.execute("cont", Value::Null).expect("the VM goes on");
        }
        stops
    });
    assert!(stops >= SIZE / STEP - 1, "it stopped {stops} times only");

    management.execute("cont", Value::Null).expect("the VM goes on");
    qemu_img(&["compare", "-f", "raw", "-F", "raw"], &source, &target);
    drop(management);
    daemon.terminate();
    daemon.wait().expect("a clean end");
}

/// Runs qemu-img, which must succeed.
fn qemu_img(arguments: &[&str], source: &Path, target: &str) {
    let mut command = Command::new("qemu-img");
    command.args(arguments).arg(source).arg(target).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let ended = wait(&mut child);
    // One that has not ended must not be waited for.
    let _ = child.kill();
    let output = child.wait_with_output().expect("readable");
    assert!(ended.is_ok_and(|status| status.success()), "{command:?}: {output:?}");
}

fn sparse_file(directory: &Path) -> PathBuf {
    let path = directory.join("disk.img");
    File::create(&path).and_then(|file| file.set_len(SIZE)).expect("a sparse file");
    path
}

/// A file system in memory.
struct Tmpfs {
    directory: TempDir,
    size: u64,
}

impl Tmpfs {
    fn mount(size: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(directory.path()));
        Self { directory, size }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn grow(&mut self) {
        self.size += STEP;
        run(Command::new("mount").args(["-o", &format!("remount,size={}", self.size)]).arg(self.path()));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily, for a daemon whose test failed may still be there.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}
