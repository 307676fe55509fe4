//! A set of granules: which of a disk's 4 KiB pieces are charged.
//!
//! The disk is cut into chunks of 512 granules (2 MiB). Runs of chunks that are entirely in the set are kept as ranges,
//! chunks that are partly in it as bitmaps of 64 bytes. A sequentially filled disk hence costs next to nothing however
//! large it is, and the worst that random writes can do is 170 bytes for each chunk touched (a bitmap in a tree half full):
//! 85 MiB per TiB of disk, and 1/24 of the data that was stored.

use std::collections::BTreeMap;
use std::ops::Range;

use rangemap::RangeSet;

/// Granules in a word of a bitmap.
const WORD: u64 = u64::BITS as u64;

/// Words in the bitmap of a chunk.
const WORDS: usize = 8;

/// Granules in a chunk.
const CHUNK: u64 = WORD * WORDS as u64;

type Bitmap = [u64; WORDS];

const EMPTY: Bitmap = [0; WORDS];
const FULL: Bitmap = [u64::MAX; WORDS];

/// A set of granule numbers below 2^52.
#[derive(Clone, Debug, Default)]
pub(super) struct Granules {
    /// Chunks entirely in the set.
    full: RangeSet<u64>,
    /// Chunks partly in the set.
    partial: BTreeMap<u64, Bitmap>,
    count: u64,
}

impl Granules {
    /// How many there are.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// How many of `range` are in the set.
    pub(super) fn count_in(&self, range: &Range<u64>) -> u64 {
        if self.count == 0 || range.is_empty() {
            return 0;
        }
        let chunks = chunks(range);
        let full = self.full.overlapping(&chunks).map(|run| {
            let run = run.start * CHUNK..run.end * CHUNK;
            run.end.min(range.end) - run.start.max(range.start)
        });
        let partial = self.partial.range(chunks.clone()).map(|(chunk, bitmap)| {
            let mask = mask(*chunk, range);
            bitmap.iter().zip(mask).map(|(word, mask)| u64::from((word & mask).count_ones())).sum::<u64>()
        });
        full.sum::<u64>() + partial.sum::<u64>()
    }

    /// Adds `range`; how many of it are new.
    pub(super) fn insert(&mut self, range: &Range<u64>) -> u64 {
        self.change(range, |bitmap, mask| *bitmap |= mask, &FULL)
    }

    /// Removes `range`; how many of it were in the set.
    pub(super) fn remove(&mut self, range: &Range<u64>) -> u64 {
        self.change(range, |bitmap, mask| *bitmap &= !mask, &EMPTY)
    }

    /// The next run at or after `from`, though not always to its end.
    pub(super) fn next_run(&self, from: u64) -> Option<Range<u64>> {
        let chunk = from / CHUNK;
        let full = self.full.overlapping(chunk..u64::MAX).next();
        let full = full.map(|run| (run.start * CHUNK).max(from)..run.end * CHUNK);
        let mut partial = self.partial.range(chunk..).map(|(chunk, bitmap)| (chunk * CHUNK, bitmap));
        let partial = partial.find_map(|(base, bitmap)| run_within(bitmap, from.saturating_sub(base), base));
        match (full, partial) {
            (Some(full), Some(partial)) => Some(if full.start < partial.start { full } else { partial }),
            (run, None) | (None, run) => run,
        }
    }

