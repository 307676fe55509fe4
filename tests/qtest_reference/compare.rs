//! A machine's answers to a scene, and where two machines do not agree.

use std::collections::BTreeSet;

use crate::support::daemon::whystop;
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

/// Where ours says something else on purpose: the line, what it says, and why.
const INTENDED: &[(&str, Intended, &str)] = &[
    ("write 0x100000 4 0xzz01--02", Intended::Refused, "these are no digits: QEMU writes what it makes of them"),
    ("write 0x100000 4 01020304", Intended::Refused, "no 0x: QEMU takes the first two digits for it, unseen"),
    ("write 0x100000 4 0x0", Intended::Refused, "half a byte: QEMU reads past the end of the word"),
    (
        "set_irq_in ioapic unnamed-gpio-in 6 -1",
        Intended::Done(""),
        "an input is high or low: for QEMU, which compares numbers, it is raised while it is high",
    ),
    ("b64write 0x200000 2 A==", Intended::Refused, "not base64: QEMU writes as many bytes as it was told, of whatever"),
    (
        "readl 0xfeb00e10",
        Intended::Done(" 0x0000000031007e54"),
        "feature 7 promises SCSI commands, each of which QEMU refuses: ours does not promise them",
    ),
];

/// What ours says on purpose.
enum Intended {
    Done(&'static str),
    Refused,
}

impl Intended {
    fn is(&self, told: &Told) -> bool {
        match self {
            Self::Done(value) => *told == Told::Done((*value).into(), Vec::new()),
            Self::Refused => *told == Told::Refused,
        }
    }
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
    assert_same(&reference, scene, &start, Told::Aborted, &[]);
}

/// Ours says the same as QEMU of each line, and refuses where QEMU aborts.
pub fn assert_as_the_reference(scene: &Scene) {
    let Some(reference) = Reference::find() else { return };
    let options = [&["-nodefaults", "-M", scene.machine], scene.options].concat();
    let start = || Emulator::start(whystop(), &options).expect("whystop");
    assert_same(&reference, scene, &start, Told::Refused, INTENDED);
}

/// Both sides say the same of each line, but for what is `intended`, and where the reference aborts: there the other one
/// does `instead`. Then both start afresh.
fn assert_same(
    reference: &Reference,
    scene: &Scene,
    start: &dyn Fn() -> Emulator,
    instead: Told,
    intended: &[(&str, Intended, &str)],
) {
    let start_theirs = || start_reference(reference, scene);
    let (mut ours, mut theirs) = (Side::new(start), Side::new(&start_theirs));
    let (mut differences, mut excused) = (Vec::new(), BTreeSet::new());
    let lines: Vec<_> = scene.lines.iter().filter(|line| reference.has_clock || !line.starts_with("clock")).collect();
    let left_out = scene.lines.len() - lines.len();
    if left_out > 0 {
        eprintln!("skipped: {left_out} lines need the accelerator qtest of qemu-system-x86_64");
    }
    for &line in &lines {
        let (we, they) = (ours.tell(line), theirs.tell(line));
        let agree = we == *if they == Told::Aborted { &instead } else { &they };
        if !agree && intended.iter().any(|(told, ours, _)| line == told && ours.is(&we)) {
            excused.insert(line.as_str());
        } else if !agree {
            let line = line.get(..100).unwrap_or(line);
            differences.push(format!("{line:?}\n  ours: {we:?}\n  QEMU: {they:?}"));
        }
        if we == Told::Aborted || they == Told::Aborted {
            ours.restart();
            theirs.restart();
        }
    }
    for (line, _, why) in intended.iter().filter(|(line, ..)| lines.iter().any(|told| told == line)) {
        assert!(excused.contains(line), "{line:?} is told as by QEMU, in spite of: {why}");
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), scene.lines.len(), differences.join("\n"));
    for side in [ours, theirs] {
        side.emulator.end().expect("a clean end");
    }
}
