//! The driver `host_device` on loop devices, with sectors of both common sizes.

use std::fs;
use std::path::Path;

use block::driver::host_device::HostDevice;
use block::driver::host_file::HostOptions;
use block::driver::{BlockDriver, DriverOptions};

use crate::host::{self, Loop, image, node, options};

#[test]
fn a_device_keeps_what_is_written_through_the_page_cache_or_past_it() {
    for sector in [512, 4096] {
        let Some(disk) = Loop::new(1 << 20, sector) else { return };
        for direct in [false, true] {
            let device = HostOptions { direct, ..options(&disk.device) };
            let device = node("disk", DriverOptions::HostDevice(device));
            assert_eq!(device.length().expect("known"), 1 << 20);
            assert_eq!(device.direct(), direct);
            device.write_zeroes(0, 1 << 20, true, true).expect("zeroed");
            device.write(1000, &[7; 10_000], true).expect("written");
            device.write_zeroes(2001, 5000, false, false).expect("zeroed in part");
            let mut buffer = vec![0xff; 12_000];
            device.read(0, &mut buffer).expect("read");
            for (at, byte) in buffer.iter().enumerate() {
                let written = (1000..11_000).contains(&at) && !(2001..7001).contains(&at);
                assert_eq!(*byte, if written { 7 } else { 0 }, "at {at}");
            }
            device.discard(0, 1 << 20).expect("advice");
            device.discard(100, 200).expect("too small to be done");
            device.flush().expect("flushed");
        }
    }
}

#[test]
fn a_device_decides_its_own_size() {
    let Some(disk) = Loop::new(1 << 20, 512) else { return };
    let device = HostDevice::open(options(&disk.device)).expect("opens");
    assert_eq!(device.truncate(1 << 19).expect_err("refused").to_string(), "Cannot resize device files");
    device.truncate(1 << 20).expect("that is its size");
    let backing = host::run("losetup", &["--noheadings", "--output", "BACK-FILE", host::text(&disk.device)]);
    let backing = String::from_utf8(backing.expect("listed").stdout).expect("a path");
    let file = fs::OpenOptions::new().write(true).open(backing.trim()).expect("opens");
    file.set_len(2 << 20).expect("longer");
    host::run("losetup", &["--set-capacity", host::text(&disk.device)]).expect("told");
    assert_eq!(device.length().expect("known"), 1 << 20, "until told");
    device.truncate(2 << 20).expect("that is its size now");
    assert_eq!(device.length().expect("known"), 2 << 20);
}

#[test]
fn a_character_device_has_no_size_and_gets_none() {
    let device = HostDevice::open(options(Path::new("/dev/null"))).expect("opens");
    assert_eq!(device.length().expect("known"), 0);
    device.truncate(0).expect("that is its size");
    assert_eq!(device.truncate(512).expect_err("refused").to_string(), "Cannot grow device files");
}

#[test]
fn what_is_no_device_is_refused_with_advice() {
    let (_directory, path) = image(4096);
    let refusal = |path: &Path| HostDevice::open(options(path)).expect_err("refused").to_string();
    let text = format!("'host_device' driver requires '{}' to be either a character or block device", path.display());
    assert_eq!(refusal(&path), format!("{text}; use the driver 'file' for a regular file"));
    let Some(disk) = Loop::new(4096, 512) else { return };
    let file = block::driver::file::File::open(options(&disk.device)).expect_err("refused").to_string();
    assert!(file.ends_with("to be a regular file; use the driver 'host_device' for a block device"), "{file}");
}
