//! The qtest protocol beside QEMU: a register's round trip, and a mebibyte into guest memory.
//!
//! The lines are made before they are measured, so what is compared is the server, and the system between.
#![allow(clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use figures::{micros, on_cores, percentile, row};
use support::daemon::whystop;
use support::emulator::{Emulator, Reference};

#[path = "support/mod.rs"]
mod figures;
#[path = "../tests/support/mod.rs"]
mod support;

/// How often each contestant has its turn, and what it does in one.
const TURNS: usize = 5;
const ROUNDS: usize = 10_000;
const BUFFERS: usize = 50;
const BUFFER: usize = 1 << 20;
/// A board that both have, and a word and a buffer in its RAM.
const MACHINE: [&str; 5] = ["-nodefaults", "-M", "microvm", "-m", "16"];
const WORD: u64 = 0x10_0000;
const BUFFER_AT: u64 = 0x20_0000;

fn main() {
    let word = [format!("writel {WORD:#x} 0x12345678"), format!("readl {WORD:#x}")];
    let buffer = [format!("b64write {BUFFER_AT:#x} {BUFFER:#x} {}", STANDARD.encode(vec![0x5a; BUFFER]))];
    let start = || {
        let ours = Emulator::start(whystop(), &MACHINE).expect("whystop");
        let reference = Reference::find().map(|reference| ("qemu", reference.start(&MACHINE).expect("QEMU")));
        [("whystop", ours)].into_iter().chain(reference).collect::<Vec<_>>()
    };
    on_cores(start, |place, machines| {
        for (what, lines, rounds) in [("writel, readl", &word[..], ROUNDS), ("b64write of 1 MiB", &buffer, BUFFERS)] {
            let mut samples = vec![Vec::new(); machines.len()];
            for _ in 0..TURNS {
                for ((_, machine), sample) in machines.iter().zip(&mut samples) {
                    sample.extend((0..rounds).map(|_| time(machine, lines)));
                }
            }
            for share in [50, 99] {
                let names = machines.iter().map(|(name, _)| *name);
                let figures = names.zip(samples.iter_mut().map(|sample| micros(percentile(sample, share))));
                row(&format!("{what}, {place}, {share} of 100"), "us", &figures.collect::<Vec<_>>());
            }
        }
    });
}

/// How long it takes until all of these lines have been answered, one after the other.
fn time(machine: &Emulator, lines: &[String]) -> Duration {
    let start = Instant::now();
    for line in lines {
        let answer = machine.qtest.exchange(line.as_bytes()).expect("an answer");
        assert!(answer.starts_with("OK"), "{answer}");
    }
    start.elapsed()
}
