//! A machine's answers to a scene, and where two machines do not agree.

use crate::support::emulator::{Emulator, Reference};
use crate::support::qmp::NoMessage;
use crate::support::qtest::Irq;

/// Lines to a machine.
pub struct Scene {
    /// Its name.
    pub machine: &'static str,
    /// Further options, the same for both.
    pub options: &'static [&'static str],
    /// What it is told.
    pub lines: Vec<String>,
}

/// What a machine makes of a line.
#[derive(Debug, PartialEq)]
enum Told {
    /// `OK`, with whatever follows, and the interrupts before.
    Done(String, Vec<Irq>),
    Refused,
    /// It has gone.
    Aborted,
}

/// A machine that can be started again.
struct Side<'a> {
    start: &'a dyn Fn() -> Emulator,
    emulator: Emulator,
}

impl<'a> Side<'a> {
    fn new(start: &'a dyn Fn() -> Emulator) -> Self {
        Self { start, emulator: start() }
    }

    fn tell(&self, line: &str) -> Told {
        let qtest = &self.emulator.qtest;
        match qtest.exchange(line.as_bytes()) {
            Ok(answer) => match answer.strip_prefix("OK") {
                Some(value) => Told::Done(value.into(), std::iter::from_fn(|| qtest.told_change()).collect()),
                None if answer.starts_with("FAIL") || answer.starts_with("ERR") => Told::Refused,
                None => panic!("{line:?}: {answer:?}"),
            },
            Err(NoMessage::Closed) => Told::Aborted,
            Err(error) => panic!("{line:?}: {error}"),
        }
    }

    fn restart(&mut self) {
        self.emulator = (self.start)();
    }
}

/// QEMU as it is in this scene, without what runs by itself.
fn start_reference(reference: &Reference, scene: &Scene) -> Emulator {
    let quiet = if scene.machine == "microvm" { ",ioapic2=off,pit=off,pic=off,rtc=off,isa-serial=off" } else { "" };
    let machine = format!("{}{quiet}", scene.machine);
    reference.start(&[&["-nodefaults", "-M", &machine], scene.options].concat()).expect("QEMU")
}

/// QEMU says the same of a scene whenever it is played: what ours is measured by is no accident.
pub fn assert_repeatable(scene: &Scene) {
    let Some(reference) = Reference::find() else { return };
    let start = || start_reference(&reference, scene);
    assert_same(&reference, scene, &start, Told::Aborted);
}

/// Both sides say the same of each line, but where the reference aborts: there the other one does `instead`. Then both
/// start afresh.
fn assert_same(reference: &Reference, scene: &Scene, start: &dyn Fn() -> Emulator, instead: Told) {
    let start_theirs = || start_reference(reference, scene);
    let (mut ours, mut theirs) = (Side::new(start), Side::new(&start_theirs));
    let mut differences = Vec::new();
    for line in scene.lines.iter().filter(|line| reference.has_clock || !line.starts_with("clock")) {
        let (we, they) = (ours.tell(line), theirs.tell(line));
        if we != *if they == Told::Aborted { &instead } else { &they } {
            let line = line.get(..100).unwrap_or(line);
            differences.push(format!("{line:?}\n  ours: {we:?}\n  QEMU: {they:?}"));
        }
        if we == Told::Aborted || they == Told::Aborted {
            ours.restart();
            theirs.restart();
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), scene.lines.len(), differences.join("\n"));
    for side in [ours, theirs] {
        side.emulator.end().expect("a clean end");
    }
}
