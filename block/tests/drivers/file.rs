//! The driver `file` on ordinary and on full file systems.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use block::driver::host_file::{Access, HostOptions};
use block::driver::{BlockDriver, DriverOptions, file::File};
use block::node::{Discard, Node, Settings};
use qapi_schema::block_core::BlockdevDetectZeroesOptions;

use crate::host::{self, EFBIG, EINVAL, ENOSPC, EPERM, Tmpfs, errno, image, node, options};

const MIB: u64 = 1 << 20;

fn open(path: &Path) -> std::sync::Arc<Node> {
    node("disk", DriverOptions::File(options(path)))
}

fn refusal(options: HostOptions) -> String {
    File::open(options).expect_err("refused").to_string()
}

#[test]
fn what_is_written_is_read_and_the_rest_is_zero() {
    let (_directory, path) = image(MIB);
    let disk = open(&path);
    disk.write(1000, b"hello", false).expect("written");
    let mut buffer = [0xff; 10];
    disk.read(998, &mut buffer).expect("read");
    assert_eq!(&buffer, b"\0\0hello\0\0\0");
    assert_eq!(disk.length().expect("known"), MIB);
    let occupied = disk.allocated().expect("known").expect("known");
    assert!(occupied < MIB / 2, "sparse, yet {occupied} bytes");
}

#[test]
fn a_file_cut_by_somebody_else_reads_as_zeroes_past_its_end() {
    let (_directory, path) = image(8192);
    let disk = open(&path);
    disk.write(0, &[7; 8192], false).expect("written");
    fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(100)).expect("cut");
    let mut buffer = [0xff; 200];
    disk.read(0, &mut buffer).expect("read");
    assert_eq!(buffer[..100], [7; 100]);
    assert_eq!(buffer[100..], [0; 100]);
    assert_eq!(disk.next_data(4096).expect("asked"), None);
}

#[test]
fn requests_outside_the_image_are_refused_whatever_their_size() {
    let (_directory, path) = image(10_000);
    let disk = open(&path);
    disk.write(9_999, &[1], false).expect("the last byte");
    disk.write(10_000, &[], true).expect("nothing at the end");
    for (offset, length) in [(10_000, 1), (9_999, 2), (u64::MAX, 1), (u64::MAX - 1, 2), (1 << 63, 1), (0, u64::MAX)] {
        let buffer_length = usize::try_from(length.min(4)).expect("small");
        let mut buffer = vec![0; buffer_length];
        if buffer_length as u64 == length {
            assert_eq!(errno(&disk.read(offset, &mut buffer).expect_err("refused")), EINVAL);
            assert_eq!(errno(&disk.write(offset, &buffer, false).expect_err("refused")), EINVAL);
        }
        assert_eq!(errno(&disk.discard(offset, length).expect_err("refused")), EINVAL);
        assert_eq!(errno(&disk.write_zeroes(offset, length, true, false).expect_err("refused")), EINVAL);
    }
    assert_eq!(fs::metadata(&path).expect("there").len(), 10_000);
}

#[test]
fn discard_gives_space_back_unless_it_is_to_be_ignored() {
    let (_directory, path) = image(MIB);
    let occupied = || fs::metadata(&path).expect("there").blocks();
    let ignoring = Node::new("disk", Box::new(File::open(options(&path)).expect("opens")), Settings::default());
    let ignoring = ignoring.expect("a node");
    ignoring.write(0, &[1; 1 << 20], true).expect("written");
    let full = occupied();
    ignoring.discard(0, MIB).expect("advice");
    ignoring.write_zeroes(0, MIB / 2, true, true).expect("zeroed");
    assert_eq!(occupied(), full, "neither gives anything back");
    drop(ignoring);
    let disk = open(&path);
    disk.discard(0, MIB).expect("discarded");
    if occupied() == full {
        return host::skipped("a file system with holes");
    }
    assert_eq!(occupied(), 0);
    assert_eq!(disk.next_data(0).expect("asked"), None);
}

