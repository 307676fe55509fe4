//! A line that is being typed: keys come in, what the terminal is to show goes out, as QEMU's monitor draws it (ECMA-48:
//! cursor left and right, erase to the end of the line or all of the screen). The same bytes go to a socket without a terminal.

use std::collections::VecDeque;
use std::mem::take;

use super::keys::{Key, Keys};

/// How many characters a line may have, as in QEMU.
const LONGEST: usize = 4095;

/// How many lines are remembered.
const REMEMBERED: usize = 64;

/// What a key completes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// A line of which characters were dropped: nobody should act on what is left.
    TooLong,
    /// The terminal is cleared, and wants a prompt.
    Cleared,
    /// To be completed, up to the cursor.
    Tab(String),
}

/// The line, and what the terminal shows of it.
#[derive(Debug, Default)]
pub(super) struct Editor {
    keys: Keys,
    line: Vec<char>,
    cursor: usize,
    is_too_long: bool,
    shown: Vec<char>,
    shown_cursor: usize,
    history: VecDeque<Vec<char>>,
    /// The line of the history that stands here for the one that was being typed.
    recalled: Option<(usize, Vec<char>)>,
    screen: Vec<u8>,
}

impl Editor {
    /// What the terminal is to be sent.
    pub(super) fn take_screen(&mut self) -> Vec<u8> {
        take(&mut self.screen)
    }

    /// Shows a text whose lines end with `\n`, before or after a line.
    pub(super) fn print(&mut self, text: &str) {
        self.screen.extend_from_slice(text.replace('\n', "\r\n").as_bytes());
    }

    /// Shows the prompt, and after it the line as it is.
    pub(super) fn prompt(&mut self, prompt: &str) {
        self.print(prompt);
        (self.shown, self.shown_cursor) = (Vec::new(), 0);
        self.draw();
    }

