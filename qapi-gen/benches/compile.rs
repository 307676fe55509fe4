//! The compiler on whole schemas: QEMU's, ours, and synthetic ones of growing size.
//!
//! Every figure comes from a process of its own: the best of several rounds of parse + check + generate, and the most
//! memory that was ever resident. `QEMU_SRC` names a tree with `qapi/qapi-schema.json`. `QEMU_TREE` names one with
//! `scripts/qapi-gen.py`, whose time on the same schema stands beside.
#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark fails by a panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use qapi_gen::{Conditions, compile, generate};

const ROUNDS: usize = 20;

fn main() {
    let arguments: Vec<_> = env::args().collect();
    if let [_, flag, schema] = &arguments[..]
        && flag == "--measure"
    {
        return measure(Path::new(schema));
    }
    println!(
        "{:<20}{:>9}{:>12}{:>10}{:>13}{:>12}",
        "schema", "lines", "parse+check", "generate", "us per line", "memory"
    );
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qapi-schema/schema/qapi-schema.json");
    row("ours", &own);
    let qemu = peer("QEMU_SRC").map(|tree| tree.join("qapi/qapi-schema.json"));
    let figures = qemu.as_deref().map(|schema| row("QEMU's", schema));
    let directory = tempfile::tempdir().expect("a directory");
    for times in [1, 4, 16] {
        let schema = directory.path().join(format!("{times}.json"));
        fs::write(&schema, synthetic(times)).expect("written");
        row(&format!("synthetic, {times}x"), &schema);
    }
    if let (Some(schema), Some(figures), Some(tree)) = (qemu, figures, peer("QEMU_TREE")) {
        let generator = generator(&tree, &schema, directory.path());
        let own = figures.check + figures.generate;
        let ratio = generator.as_secs_f64() / own.as_secs_f64();
        println!("QEMU's generator on QEMU's schema: {:.0} ms ({ratio:.1}x)", millis(generator));
    }
}

/// A tree that an environment variable names.
fn peer(variable: &str) -> Option<PathBuf> {
    let tree = env::var_os(variable).map(PathBuf::from);
    if tree.is_none() {
        println!("skipped: needs {variable}");
        assert!(env::var_os("WHYSTOP_REQUIRE_PEERS").is_none(), "{variable} is missing");
    }
    tree
}

/// What a schema costs.
struct Figures {
    lines: usize,
    check: Duration,
    generate: Duration,
    memory: f64,
}

/// The part of the process of its own: prints lines, nanoseconds and KiB.
fn measure(path: &Path) {
    let (mut check, mut generation, mut lines) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let schema = compile(path).expect("a valid schema");
        let checked = Instant::now();
        let code = generate(&schema, &Conditions::AllHold.into()).expect("conditions hold");
        let generated = Instant::now();
        check = check.min(checked - start);
        generation = generation.min(generated - checked);
        drop(code);
        lines = schema.sources().iter().map(|(file, _)| schema.sources().text(file).lines().count()).sum();
    }
    let status = fs::read_to_string("/proc/self/status").expect("this process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let peak = peak.trim().trim_end_matches(" kB");
    println!("{lines} {} {} {peak}", check.as_nanos(), generation.as_nanos());
}

fn row(name: &str, schema: &Path) -> Figures {
    let program = env::current_exe().expect("this program");
    let output = Command::new(program).arg("--measure").arg(schema).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [lines, check, generate, peak] = numbers[..] else { panic!("not measured: {}", schema.display()) };
    let figures = Figures {
        lines: usize::try_from(lines).expect("few"),
        check: Duration::from_nanos(check),
        generate: Duration::from_nanos(generate),
        memory: peak as f64 / 1024.0,
    };
    let Figures { lines, check, generate, memory } = figures;
    let per_line = (check + generate).as_secs_f64() * 1e6 / lines as f64;
    println!(
        "{name:<20}{lines:>9}{:>9.1} ms{:>7.1} ms{per_line:>13.2}{memory:>8.1} MiB",
        millis(check),
        millis(generate)
    );
    figures
}

/// How long QEMU's generator takes, the best of a few runs.
fn generator(tree: &Path, schema: &Path, out: &Path) -> Duration {
    let script = tree.join("scripts/qapi-gen.py");
    let run = |_| {
        let mut command = Command::new("python3");
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(&script).arg("-o").arg(out).arg("-b").arg(schema);
        let start = Instant::now();
        assert!(command.status().expect("python3").success(), "{}", script.display());
        start.elapsed()
    };
    (0..5).map(run).min().expect("some runs")
}

/// A schema with this many times 50 groups of definitions of every kind.
fn synthetic(times: usize) -> String {
    let mut text = String::new();
    for n in 0..50 * times {
        // Each group refers to others, the way definitions do.
        let other = n * 7 % (50 * times);
        write!(
            text,
            "\
##
# @Mode{n}x:
#
# How it is done in @Thing{n}x.
#
# @fast: quickly
#
# @slow: with care
#
# Since: 1.0
##
{{ 'enum': 'Mode{n}x', 'data': [ 'fast', {{ 'name': 'slow', 'if': 'CONFIG_SLOW' }} ] }}

##
# @Thing{n}x:
#
# What it is about.
#
# @name: its name
#
# @size: how large it is, in bytes, or a
#     guess at that
#
# @other: another one
#
# Features:
#
# @unstable: Member @other is experimental.
##
{{ 'struct': 'Thing{n}x',
  'data': {{ 'name': 'str', '*size': 'size',
            '*other': {{ 'type': 'Thing{other}x', 'features': [ 'unstable' ] }} }} }}

##
# @Choice{n}x:
#
# One or the other.
#
# @mode: which
##
{{ 'union': 'Choice{n}x', 'base': {{ 'mode': 'Mode{n}x' }}, 'discriminator': 'mode',
  'data': {{ 'fast': 'Thing{n}x', 'slow': 'Thing{other}x' }} }}

##
# @Reference{n}x:
#
# By name or in full.
#
# @name: the name
#
# @definition: all of it
##
{{ 'alternate': 'Reference{n}x', 'data': {{ 'name': 'str', 'definition': 'Choice{other}x' }} }}

##
# @do-it-{n}:
#
# Does it.
#
# @to: whom
#
# @how: in which way
#
# Returns: what came of it
#
# Since: 1.0
#
# .. qmp-example::
#
#     -> {{ \"execute\": \"do-it-{n}\", \"arguments\": {{ \"to\": \"a\" }} }}
#     <- {{ \"return\": {{ \"name\": \"b\" }} }}
##
{{ 'command': 'do-it-{n}', 'data': {{ 'to': 'Reference{n}x', '*how': [ 'Mode{other}x' ] }}, 'returns': 'Thing{n}x' }}

##
# @DONE_{n}:
#
# It is done.
#
# @thing: what was done
##
{{ 'event': 'DONE_{n}', 'data': {{ 'thing': 'Thing{n}x' }} }}

"
        )
        .expect("memory takes every byte");
    }
    text
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
