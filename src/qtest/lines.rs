//! A stream of bytes cut into lines, of which none is longer than it may be.

/// How much is read at once, but for long lines.
const CHUNK: usize = 16 << 10;

/// More memory than this is given back once it is not needed.
pub const KEPT: usize = 4 << 20;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole one, without its end.
    Whole(&'a [u8]),
    /// One that is too long, told of once; what it still has is skipped.
    TooLong,
}

/// The bytes of a stream that are in no line yet.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the first line starts.
    start: usize,
    /// Until where there is no end of a line.
    scanned: usize,
    /// Until where there are bytes.
    filled: usize,
    longest: usize,
    /// The first line was too long.
    skipping: bool,
}

impl Lines {
    /// Nothing yet. No line may be longer than `longest`, without its end.
    pub const fn new(longest: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, filled: 0, longest, skipping: false }
    }

    /// Where the next bytes go, followed by [`Self::filled`]. There is always some room.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.filled {
            (self.start, self.scanned, self.filled) = (0, 0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        } else if self.start > 0 && self.filled == self.buffer.len() {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.scanned -= self.start;
            self.filled -= self.start;
            self.start = 0;
        }
        if self.filled == self.buffer.len() {
            let length = (2 * self.buffer.len()).clamp(CHUNK, CHUNK.max(self.longest + 1).max(self.filled + 1));
            self.buffer.resize(length, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// So many bytes were put into the space.
    pub fn filled(&mut self, length: usize) {
        self.filled += length;
    }

    /// The next line, if there is one.
    pub fn take_line(&mut self) -> Option<Line<'_>> {
        loop {
            let Some(length) = memchr::memchr(b'\n', &self.buffer[self.scanned..self.filled]) else {
                self.scanned = self.filled;
                if self.filled - self.start <= self.longest && !self.skipping {
                    return None;
                }
                // What is skipped is not kept.
                self.start = self.filled;
                return (!std::mem::replace(&mut self.skipping, true)).then_some(Line::TooLong);
            };
            let end = self.scanned + length;
            let start = std::mem::replace(&mut self.start, end + 1);
            self.scanned = end + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let fits = end - start <= self.longest;
            return Some(if fits { Line::Whole(&self.buffer[start..end]) } else { Line::TooLong });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 5;

    /// What comes out if the input comes in reads of this size.
    fn cut(input: &[u8], read: usize) -> Vec<Option<Vec<u8>>> {
        let (mut lines, mut found) = (Lines::new(LONGEST), Vec::new());
        for mut piece in input.chunks(read) {
            while !piece.is_empty() {
                let space = lines.space();
                let length = space.len().min(piece.len());
                space[..length].copy_from_slice(&piece[..length]);
                piece = &piece[length..];
                lines.filled(length);
                while let Some(line) = lines.take_line() {
                    found.push(match line {
                        Line::Whole(line) => Some(line.to_vec()),
                        Line::TooLong => None,
                    });
                }
            }
        }
        found
    }

    #[test]
    fn a_long_line_is_told_of_before_it_ends_and_the_next_is_read() {
        assert_eq!(cut(b"ab\n\n12345\n123456", 1), [Some(b"ab".to_vec()), Some(vec![]), Some(b"12345".to_vec()), None]);
        assert_eq!(cut(b"123456\nab\n", 3), [None, Some(b"ab".to_vec())]);
    }

    #[test]
    fn a_line_of_any_length_costs_at_most_its_limit_of_memory() {
        let mut lines = Lines::new(1 << 20);
        for _ in 0..1000 {
            let length = lines.space().len();
            assert!(length > 0);
            lines.filled(length);
            let _ = lines.take_line();
            assert!(lines.buffer.len() <= (1 << 20) + 1);
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_input_is_cut(
            input in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..100),
            read in 1..20_usize,
        ) {
            let mut expected: Vec<_> = input.split(|byte| *byte == b'\n')
                .map(|line| Some(line.to_vec()).filter(|line| line.len() <= LONGEST)).collect();
            // The last one has no end yet, but if it is too long that is certain.
            if expected.last().is_some_and(Option::is_some) {
                expected.pop();
            }
            prop_assert_eq!(cut(&input, read), expected.clone());
            prop_assert_eq!(cut(&input, usize::MAX), expected);
        }
    }
}
