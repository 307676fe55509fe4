//! The requests that a `blkdebug` node claims to be able to do: their alignment and their largest sizes. Pure.

use std::iter;
use std::ops::Range;

use qapi_schema::Error;
use qapi_schema::block_core::BlockdevOptionsBlkdebug;

/// The largest alignment: what a request that is not aligned costs in memory.
const MAX_ALIGN: u64 = 1 << 20;

/// Limits, all in bytes. Those of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) align: u64,
    pub(super) max_transfer: u64,
    pub(super) opt_write_zero: u64,
    pub(super) max_write_zero: u64,
    pub(super) opt_discard: u64,
    pub(super) max_discard: u64,
}

/// A range cut where whole blocks begin and end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) head: Range<u64>,
    pub(super) whole: Range<u64>,
    pub(super) tail: Range<u64>,
}

impl Limits {
    /// Any request can be done.
    pub(super) const NONE: Self = Self {
        align: 1,
        max_transfer: u64::MAX,
        opt_write_zero: 1,
        max_write_zero: u64::MAX,
        opt_discard: 1,
        max_discard: u64::MAX,
    };

    /// The limits that the schema's options ask for.
    ///
    /// # Errors
    /// One that does not go with the others, or can't be had.
    pub(super) fn new(options: &BlockdevOptionsBlkdebug) -> Result<Self, Error> {
        let align = limit("align", options.align, 1)?.unwrap_or(1);
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err(cannot_meet("align", align));
        }
        let opt_write_zero = limit("opt-write-zero", options.opt_write_zero, align)?.unwrap_or(align);
        let opt_discard = limit("opt-discard", options.opt_discard, align)?.unwrap_or(align);
        Ok(Self {
            align,
            max_transfer: limit("max-transfer", options.max_transfer, align)?.unwrap_or(u64::MAX),
            opt_write_zero,
            max_write_zero: limit("max-write-zero", options.max_write_zero, opt_write_zero)?.unwrap_or(u64::MAX),
            opt_discard,
            max_discard: limit("max-discard", options.max_discard, opt_discard)?.unwrap_or(u64::MAX),
        })
    }

    /// The aligned range around `range`, in an image of `length` bytes, whose end counts as aligned.
    pub(super) fn around(&self, range: &Range<u64>, length: u64) -> Range<u64> {
        let end = range.end.next_multiple_of(self.align).min(length.max(range.end));
        range.start - range.start % self.align..end
    }

    /// The part of `range` that is aligned, as above.
    pub(super) fn aligned(&self, range: Range<u64>, length: u64) -> Cut {
        cut(range, self.align, length)
    }

    /// What of an aligned range can be zeroed as such.
    pub(super) fn zeroable(&self, range: Range<u64>) -> Cut {
        // No exception at the end: what sticks out can be written.
        cut(range, self.opt_write_zero, u64::MAX)
    }

    /// What of `range` can be discarded.
    pub(super) fn discardable(&self, range: Range<u64>, length: u64) -> Range<u64> {
        cut(range, self.opt_discard, length).whole
    }
}

/// `range` in pieces of at most `max` bytes.
pub(super) fn pieces(range: Range<u64>, max: u64) -> impl Iterator<Item = Range<u64>> {
    let mut rest = range;
    iter::from_fn(move || {
        let end = rest.end.min(rest.start.saturating_add(max));
        let piece = rest.start..end;
        rest.start = end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// An option that is not 0, which stands for none; a multiple of `unit`.
fn limit(name: &str, value: Option<impl Into<i64>>, unit: u64) -> Result<Option<u64>, Error> {
    let Some(value) = value.map(Into::into).filter(|&value| value != 0) else {
        return Ok(None);
    };
    let limit = u64::try_from(value)
        .map_err(|_| Error::generic(format!("Value '{value}' is out of range for parameter '{name}'")))?;
    // As in QEMU, which keeps them in 31 bits.
    let fits = limit < i32::MAX as u64 && limit.is_multiple_of(unit);
    if fits { Ok(Some(limit)) } else { Err(cannot_meet(name, limit)) }
}

fn cannot_meet(name: &str, value: u64) -> Error {
    Error::generic(format!("Cannot meet constraints with {name} {value}"))
}

fn cut(range: Range<u64>, unit: u64, length: u64) -> Cut {
    let start = range.start.next_multiple_of(unit).min(range.end);
    let end = if range.end == length { range.end } else { range.end - range.end % unit };
    let end = end.max(start);
    Cut { head: range.start..start, whole: start..end, tail: end..range.end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use qapi_schema::{FromValue, Visitor};
    use serde_json::{Value, json};

    fn limits(mut options: Value) -> Result<Limits, String> {
        options["image"] = json!("null");
        let options = BlockdevOptionsBlkdebug::from_value(options, &Visitor::json()).expect("well formed");
        Limits::new(&options).map_err(|error| error.desc().to_owned())
    }

    #[test]
    fn what_does_not_go_together_is_refused_as_in_qemu() {
        for (options, words) in [
            (json!({"align": -1}), "Value '-1' is out of range for parameter 'align'"),
            (json!({"align": 3}), "Cannot meet constraints with align 3"),
            (json!({"align": 1_u64 << 40}), "Cannot meet constraints with align 1099511627776"),
            (json!({"align": 512, "max-transfer": 1000}), "Cannot meet constraints with max-transfer 1000"),
            (json!({"align": 512, "opt-write-zero": 100}), "Cannot meet constraints with opt-write-zero 100"),
            (json!({"opt-write-zero": 1024, "max-write-zero": 512}), "Cannot meet constraints with max-write-zero 512"),
            (json!({"max-transfer": i32::MAX}), "Cannot meet constraints with max-transfer 2147483647"),
            (json!({"opt-discard": 4096, "max-discard": 6144}), "Cannot meet constraints with max-discard 6144"),
        ] {
            assert_eq!(limits(options), Err(words.into()));
        }
        let none = json!({"align": 0, "max-transfer": 0, "opt-discard": 0, "max-discard": 0});
        assert_eq!((limits(none), limits(json!({}))), (Ok(Limits::NONE), Ok(Limits::NONE)));
    }

    #[test]
    fn a_range_is_cut_at_whole_blocks() {
        let limits = limits(json!({"align": 512, "opt-write-zero": 4096})).expect("limits");
        let zeroable = |range| limits.zeroable(range);
        assert_eq!(zeroable(512..9216), Cut { head: 512..4096, whole: 4096..8192, tail: 8192..9216 });
        assert_eq!(zeroable(4096..10_000), Cut { head: 4096..4096, whole: 4096..8192, tail: 8192..10_000 });
        assert_eq!(zeroable(512..1024), Cut { head: 512..1024, whole: 1024..1024, tail: 1024..1024 });
        let aligned = |range| limits.aligned(range, 10_000);
        assert_eq!(aligned(100..1100), Cut { head: 100..512, whole: 512..1024, tail: 1024..1100 });
        assert_eq!(aligned(100..10_000), Cut { head: 100..512, whole: 512..10_000, tail: 10_000..10_000 });
        assert_eq!(limits.around(&(100..600), 10_000), 0..1024);
        assert_eq!(limits.around(&(9_900..10_000), 10_000), 9_728..10_000);
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_range_are_the_range(start in 0..10_000_u64, length in 0..10_000_u64, max in 1..5_000_u64) {
            let mut at = start;
            for piece in pieces(start..start + length, max) {
                prop_assert!(piece.start == at && !piece.is_empty() && piece.end - piece.start <= max);
                at = piece.end;
            }
            prop_assert_eq!(at, start + length);
        }
    }
}