#[test]
fn zeroing_with_unmap_makes_holes_and_without_it_keeps_the_space() {
    let (_directory, path) = image(MIB);
    let disk = open(&path);
    disk.write(0, &[1; 1 << 20], true).expect("written");
    disk.write_zeroes(100, MIB - 200, false, true).expect("zeroed");
    let mut buffer = vec![0xff; 1 << 20];
    disk.read(0, &mut buffer).expect("read");
    assert!(buffer[..100] == [1; 100] && buffer[100..(1 << 20) - 100].iter().all(|byte| *byte == 0));
    assert_eq!(fs::metadata(&path).expect("there").blocks(), 2048);
    disk.write_zeroes(0, MIB, true, true).expect("zeroed");
    disk.read(0, &mut buffer).expect("read");
    assert!(buffer.iter().all(|byte| *byte == 0));
}

#[test]
fn zeroes_are_detected_on_demand() {
    let (_directory, path) = image(MIB);
    let settings =
        Settings { discard: Discard::Unmap, detect_zeroes: BlockdevDetectZeroesOptions::Unmap, ..Settings::default() };
    let driver = Box::new(File::open(options(&path)).expect("opens"));
    let disk = Node::new("disk", driver, settings).expect("a node");
    disk.write(0, &[0; 1 << 20], true).expect("written");
    assert_eq!(fs::metadata(&path).expect("there").blocks(), 0);
    let mut almost = vec![0; 1 << 20];
    almost[(1 << 20) - 1] = 1;
    disk.write(0, &almost, true).expect("written");
    assert_eq!(fs::metadata(&path).expect("there").blocks(), 2048);
}

#[test]
fn a_read_only_node_refuses_every_change() {
    let (_directory, path) = image(4096);
    let driver = File::open(HostOptions { access: Access::ReadOnly, ..options(&path) }).expect("opens");
    let disk = Node::new("disk", Box::new(driver), Settings::default()).expect("a node");
    assert!(disk.read_only());
    for result in [disk.write(0, &[1], false), disk.discard(0, 1), disk.write_zeroes(0, 1, true, false)] {
        assert_eq!(errno(&result.expect_err("refused")), EPERM);
    }
    disk.read(0, &mut [0; 4096]).expect("read");
    disk.flush().expect("nothing to do");
}

#[test]
fn files_that_are_none_are_refused_as_qemu_does() {
    let (directory, path) = image(0);
    let at = |name: &str| options(&directory.path().join(name));
    let named = |text: &str, options: &HostOptions| text.replace("{}", &options.filename);
    let missing = at("missing");
    assert_eq!(refusal(missing.clone()), named("Could not open '{}': No such file or directory", &missing));
    let here = options(directory.path());
    assert_eq!(refusal(here.clone()), named("Could not open '{}': Is a directory", &here));
    let pipe = at("pipe");
    if host::run("mkfifo", &[&pipe.filename]).is_some() {
        assert_eq!(refusal(pipe.clone()), named("'file' driver requires '{}' to be a regular file", &pipe));
    }
    let null = options(Path::new("/dev/null"));
    assert_eq!(refusal(null.clone()), named("'file' driver requires '{}' to be a regular file", &null));
    let nested = options(&path.join("x"));
    assert_eq!(refusal(nested.clone()), named("Could not open '{}': Not a directory", &nested));
    let empty = HostOptions { filename: String::new(), ..options(&path) };
    assert_eq!(refusal(empty), "The 'file' block driver requires a file name");
    let nul = HostOptions { filename: "a\0b".to_owned(), ..options(&path) };
    assert!(refusal(nul).starts_with("Could not open 'a\0b': "));
    let long = at(&"x".repeat(300));
    assert_eq!(refusal(long.clone()), named("Could not open '{}': File name too long", &long));
}

