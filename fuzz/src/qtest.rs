//! qtest: each line has one answer, which is a line, and it does not matter how the input is cut.

use std::sync::Arc;

use hw::irq::{Controller, Interceptor};
use hw::{Bus, VirtualClock};
use vl::Observer;
use vm_memory::{GuestAddress, GuestMemoryMmap};
use whystop::qtest::lines::{Line, Lines};
use whystop::qtest::{Session, Target};

/// Longer lines than this are refused here.
const LONGEST_LINE: usize = 256;

/// A machine with little RAM, and a clock with one timer.
struct Machine {
    bus: Bus,
    clock: VirtualClock,
    controller: Arc<Controller>,
}

impl Target for Machine {
    fn bus(&self) -> &Bus {
        &self.bus
    }

    fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    fn controller(&self, path: &str) -> Option<Arc<Controller>> {
        (path == self.controller.name()).then(|| Arc::clone(&self.controller))
    }
}

struct Deaf;

impl Interceptor for Deaf {
    fn level(&self, input: u32, _high: bool) {
        assert!(input < 24);
    }
}

/// A client that says `input`.
pub fn qtest(input: &[u8]) {
    let whole = talk(input, usize::MAX);
    let ended = input.iter().filter(|byte| **byte == b'\n').count();
    let is_answer = |line: &&[u8]| ["OK", "FAIL ", "ERR "].iter().any(|start| line.starts_with(start.as_bytes()));
    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(lines.iter().all(|line| is_answer(line) && line.ends_with(b"\n")), "no answer");
    // One that has no end yet is answered if it is too long already.
    assert!(lines.len() == ended || lines.len() == ended + 1, "{} answers to {ended} lines", lines.len());
    for chunk in [1, 7] {
        assert_eq!(whole, talk(input, chunk), "in reads of {chunk}");
    }
}

/// What such a client is told.
fn talk(input: &[u8], chunk: usize) -> Vec<u8> {
    let ram = GuestMemoryMmap::from_ranges(&[(GuestAddress(0x1000), 0x3000)]).expect("memory");
    let clock = VirtualClock::driven().expect("a thread");
    clock.will_start();
    let controller = Controller::new("ioapic", 24);
    let line = controller.line(5);
    let timer = clock.timer(move || line.set(true));
    timer.arm(1000);
    let mut session = Session::new(Arc::new(Machine { bus: Bus::new(ram), clock, controller }), Arc::new(Deaf));
    let (mut lines, mut output) = (Lines::new(LONGEST_LINE), Vec::new());
    for mut piece in input.chunks(chunk) {
        while !piece.is_empty() {
            let space = lines.space();
            let length = space.len().min(piece.len());
            space[..length].copy_from_slice(&piece[..length]);
            piece = &piece[length..];
            lines.filled(length);
            while let Some(line) = lines.take_line() {
                if !is_slow(&line) {
                    session.handle(line, &mut output);
                } else {
                    output.extend_from_slice(b"OK\n");
                }
            }
        }
    }
    output
}

/// Whether a command touches more memory than there is time for: what it takes is in proportion to a number, up to a limit.
fn is_slow(line: &Line<'_>) -> bool {
    use whystop::qtest::protocol::Command;
    let Line::Whole(line) = line else { return false };
    match Command::parse(line) {
        Ok(Command::Read(_, range) | Command::Write(_, range, _) | Command::Fill(range, _)) => range.length > 1 << 14,
        Ok(_) | Err(_) => false,
    }
}
