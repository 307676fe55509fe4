//! `cache.direct=on`: unaligned requests, images of odd length, and overlapping writers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use block::driver::file::File;
use block::driver::host_file::HostOptions;
use block::driver::{BlockDriver, DriverOptions};
use block::node::Node;

use crate::host::{self, Tmpfs, image, node, options};

fn direct(path: &Path) -> HostOptions {
    HostOptions { direct: true, ..options(path) }
}

/// Opens an image past the page cache; nothing where the file system can't.
pub fn open(path: &Path) -> Option<Arc<Node>> {
    if let Err(error) = File::open(direct(path)) {
        let text = format!("Could not open '{}': filesystem does not support O_DIRECT", path.display());
        assert_eq!(error.to_string(), text);
        host::skipped("a file system with O_DIRECT");
        return None;
    }
    let disk = node("disk", DriverOptions::File(direct(path)));
    assert!(disk.direct() && disk.info().cache.direct);
    Some(disk)
}

#[test]
fn an_image_of_odd_length_keeps_it_and_its_last_bytes() {
    for length in [1_u64, 511, 513, 4095, 4097, 10_007, 70_001] {
        let (_directory, path) = image(length);
        let Some(disk) = open(&path) else { return };
        let size = usize::try_from(length).expect("small");
        let data: Vec<u8> = (0..length).map(|at| (at % 251) as u8 + 1).collect();
        disk.write(0, &data, true).expect("written");
        let mut buffer = vec![0; size];
        disk.read(0, &mut buffer).expect("read");
        assert!(buffer == data, "{length}");
        disk.write(length - 1, &[0xee], true).expect("the last byte");
        assert_eq!(fs::metadata(&path).expect("there").len(), length);
        let mut expected = data;
        expected[size - 1] = 0xee;
        assert!(fs::read(&path).expect("read") == expected, "{length}");
    }
}

#[test]
fn overlapping_writers_of_parts_of_a_block_lose_nothing() {
    const WRITERS: usize = 8;
    const PIECE: usize = 24;
    let (_directory, path) = image(8192 + 100);
    let Some(disk) = open(&path) else { return };
    // Each writes a piece of every 192 bytes: no two write the same bytes, all write the same blocks.
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let disk = &disk;
            scope.spawn(move || {
                for round in 0..20_u8 {
                    for start in (0..8192 + 100 - WRITERS * PIECE).step_by(WRITERS * PIECE) {
                        let at = (start + writer * PIECE) as u64;
                        disk.write(at, &[round * 8 + writer as u8; PIECE], false).expect("written");
                    }
                }
            });
        }
    });
    let content = fs::read(&path).expect("read");
    for (at, byte) in content.iter().enumerate().take(42 * WRITERS * PIECE) {
        let writer = at / PIECE % WRITERS;
        assert_eq!(usize::from(*byte), 19 * 8 + writer, "at {at}");
    }
}

#[test]
fn a_request_larger_than_a_bounce_buffer_is_cut_up() {
    const LENGTH: usize = (5 << 20) + 1234;
    let (_directory, path) = image(6 << 20);
    let Some(disk) = open(&path) else { return };
    let data: Vec<u8> = (0..LENGTH).map(|at| (at / 7 % 256) as u8).collect();
    for offset in [0, 1, 4095, 512] {
        disk.write(offset, &data, false).expect("written");
        let mut buffer = vec![0; LENGTH];
        disk.read(offset, &mut buffer).expect("read");
        assert!(buffer == data, "at {offset}");
    }
}

#[test]
fn a_full_file_system_fails_a_direct_write_with_enospc_and_space_lets_it_go_on() {
    let Some(tmpfs) = Tmpfs::mount("1m") else { return };
    let path = tmpfs.path().join("disk.img");
    fs::File::create(&path).and_then(|file| file.set_len(2 << 20)).expect("sparse");
    let Some(disk) = open(&path) else { return };
    let data: Vec<u8> = (0..2 << 20).map(|at| (at % 253) as u8).collect();
    let error = disk.write(0, &data, false).expect_err("too much");
    assert_eq!(host::errno(&error), host::ENOSPC);
    tmpfs.resize("3m");
    disk.write(0, &data, true).expect("fits now");
    assert!(fs::read(&path).expect("read") == data);
}

#[test]
fn writers_lose_nothing_while_the_page_cache_is_switched_on_and_off() {
    let (_directory, path) = image(8192);
    if open(&path).is_none() {
        return;
    }
    let file = File::open(options(&path)).expect("opens");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let modes = [direct(&path), options(&path)].map(DriverOptions::File);
            for mode in modes.iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                (file.prepare_reopen(mode).expect("possible").commit)();
            }
        });
        // All write in the same block, each its own bytes.
        let writers = [0, 100, 200, 300].map(|at| {
            let file = &file;
            scope.spawn(move || {
                for round in 0..500_u32 {
                    let bytes = [(round % 255) as u8 + 1; 100];
                    file.write(at, &bytes).expect("written");
                    let mut buffer = [0; 100];
                    file.read(at, &mut buffer).expect("read");
                    assert_eq!(buffer, bytes, "round {round} at {at}");
                }
            })
        });
        let results = writers.map(thread::ScopedJoinHandle::join);
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
}
