//! What a quota has charged: pure accounting, in granules, without I/O.

use std::ops::Range;

use super::granules::Granules;

/// The limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OverLimit;

/// Granules charged against a limit.
///
/// A write is charged before it is done. Until it has succeeded what it was the first to charge is *tentative*: if it
/// fails, and nobody else has written there meanwhile, that is given back.
#[derive(Debug, Default)]
pub(super) struct Account {
    limit: u64,
    charged: Granules,
    tentative: Granules,
}

impl Account {
    /// An account that starts with nothing charged.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Changes the limit. One below what is charged takes nothing away.
    pub(super) const fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// How many granules are charged.
    pub(super) const fn used(&self) -> u64 {
        self.charged.count()
    }

    /// Charges what is there already, whatever the limit.
    pub(super) fn charge(&mut self, range: &Range<u64>) {
        self.charged.insert(range);
    }

    /// Charges what a write to `range` needs: all of it or nothing.
    pub(super) fn reserve(&mut self, range: &Range<u64>) -> Result<(), OverLimit> {
        let needed = range.end - range.start - self.charged.count_in(range);
        if needed == 0 {
            return Ok(());
        }
        if self.used().saturating_add(needed) > self.limit {
            return Err(OverLimit);
        }
        self.for_each_gap(range.clone(), |account, gap| {
            account.charged.insert(&gap);
            account.tentative.insert(&gap);
        });
        Ok(())
    }

    /// A write to `range` has succeeded: what it needed is used.
    pub(super) fn settle(&mut self, range: &Range<u64>) {
        if self.tentative.count() > 0 {
            self.tentative.remove(range);
        }
    }

    /// Whether anything in `range` is charged for writes that haven't succeeded.
    pub(super) fn is_unsettled(&self, range: &Range<u64>) -> bool {
        self.tentative.count_in(range) > 0
    }

    /// Gives back what is charged in `range` for writes that failed, as no other write to it is under way.
    pub(super) fn give_back_unsettled(&mut self, range: &Range<u64>) {
        let mut from = range.start;
        while let Some(run) = self.tentative.next_run(from).filter(|run| run.start < range.end) {
            let run = run.start..run.end.min(range.end);
            self.tentative.remove(&run);
            self.charged.remove(&run);
            from = run.end;
        }
    }

    /// Gives back `range`.
    pub(super) fn give_back(&mut self, range: &Range<u64>) {
        self.tentative.remove(range);
        self.charged.remove(range);
    }

    /// The next granules charged at or after `from`.
    pub(super) fn next_charged(&self, from: u64) -> Option<Range<u64>> {
        self.charged.next_run(from)
    }

    fn for_each_gap(&mut self, range: Range<u64>, mut call: impl FnMut(&mut Self, Range<u64>)) {
        let mut from = range.start;
        while from < range.end {
            let run = self.charged.next_run(from).unwrap_or(u64::MAX..u64::MAX);
            let gap = from..run.start.min(range.end);
            if !gap.is_empty() {
                call(self, gap);
            }
            from = run.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_all_or_nothing() {
        let mut account = Account::new(10);
        assert_eq!(account.reserve(&(0..8)), Ok(()));
        assert_eq!(account.reserve(&(4..12)), Err(OverLimit));
        assert_eq!(account.used(), 8);
        assert_eq!(account.reserve(&(6..10)), Ok(()));
        assert_eq!(account.used(), 10);
        assert_eq!(account.reserve(&(0..10)), Ok(()), "what is charged already costs nothing");
    }

    #[test]
    fn a_failed_write_gives_back_only_what_no_other_write_has_used() {
        let mut account = Account::new(100);
        account.charge(&(0..2));
        assert_eq!(account.reserve(&(0..6)), Ok(()));
        assert_eq!(account.reserve(&(4..8)), Ok(()));
        account.settle(&(4..8));
        account.give_back_unsettled(&(0..6));
        assert_eq!(account.used(), 2 + 4);
        assert!(!account.is_unsettled(&(0..100)));
    }

    #[test]
    fn a_limit_below_what_is_used_only_stops_new_allocation() {
        let mut account = Account::new(10);
        assert_eq!(account.reserve(&(0..10)), Ok(()));
        account.set_limit(5);
        assert_eq!(account.used(), 10);
        assert_eq!(account.reserve(&(0..10)), Ok(()));
        assert_eq!(account.reserve(&(10..11)), Err(OverLimit));
        account.give_back(&(0..6));
        assert_eq!(account.reserve(&(10..11)), Ok(()));
    }

    #[test]
    fn no_range_is_too_large_to_be_refused() {
        let mut account = Account::new(u64::MAX);
        assert_eq!(account.reserve(&(0..1 << 51)), Ok(()));
        account.set_limit(0);
        assert_eq!(account.reserve(&(1 << 51..1 << 52)), Err(OverLimit));
    }
}
