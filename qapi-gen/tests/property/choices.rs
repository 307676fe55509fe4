//! Decisions read from a tape of numbers, so that a shorter tape of smaller numbers is a simpler schema.

use std::collections::VecDeque;

/// What is left of the tape. At its end every decision is the simplest one, which is 0.
pub struct Choices(VecDeque<u16>);

impl Choices {
    pub fn new(tape: &[u16]) -> Self {
        Self(tape.iter().copied().collect())
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.0.pop_front().unwrap_or(0)) % end
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of the elements, of which there is at least one.
    pub fn pick<'a, T: ?Sized>(&mut self, elements: &[&'a T]) -> &'a T {
        elements[self.below(elements.len())]
    }

    /// One of the elements, if there is one.
    pub fn any<T: Clone>(&mut self, elements: &[T]) -> Option<T> {
        (!elements.is_empty()).then(|| elements[self.below(elements.len())].clone())
    }
}
