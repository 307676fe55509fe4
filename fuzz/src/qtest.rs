//! qtest: each line has one answer, which is a line, and it does not matter how the input is cut.

use std::sync::Arc;

use hw::irq::Interceptor;
use hw::virtio::mmio::Version;
use qapi_schema::run_state::{Commands as _, WatchdogAction};
use serde_json::json;
use whystop::qtest::Session;
use whystop::qtest::lines::{Line, Lines};
use whystop::qtest::protocol::Command;

use super::board::{board, plug};

/// Longer lines than this are refused here.
const LONGEST_LINE: usize = 256;

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
    let board = board(Version::Legacy);
    plug(&board, json!({"driver": "pvpanic"}));
    plug(&board, json!({"driver": "ib700"}));
    board.built();
    // What expires changes nothing but what the clock's next deadline is.
    board.vm().watchdog_set_action(WatchdogAction::None).expect("set");
    board.vm().cont().expect("it starts");
    let mut session = Session::new(board, Arc::new(Deaf));
    let (mut lines, mut output) = (Lines::new(LONGEST_LINE), Vec::new());
    for mut piece in input.chunks(chunk) {
        while !piece.is_empty() {
            let space = lines.space();
            let length = space.len().min(piece.len());
            space[..length].copy_from_slice(&piece[..length]);
            piece = &piece[length..];
            lines.filled(length);
            while let Some(line) = lines.take_line() {
                if !is_unfit(&line) {
                    session.handle(line, &mut output);
                } else {
                    output.extend_from_slice(b"OK\n");
                }
            }
        }
    }
    output
}

/// Whether a command takes long, in proportion to a number, or what it does is to be seen at no certain time.
fn is_unfit(line: &Line<'_>) -> bool {
    let Line::Whole(line) = line else { return false };
    match Command::parse(line) {
        Ok(Command::Read(_, range) | Command::Write(_, range, _) | Command::Fill(range, _)) => range.length > 1 << 14,
        // A watchdog that is to expire at once does so on another thread.
        Ok(Command::Out(_, port, value)) => {
            (0x440..0x445).contains(&port) && value.to_le_bytes().iter().any(|byte| byte & 0xf == 0xf)
        }
        Ok(_) | Err(_) => false,
    }
}
