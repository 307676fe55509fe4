//! A machine for an hour of its time: causes from all of its devices at random, and what must hold whatever happens.
//!
//! A few seeds by default. `WHYSTOP_SOAK_SEED=7` plays that one; `WHYSTOP_SOAK_RUNS=100` as many as that, from it on.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "../support/mod.rs"]
mod support;

mod acts;
mod dice;
mod disk;
mod machine;
mod witness;

use std::env;

use machine::Machine;

/// An hour of virtual time, in nanoseconds.
const HOUR: u64 = 3600 * 1_000_000_000;

#[test]
fn an_hour_of_a_machine_s_life() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let first = number("WHYSTOP_SOAK_SEED");
    let runs = number("WHYSTOP_SOAK_RUNS").unwrap_or(if first.is_some() { 1 } else { 2 });
    for seed in (first.unwrap_or(1)..).take(runs as usize) {
        let lived = Machine::start(seed).and_then(live);
        lived.unwrap_or_else(|error| panic!("WHYSTOP_SOAK_SEED={seed}: {error}"));
    }
}

fn live(mut machine: Machine) -> Result<(), String> {
    while machine.now() < HOUR {
        machine.act().map_err(|error| format!("at {} ns, {}", machine.now(), error))?;
    }
    machine.end()
}