    /// Applies `edit` to the words of every chunk in `range`; those it covers entirely become `whole`. How many granules
    /// changed.
    fn change(&mut self, range: &Range<u64>, edit: impl Fn(&mut u64, u64), whole: &Bitmap) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let before = self.count_in(range);
        let touched = chunks(range);
        let inner = range.start.div_ceil(CHUNK)..range.end / CHUNK;
        if inner.is_empty() {
            touched.for_each(|chunk| self.edit(chunk, mask(chunk, range), &edit));
        } else {
            self.set_whole(&inner, whole);
            let edges = (touched.start..inner.start).chain(inner.end..touched.end);
            edges.for_each(|chunk| self.edit(chunk, mask(chunk, range), &edit));
        }
        let after = if whole == &FULL { range.end - range.start } else { 0 };
        self.count = self.count - before + after;
        before.abs_diff(after)
    }

    fn edit(&mut self, chunk: u64, mask: Bitmap, edit: impl Fn(&mut u64, u64)) {
        let was_full = self.full.contains(&chunk);
        let old = if was_full { FULL } else { self.partial.get(&chunk).copied().unwrap_or(EMPTY) };
        let mut new = old;
        new.iter_mut().zip(mask).for_each(|(word, mask)| edit(word, mask));
        if new == old {
        } else if new == EMPTY || new == FULL {
            self.set_whole(&(chunk..chunk + 1), &new);
        } else {
            if was_full {
                self.full.remove(chunk..chunk + 1);
            }
            self.partial.insert(chunk, new);
        }
    }

    fn set_whole(&mut self, chunks: &Range<u64>, whole: &Bitmap) {
        while let Some(chunk) = self.partial.range(chunks.clone()).next().map(|(chunk, _)| *chunk) {
            self.partial.remove(&chunk);
        }
        if whole == &FULL {
            self.full.insert(chunks.clone());
        } else {
            self.full.remove(chunks.clone());
        }
    }
}

/// The chunks that `range` touches.
const fn chunks(range: &Range<u64>) -> Range<u64> {
    range.start / CHUNK..range.end.div_ceil(CHUNK)
}

/// The bits of `range` in a chunk.
fn mask(chunk: u64, range: &Range<u64>) -> Bitmap {
    let base = chunk * CHUNK;
    std::array::from_fn(|word| {
        let base = base + word as u64 * WORD;
        let start = range.start.clamp(base, base + WORD) - base;
        let end = range.end.clamp(base, base + WORD) - base;
        below(end) & !below(start)
    })
}

/// The lowest `count` bits of a word.
const fn below(count: u64) -> u64 {
    if count >= WORD { u64::MAX } else { (1 << count) - 1 }
}

/// The next run of a chunk's bitmap, within one word.
fn run_within(bitmap: &Bitmap, from: u64, base: u64) -> Option<Range<u64>> {
    bitmap.iter().zip(0..).find_map(|(word, index)| {
        let first = index * WORD;
        let left = word & !below(from.saturating_sub(first));
        let start = u64::from(left.trailing_zeros());
        let end = start + u64::from((left >> (start % WORD)).trailing_ones());
        (left != 0).then_some(base + first + start..base + first + end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Range<u64>),
        Remove(Range<u64>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let range = (0..3000_u64, prop_oneof![0..8_u64, 0..1600_u64]).prop_map(|(start, length)| start..start + length);
        let step = (any::<bool>(), range);
        let step = step.prop_map(|(add, range)| if add { Step::Insert(range) } else { Step::Remove(range) });
        prop::collection::vec(step, 1..40)
    }

    fn runs(set: &Granules) -> Vec<u64> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(run) = set.next_run(from) {
            from = run.end;
            found.extend(run);
        }
        found
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in steps()) {
            let (mut set, mut model) = (Granules::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(range) => {
                        let new = range.clone().filter(|granule| model.insert(*granule)).count() as u64;
                        prop_assert_eq!(set.count_in(&range), range.end - range.start - new);
                        prop_assert_eq!(set.insert(&range), new);
                    }
                    Step::Remove(range) => {
                        let old = range.clone().filter(|granule| model.remove(granule)).count() as u64;
                        prop_assert_eq!(set.count_in(&range), old);
                        prop_assert_eq!(set.remove(&range), old);
                    }
                }
                prop_assert_eq!(set.count(), model.len() as u64);
            }
            prop_assert_eq!(runs(&set), model.into_iter().collect::<Vec<_>>());
            for (chunk, bitmap) in &set.partial {
                prop_assert!(*bitmap != FULL && *bitmap != EMPTY && !set.full.contains(chunk));
            }
        }
    }

    #[test]
    fn the_largest_disk_filled_from_end_to_end_costs_one_range() {
        let mut set = Granules::default();
        let all = 0..1 << 51;
        assert_eq!(set.insert(&all), 1 << 51);
        assert_eq!((set.full.len(), set.partial.len()), (1, 0));
        assert_eq!(set.remove(&(7..8)), 1);
        assert_eq!((set.full.len(), set.partial.len()), (1, 1));
        assert_eq!(set.remove(&all), (1 << 51) - 1);
        assert_eq!((set.full.len(), set.partial.len()), (0, 0));
    }
}
