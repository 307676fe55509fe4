//! Conditions compared by the configurations in which they hold, not by how they are written.

use std::collections::BTreeSet;

use crate::schema::Condition;

/// In which configurations something exists now, compared with before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shift {
    /// It exists in some where it did not.
    pub more: bool,
    /// It is missing in some where it existed.
    pub fewer: bool,
}

/// Conditions with more symbols than this are compared as they are written.
const MAX_SYMBOLS: usize = 12;

/// How the configurations differ; `None` if they are the same.
pub fn shift(old: Option<&Condition>, new: Option<&Condition>) -> Option<Shift> {
    if old == new {
        return None;
    }
    let symbols: BTreeSet<_> = old.into_iter().chain(new).flat_map(Condition::symbols).collect();
    if symbols.len() > MAX_SYMBOLS {
        return Some(Shift { more: true, fewer: true });
    }
    let mut shift = Shift { more: false, fewer: false };
    for configuration in 0..1_usize << symbols.len() {
        let defined = symbols.iter().enumerate().filter(|(bit, _)| configuration >> bit & 1 == 1);
        let defined: BTreeSet<_> = defined.map(|(_, &symbol)| symbol).collect();
        let [before, now] = [old, new].map(|condition| condition.is_none_or(|condition| holds(condition, &defined)));
        shift.more |= now && !before;
        shift.fewer |= before && !now;
    }
    (shift.more || shift.fewer).then_some(shift)
}

fn holds(condition: &Condition, defined: &BTreeSet<&str>) -> bool {
    match condition {
        Condition::Symbol(symbol) => defined.contains(symbol.as_str()),
        Condition::Not(operand) => !holds(operand, defined),
        Condition::All(operands) => operands.iter().all(|operand| holds(operand, defined)),
        Condition::Any(operands) => operands.iter().any(|operand| holds(operand, defined)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> Condition {
        Condition::Symbol(name.to_owned())
    }

    #[test]
    fn what_is_written_otherwise_is_no_change() {
        let not = |condition| Condition::Not(Box::new(condition));
        let one = Condition::All(vec![symbol("A"), symbol("B")]);
        let other = not(Condition::Any(vec![not(symbol("B")), not(symbol("A"))]));
        assert_eq!(shift(Some(&one), Some(&other)), None);
    }

    #[test]
    fn more_and_fewer_configurations_are_told_apart() {
        let (a, b) = (symbol("A"), symbol("B"));
        let any = Condition::Any(vec![a.clone(), b.clone()]);
        assert_eq!(shift(None, Some(&a)), Some(Shift { more: false, fewer: true }));
        assert_eq!(shift(Some(&a), Some(&any)), Some(Shift { more: true, fewer: false }));
        assert_eq!(shift(Some(&a), Some(&b)), Some(Shift { more: true, fewer: true }));
    }

    #[test]
    fn many_symbols_are_compared_as_they_are_written() {
        let many: Vec<_> = (0..100).map(|n| symbol(&format!("A{n}"))).collect();
        let all = Condition::All(many.clone());
        assert_eq!(shift(Some(&all), Some(&all.clone())), None);
        assert_eq!(shift(Some(&all), Some(&Condition::Any(many))), Some(Shift { more: true, fewer: true }));
    }
}