#[test]
fn a_file_that_may_not_be_written_is_opened_for_reading_where_that_is_enough() {
    let (_directory, path) = image(4096);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("made read-only");
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        // The superuser may write anything but an executable that runs: a file system mounted read-only it may not.
        let Some(tmpfs) = Tmpfs::mount("1m") else { return };
        let path = tmpfs.path().join("disk.img");
        fs::write(&path, [0; 4096]).expect("written");
        host::run("mount", &["-o", "remount,ro", host::text(tmpfs.path())]).expect("remounts");
        return check_not_writable(&path, "Read-only file system");
    }
    check_not_writable(&path, "Permission denied");
}

fn check_not_writable(path: &Path, cause: &str) {
    assert_eq!(refusal(options(path)), format!("Could not open '{}': {cause}", path.display()));
    let file = File::open(HostOptions { access: Access::ReadWriteIfPermitted, ..options(path) }).expect("opens");
    assert!(file.read_only());
    assert!(File::open(HostOptions { access: Access::ReadOnly, ..options(path) }).is_ok());
}

#[test]
fn the_size_can_be_changed_within_what_the_host_can_do() {
    let (_directory, path) = image(10_000);
    let file = File::open(options(&path)).expect("opens");
    file.write(9_990, &[5; 10]).expect("written");
    file.truncate(20_001).expect("longer");
    assert_eq!(file.length().expect("known"), 20_001);
    let mut buffer = [0xff; 20];
    file.read(9_990, &mut buffer).expect("read");
    assert_eq!((&buffer[..10], &buffer[10..]), (&[5; 10][..], &[0; 10][..]));
    match file.truncate(i64::MAX as u64) {
        Ok(()) => file.read(i64::MAX as u64 - 20, &mut buffer).expect("read"),
        Err(error) => assert_eq!(errno(&error), EFBIG),
    }
    file.truncate(20_001).expect("shorter");
    assert!(file.truncate(u64::MAX).is_err());
    assert_eq!(file.length().expect("known"), 20_001);
    file.truncate(0).expect("empty");
    assert_eq!(file.next_data(0).expect("asked"), None);
}

#[test]
fn a_full_file_system_fails_a_write_with_enospc_and_space_lets_it_go_on() {
    let Some(tmpfs) = Tmpfs::mount("1m") else { return };
    let path = tmpfs.path().join("disk.img");
    fs::File::create(&path).and_then(|file| file.set_len(4 * MIB)).expect("sparse");
    let disk = open(&path);
    let block = |at: u64| vec![at as u8 + 1; 1 << 16];
    let mut failed = 0;
    for at in 0..64 {
        while let Err(error) = disk.write(at << 16, &block(at), false) {
            assert_eq!(errno(&error), ENOSPC);
            failed += 1;
            tmpfs.resize(&format!("{}k", 1024 + failed * 512));
        }
    }
    assert!((6..8).contains(&failed), "{failed} times");
    let mut buffer = vec![0; 1 << 16];
    for at in 0..64 {
        disk.read(at << 16, &mut buffer).expect("read");
        assert_eq!(buffer, block(at));
    }
}

#[test]
fn zeroing_that_keeps_its_space_needs_space_on_a_full_file_system() {
    let Some(tmpfs) = Tmpfs::mount("1m") else { return };
    let path = tmpfs.path().join("disk.img");
    fs::File::create(&path).and_then(|file| file.set_len(4 * MIB)).expect("sparse");
    let disk = open(&path);
    assert_eq!(errno(&disk.write_zeroes(0, 4 * MIB, false, false).expect_err("too much")), ENOSPC);
    disk.write_zeroes(0, 4 * MIB, true, false).expect("holes cost nothing");
    disk.write_zeroes(0, MIB / 2, false, false).expect("fits");
    assert_eq!(fs::metadata(&path).expect("there").blocks(), 1024);
    tmpfs.resize("5m");
    disk.write_zeroes(0, 4 * MIB, false, false).expect("fits now");
}
