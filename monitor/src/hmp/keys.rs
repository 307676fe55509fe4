//! Bytes of a terminal to keys: UTF-8, control characters, and the sequences of arrows and their neighbours.

/// A key, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Tab,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    Backspace,
    Delete,
    EraseToEnd,
    EraseToStart,
    Redraw,
    EraseWord,
}

/// What the bytes so far have begun.
#[derive(Debug, Default)]
pub(super) struct Keys {
    state: State,
    /// A carriage return came last: a line feed after it is no line of its own.
    after_return: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// A character of several bytes: those so far, and how many it has.
    Utf8 {
        bytes: [u8; 4],
        length: usize,
        wanted: usize,
    },
    Escape,
    /// `ESC [` and a number, or none.
    Control(u32),
    /// `ESC O`
    Single,
}

impl Keys {
    /// Takes a byte, which may complete a key.
    pub(super) fn next(&mut self, byte: u8) -> Option<Key> {
        let after_return = std::mem::replace(&mut self.after_return, false);
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte, after_return),
            State::Utf8 { mut bytes, length, wanted } if byte & 0xc0 == 0x80 => {
                bytes[length] = byte;
                let length = length + 1;
                if length < wanted {
                    self.state = State::Utf8 { bytes, length, wanted };
                    return None;
                }
                let c = str::from_utf8(&bytes[..length]).ok()?.chars().next()?;
                (!c.is_control()).then_some(Key::Char(c))
            }
            // Cut short: the byte begins something else.
            State::Utf8 { .. } => self.ground(byte, false),
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Control(0),
                    b'O' => State::Single,
                    _ => State::Ground,
                };
                None
            }
            State::Control(number) => match byte {
                b'0'..=b'9' => {
                    self.state = State::Control(number.saturating_mul(10).saturating_add(u32::from(byte - b'0')));
                    None
                }
                b';' => {
                    self.state = State::Control(0);
                    None
                }
                b'~' => match number {
                    1 | 7 => Some(Key::Home),
                    3 => Some(Key::Delete),
                    4 | 8 => Some(Key::End),
                    _ => None,
                },
                letter => cursor_key(letter),
            },
            State::Single => cursor_key(byte),
        }
    }

    fn ground(&mut self, byte: u8, after_return: bool) -> Option<Key> {
        let (wanted, first) = match byte {
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            0x20..=0x7e => return Some(Key::Char(char::from(byte))),
            0xc2..=0xdf => (2, byte),
            0xe0..=0xef => (3, byte),
            0xf0..=0xf4 => (4, byte),
            _ => return self.control(byte, after_return),
        };
        self.state = State::Utf8 { bytes: [first, 0, 0, 0], length: 1, wanted };
        None
    }

    fn control(&mut self, byte: u8, after_return: bool) -> Option<Key> {
        Some(match byte {
            b'\r' => {
                self.after_return = true;
                Key::Enter
            }
            b'\n' if after_return => return None,
            b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x08 | 0x7f => Key::Backspace,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x04 => Key::Delete,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x0b => Key::EraseToEnd,
            0x0c => Key::Redraw,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::EraseToStart,
            0x17 => Key::EraseWord,
            _ => return None,
        })
    }
}

const fn cursor_key(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|&byte| keys.next(byte)).collect()
    }

    #[test]
    fn a_line_ends_once_however_it_ends() {
        let (a, b) = (Key::Char('a'), Key::Char('b'));
        for text in [&b"a\rb\r"[..], b"a\nb\n", b"a\r\nb\r\n"] {
            assert_eq!(keys(text), [a, Key::Enter, b, Key::Enter]);
        }
        assert_eq!(keys(b"\r\r\n\n"), [Key::Enter; 3]);
    }

    #[test]
    fn what_is_no_key_is_dropped_and_the_next_one_is_not() {
        for text in [
            &b"\x1b[99999999999999999999~a"[..],
            b"\x1b[1;5Xa",
            b"\x1bza",
            b"\0\x03\x1aa",
            b"\xffa",
            b"\xe2\x82a",
            b"\xc2\x9ba",
        ] {
            assert_eq!(keys(text), [Key::Char('a')], "{text:?}");
        }
        assert_eq!(keys(b"\x1b[1;5C"), [Key::Right], "with a modifier");
    }
}
