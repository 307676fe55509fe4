//! NBD 4 KiB random writes into a page-cached file, one at a time and 32 deep, beside qemu-storage-daemon.
#![allow(clippy::expect_used)]

use std::fs::File;
use std::time::Instant;

use block::nbd::Address;
use block::nbd::client::Client;
use block::request::Operation;
use support::{connect, contestants, row};

mod support;

const SIZE: u64 = 256 << 20;
const PIECE: u64 = 4096;
const WRITES: usize = 100_000;

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("disk.img");
    File::create(&image).and_then(|file| file.set_len(SIZE)).expect("an image");
    let (mut one, mut deep) = (Vec::new(), Vec::new());
    for contestant in contestants().into_iter().filter(|contestant| contestant.name != "qemu") {
        let file = format!("driver=file,node-name=disk,filename={}", image.display());
        let server = "addr.type=unix,addr.path={dir}/nbd.sock";
        let export = "type=nbd,id=e,node-name=disk,writable=on";
        let daemon = contestant.start(1, &["--blockdev", &file, "--nbd-server", server, "--export", export]);
        drop(connect(&daemon.path("nbd.sock")));
        daemon.client();
        let address = Address::Unix(daemon.path("nbd.sock"));
        // Once for nothing, so that every page is there for each of them.
        writes(&address, 32);
        one.push((contestant.name, writes(&address, 1)));
        deep.push((contestant.name, writes(&address, 32)));
    }
    row("NBD 4 KiB random write, depth 1", "per s", &one);
    row("NBD 4 KiB random write, depth 32", "per s", &deep);
}

/// Writes per second with so many under way.
fn writes(address: &Address, depth: usize) -> f64 {
    let (mut submitter, mut replies) = Client::connect(address, "disk").expect("connected").split();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut submit = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let offset = random % (SIZE / PIECE) * PIECE;
        submitter.submit(&Operation::Write { offset, data: vec![0xa5; PIECE as usize], fua: false }).expect("sent");
    };
    let start = Instant::now();
    (0..depth).for_each(|_| submit());
    for done in 0..WRITES {
        replies.next_reply().expect("a reply").result.expect("written");
        if done + depth < WRITES {
            submit();
        }
    }
    WRITES as f64 / start.elapsed().as_secs_f64()
}
