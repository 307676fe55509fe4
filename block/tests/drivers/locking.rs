//! Image locking against QEMU's own programs, in both directions.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use block::driver::host_file::{Access, HostOptions};
use block::driver::{BlockDriver, DriverOptions, Usage, file::File};
use qapi_schema::common::OnOffAuto;

use crate::host::{self, image, options, text};

fn open(path: &Path) -> File {
    File::open(options(path)).expect("opens")
}

fn question(path: &Path) -> String {
    format!("Is another process using the image [{}]?", path.display())
}

/// qemu-io with an image open.
struct QemuIo {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl QemuIo {
    /// Returns when the image is open.
    fn open(path: &Path, options: &[&str]) -> Self {
        let mut process = Command::new("qemu-io")
            .args(options)
            .args(["-f", "raw", text(path)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let mut this = Self { process, output };
        this.ask("read 0 512", "read 512/512");
        this
    }

    fn ask(&mut self, command: &str, reply: &str) {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{command}").expect("takes commands");
        let mut line = String::new();
        while !line.contains(reply) {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).expect("answers"), 0, "no {reply} after {command}");
        }
    }

    fn close(mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("leaves");
    }
}

/// What qemu-io says when it is to write to the image.
fn writing_with_qemu_io(path: &Path) -> Result<(), String> {
    let output = Command::new("qemu-io").args(["-f", "raw", "-c", "write 0 512", text(path)]).output().expect("runs");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(complaint) }
}

#[test]
fn an_image_in_use_here_is_closed_to_qemu_s_writers() {
    if !host::has_qemu("qemu-io") {
        return;
    }
    let (_directory, path) = image(4096);
    let disk = open(&path);
    assert_eq!(writing_with_qemu_io(&path), Ok(()), "a node that nobody uses claims nothing");
    for usage in [Usage::Read, Usage::Write] {
        disk.acquire(usage).expect("free");
        let complaint = writing_with_qemu_io(&path).expect_err("refused");
        assert!(complaint.contains("Failed to get \"write\" lock"), "{usage:?}: {complaint}");
        QemuIo::open(&path, &["-r"]).close();
        disk.release(usage);
        assert_eq!(writing_with_qemu_io(&path), Ok(()), "free again");
    }
}

#[test]
fn an_image_in_use_by_qemu_is_closed_to_writers_and_readers_here() {
    if !host::has_qemu("qemu-io") {
        return;
    }
    let (_directory, path) = image(4096);
    let qemu = QemuIo::open(&path, &[]);
    let disk = open(&path);
    for usage in [Usage::Write, Usage::Read] {
        let error = disk.acquire(usage).expect_err("in use");
        assert_eq!(error.to_string(), format!("Failed to get shared \"write\" lock. {}", question(&path)));
    }
    let sharing = HostOptions { access: Access::ReadOnly, force_share: true, ..options(&path) };
    let sharing = File::open(sharing).expect("opens");
    sharing.acquire(Usage::Read).expect("does not mind");
    sharing.release(Usage::Read);
    let careless = File::open(HostOptions { locking: OnOffAuto::Off, ..options(&path) }).expect("opens");
    careless.acquire(Usage::Write).expect("does not look");
    qemu.close();
    disk.acquire(Usage::Write).expect("free now: nothing was left behind");
}

#[test]
fn an_image_that_qemu_only_reads_may_be_written_here() {
    if !host::has_qemu("qemu-io") {
        return;
    }
    let (_directory, path) = image(4096);
    let qemu = QemuIo::open(&path, &["-r"]);
    let disk = open(&path);
    disk.acquire(Usage::Write).expect("qemu-io shares what it reads");
    qemu.close();
}

#[test]
fn nobody_resizes_an_image_in_use() {
    if !host::has_qemu("qemu-img") {
        return;
    }
    let (_directory, path) = image(4096);
    let disk = open(&path);
    disk.acquire(Usage::Read).expect("free");
    assert!(host::run("qemu-img", &["resize", "-f", "raw", text(&path), "1M"]).is_none());
    let other = open(&path);
    let error = other.acquire(Usage::Resize).expect_err("in use");
    assert_eq!(error.to_string(), format!("Failed to get \"resize\" lock. {}", question(&path)));
    disk.acquire(Usage::Resize).expect("by its own user it may be");
    disk.release(Usage::Resize);
    disk.release(Usage::Read);
    assert!(host::run("qemu-img", &["resize", "-f", "raw", text(&path), "1M"]).is_some());
}

#[test]
fn two_nodes_of_this_process_keep_each_other_out() {
    let (_directory, path) = image(4096);
    let (first, second) = (open(&path), open(&path));
    first.acquire(Usage::Read).expect("free");
    second.acquire(Usage::Read).expect("readers share");
    let error = second.acquire(Usage::Write).expect_err("being read");
    assert_eq!(error.to_string(), format!("Failed to get \"write\" lock. {}", question(&path)));
    first.acquire(Usage::Write).expect_err("being read by the second");
    second.release(Usage::Read);
    first.acquire(Usage::Write).expect("upgraded");
    second.acquire(Usage::Read).expect_err("being written");
    first.release(Usage::Write);
    second.acquire(Usage::Read).expect("downgraded");
}

#[test]
fn of_two_writers_that_come_at_once_at_most_one_gets_in() {
    let (_directory, path) = image(4096);
    let disks = [open(&path), open(&path)];
    for _ in 0..500 {
        let in_use = std::sync::atomic::AtomicUsize::new(0);
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for disk in &disks {
                scope.spawn(|| {
                    barrier.wait();
                    let got = disk.acquire(Usage::Write).is_ok();
                    let before = in_use.fetch_add(usize::from(got), std::sync::atomic::Ordering::SeqCst);
                    assert!(!got || before == 0, "two writers");
                    barrier.wait();
                    if got {
                        disk.release(Usage::Write);
                    }
                });
            }
        });
    }
}

#[test]
fn reopening_keeps_the_lock() {
    let (_directory, path) = image(4096);
    let (disk, other) = (open(&path), open(&path));
    disk.acquire(Usage::Write).expect("free");
    let reader = DriverOptions::File(HostOptions { access: Access::ReadOnly, ..options(&path) });
    for options in [reader, DriverOptions::File(options(&path))] {
        (disk.prepare_reopen(&options).expect("possible").commit)();
        other.acquire(Usage::Read).expect_err("in use");
    }
    disk.release(Usage::Write);
    other.acquire(Usage::Write).expect("free");
}

#[test]
fn a_lock_goes_with_the_node_but_not_with_another_descriptor() {
    let (_directory, path) = image(4096);
    let (disk, other) = (Arc::new(open(&path)), open(&path));
    disk.acquire(Usage::Write).expect("free");
    // A lock of the process would be gone now.
    drop(std::fs::File::open(&path).expect("opens"));
    drop(open(&path));
    other.acquire(Usage::Write).expect_err("in use");
    drop(disk);
    other.acquire(Usage::Write).expect("free");
}