    /// Takes a byte of what is typed. What that changes is drawn when [`Self::draw`] is called or the line ends: text that
    /// is pasted is not drawn anew with each of its characters.
    pub(super) fn handle(&mut self, byte: u8) -> Option<Typed> {
        let key = self.keys.next(byte)?;
        match key {
            Key::Enter => return Some(self.finish()),
            Key::Tab => return Some(Typed::Tab(self.line.iter().take(self.cursor).collect())),
            Key::Redraw => return Some(self.clear_screen()),
            Key::Char(c) => self.insert(c),
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.line.len()),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Backspace => self.erase(self.cursor.saturating_sub(1), self.cursor),
            Key::Delete => self.erase(self.cursor, (self.cursor + 1).min(self.line.len())),
            Key::EraseToEnd => self.erase(self.cursor, self.line.len()),
            Key::EraseToStart => self.erase(0, self.cursor),
            Key::EraseWord => self.erase(self.word_start(), self.cursor),
            Key::Up => self.recall(self.recalled.as_ref().map_or(0, |(at, _)| at + 1)),
            Key::Down => self.go_forward(),
        }
        None
    }

    fn clear_screen(&mut self) -> Typed {
        self.draw();
        self.screen.extend_from_slice(b"\x1b[2J\x1b[1;1H");
        Typed::Cleared
    }

    /// Inserts a completion.
    pub(super) fn complete(&mut self, text: &str) {
        text.chars().for_each(|c| self.insert(c));
    }

    fn insert(&mut self, c: char) {
        if self.line.len() == LONGEST {
            self.is_too_long = true;
            self.screen.push(0x07);
            return;
        }
        self.line.insert(self.cursor, c);
        self.cursor += 1;
    }

    fn erase(&mut self, from: usize, to: usize) {
        self.line.drain(from..to);
        self.cursor = from;
        self.is_too_long &= !self.line.is_empty();
    }

    fn word_start(&self) -> usize {
        let before = self.line.iter().take(self.cursor);
        let blanks = before.clone().rev().take_while(|c| c.is_whitespace()).count();
        let word = before.rev().skip(blanks).take_while(|c| !c.is_whitespace()).count();
        self.cursor - blanks - word
    }

    fn finish(&mut self) -> Typed {
        self.draw();
        let line = take(&mut self.line);
        self.print("\n");
        (self.cursor, self.recalled) = (0, None);
        (self.shown, self.shown_cursor) = (Vec::new(), 0);
        if take(&mut self.is_too_long) {
            return Typed::TooLong;
        }
        let text = line.iter().collect();
        if !line.is_empty() {
            self.history.retain(|other| *other != line);
            self.history.push_front(line);
            self.history.truncate(REMEMBERED);
        }
        Typed::Line(text)
    }

    /// Shows a line of the history, counted from the latest.
    fn recall(&mut self, at: usize) {
        let Some(line) = self.history.get(at).cloned() else { return };
        let current = std::mem::replace(&mut self.line, line);
        let draft = self.recalled.take().map_or(current, |(_, draft)| draft);
        self.recalled = Some((at, draft));
        self.cursor = self.line.len();
    }

    fn go_forward(&mut self) {
        match self.recalled.take() {
            None => {}
            Some((0, draft)) => {
                self.line = draft;
                self.cursor = self.line.len();
            }
            Some((at, draft)) => {
                self.recalled = Some((at, draft));
                self.recall(at - 1);
            }
        }
    }

    /// Makes the terminal show the line.
    pub(super) fn draw(&mut self) {
        if self.line != self.shown {
            self.screen.extend(b"\x1b[D".repeat(self.shown_cursor));
            self.screen.extend(self.line.iter().collect::<String>().bytes());
            self.screen.extend_from_slice(b"\x1b[K");
            self.shown.clone_from(&self.line);
            self.shown_cursor = self.line.len();
        }
        let (left, right) =
            (self.shown_cursor.saturating_sub(self.cursor), self.cursor.saturating_sub(self.shown_cursor));
        self.screen.extend(b"\x1b[D".repeat(left));
        self.screen.extend(b"\x1b[C".repeat(right));
        self.shown_cursor = self.cursor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A terminal of one line, to see what a person sees.
    #[derive(Default)]
    struct Screen {
        cells: Vec<char>,
        cursor: usize,
    }

    impl Screen {
        fn show(&mut self, bytes: &[u8]) {
            let text = str::from_utf8(bytes).expect("UTF-8");
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\x1b' => {
                        assert_eq!(chars.next(), Some('['));
                        match chars.next() {
                            Some('D') => self.cursor -= 1,
                            Some('C') => self.cursor += 1,
                            Some('K') => self.cells.truncate(self.cursor),
                            // All of it, and then to where the line starts.
                            Some('2') if chars.next() == Some('J') => self.cells.clear(),
                            Some('1') if chars.by_ref().take(3).eq(";1H".chars()) => self.cursor = 0,
                            other => panic!("{other:?}"),
                        }
                    }
                    '\r' => self.cursor = 0,
                    '\n' => self.cells.clear(),
                    '\x07' => {}
                    c => {
                        assert!(self.cursor <= self.cells.len(), "beyond the end");
                        self.cells.truncate(self.cells.len().max(self.cursor));
                        if self.cursor == self.cells.len() {
                            self.cells.push(c);
                        } else {
                            self.cells[self.cursor] = c;
                        }
                        self.cursor += 1;
                    }
                }
            }
        }
    }

    /// Types, and returns what that completes and the line as it then is.
    fn typed(keys: &str) -> (Vec<Typed>, String) {
        let mut editor = Editor::default();
        let typed = keys.bytes().filter_map(|byte| editor.handle(byte)).collect();
        (typed, editor.line.iter().collect())
    }

    fn line(keys: &str) -> String {
        typed(keys).1
    }

    #[test]
    fn keys_edit_the_line() {
        for (keys, expected) in [
            ("stp\x1b[Do", "stop"),
            ("top\x01s", "stop"),
            ("top\x1b[Hs\x1b[F!", "stop!"),
            ("sstop\x1b[1~\x1b[3~\x1b[4~!", "stop!"),
            ("stopp\x7f", "stop"),
            ("xstop\x01\x04", "stop"),
            ("stop it\x1b[D\x1b[D\x1b[D\x0b", "stop"),
            ("nonsense\x15stop", "stop"),
            ("nonsense stop\x1b[D\x1b[D\x1b[D\x1b[D\x15", "stop"),
            ("stop it  \x17now", "stop now"),
            ("top\x1bOHs\x1bOF", "stop"),
            ("\x1b[D\x08\x7f\x1b[3~\x17\x15\x0bstop\x1b[C", "stop"),
            ("st\u{f6}\u{20ac}\x7fp", "st\u{f6}p"),
        ] {
            assert_eq!(line(keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn lines_that_were_typed_come_back() {
        assert_eq!(line("a\rb\rc\x1b[A"), "b");
        assert_eq!(line("a\rb\rc\x1b[A\x1b[A\x1b[A"), "a");
        assert_eq!(line("a\rb\rc\x1b[A\x1b[A\x1b[B"), "b");
        assert_eq!(line("a\rb\rc\x10\x10\x0e\x0e\x0e"), "c");
        assert_eq!(line("a\rb\ra\r\x1b[A\x1b[A\x1b[A"), "b", "each line once");
    }

    #[test]
    fn it_is_drawn_as_by_qemu() {
        let mut editor = Editor::default();
        editor.prompt("(qemu) ");
        for byte in *b"in\x7f\r" {
            editor.handle(byte);
            editor.draw();
        }
        let expected = "(qemu) i\x1b[K\x1b[Din\x1b[K\x1b[D\x1b[Di\x1b[K\r\n";
        assert_eq!(String::from_utf8(editor.take_screen()).as_deref(), Ok(expected));
    }

    #[test]
    fn a_line_that_is_too_long_is_not_carried_out_in_part() {
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(typed(&format!("{long}\rok\r")).0, [Typed::TooLong, Typed::Line("ok".into())]);
        assert_eq!(typed(&format!("{long}\x15ok\r")).0, [Typed::Line("ok".into())]);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_the_terminal_shows_the_line(
            input in prop::collection::vec(prop_oneof![
                4 => any::<u8>(),
                4 => prop::sample::select(b"abc \x01\x04\x05\x08\x0b\x0c\x0e\x10\x15\x17".to_vec()),
                3 => prop::sample::select(vec![b'\x1b', b'[', b'A', b'B', b'C', b'D', b'H', b'3', b'~']),
                1 => Just(b'\r'),
            ], 0..200),
        ) {
            let (mut editor, mut screen) = (Editor::default(), Screen::default());
            for byte in input {
                if editor.handle(byte) == Some(Typed::Cleared) {
                    editor.prompt("");
                }
                editor.draw();
                screen.show(&editor.take_screen());
                prop_assert_eq!(&screen.cells, &editor.line);
                prop_assert_eq!(screen.cursor, editor.cursor);
            }
        }
    }
}
