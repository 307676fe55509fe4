//! Bytes that were received and not yet used.

/// Large enough for several small writes at once, small enough for a hundred connections.
const CAPACITY: usize = 64 << 10;

/// A buffer that fills at the back and empties at the front.
#[derive(Debug)]
pub(super) struct Input {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    /// A message up to this long can be had in one piece; a longer one would leave no room for others.
    pub(super) const LONGEST_MESSAGE: usize = CAPACITY / 2;

    pub(super) fn new() -> Self {
        Self { bytes: vec![0; CAPACITY].into(), start: 0, end: 0 }
    }

    /// What is there, oldest first.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Drops `count` bytes at the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Moves what is there to `target`, as far as it goes. Returns how far.
    pub(super) fn take(&mut self, target: &mut [u8]) -> usize {
        let count = target.len().min(self.end - self.start);
        target[..count].copy_from_slice(&self.bytes()[..count]);
        self.consume(count);
        count
    }

    /// Where to receive into: never empty as long as less than the capacity is there. [`received`](Self::received)
    /// says how much of it was used.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 && CAPACITY - self.end < Self::LONGEST_MESSAGE {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    pub(super) fn received(&mut self, count: usize) {
        self.end = CAPACITY.min(self.end + count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_out_in_order(steps in vec((0..CAPACITY, 0..CAPACITY), 1..50)) {
            let mut input = Input::new();
            let (mut next_in, mut next_out) = (0_u8, 0_u8);
            for (received, consumed) in steps {
                let held = input.bytes().len();
                let space = input.space();
                prop_assert!(!space.is_empty() || held == CAPACITY);
                let received = received.min(space.len());
                for byte in &mut space[..received] {
                    *byte = next_in;
                    next_in = next_in.wrapping_add(1);
                }
                input.received(received);
                let consumed = consumed.min(input.bytes().len());
                for byte in &input.bytes()[..consumed] {
                    prop_assert_eq!(*byte, next_out);
                    next_out = next_out.wrapping_add(1);
                }
                input.consume(consumed);
            }
        }
    }
}
