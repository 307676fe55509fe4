//! Did you mean ...? The nearest of the names that would have been right.

/// Longer names have no neighbours: looking for them takes the square of the length.
const MAX_LENGTH: usize = 200;

/// A help text that names the candidate nearest to `name`, if one is near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if name.len() > MAX_LENGTH {
        return None;
    }
    let limit = (name.len() / 3).min(3);
    let near = candidates.into_iter().filter(|candidate| candidate.len().abs_diff(name.len()) <= limit);
    let ranked = near.map(|candidate| (distance(name, candidate), candidate));
    let (_, best) = ranked.filter(|&(distance, _)| distance <= limit).min()?;
    Some(format!("did you mean '{best}'?"))
}

/// The number of single-byte insertions, deletions and replacements between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.bytes().zip(row.iter_mut().skip(1)) {
            let changed = diagonal + usize::from(x != y);
            diagonal = *above;
            left = changed.min(diagonal + 1).min(left + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = || ["RunState", "StopReason"].into_iter();
        assert_eq!(nearest("RunSate", names()).as_deref(), Some("did you mean 'RunState'?"));
        assert_eq!(nearest("Elephant", names()), None);
        assert_eq!(nearest("a", ["b"]), None);
    }
}
