//! What the word before the cursor may become.

use super::arguments::{Argument, Kind, split};
use super::table::{Action, COMMANDS, Spec, find};

/// What a word is to be completed from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Candidates {
    /// These.
    Names(Vec<&'static str>),
    /// The block devices and nodes that there are.
    Devices,
}

/// The word before the cursor, and what may stand in its place.
pub(super) fn candidates(before: &str) -> Option<(String, Candidates)> {
    let mut words = split(before).ok()?;
    let word = if before.ends_with(char::is_whitespace) { String::new() } else { words.pop().unwrap_or_default() };
    Some((word.clone(), among(COMMANDS, &words, &word)?))
}

fn among(commands: &'static [Spec], words: &[String], word: &str) -> Option<Candidates> {
    let Some((name, rest)) = words.split_first() else {
        return Some(Candidates::Names(names(commands)));
    };
    let command = find(commands, name)?;
    if let Action::Group(beneath) = command.action {
        return among(beneath, rest, word);
    }
    if word.starts_with('-') {
        let flags = command.arguments.iter().filter(|argument| argument.kind == Kind::Flag);
        return Some(Candidates::Names(flags.map(|flag| flag.name).collect()));
    }
    let place = rest.iter().filter(|word| !word.starts_with('-')).count();
    let mut arguments = command.arguments.iter().filter(|argument| argument.kind != Kind::Flag);
    match (arguments.nth(place)?, rest.first().and_then(|name| find(COMMANDS, name))) {
        (Argument { kind: Kind::Command, .. }, _) => Some(Candidates::Names(names(COMMANDS))),
        (Argument { kind: Kind::Device, .. }, _) => Some(Candidates::Devices),
        // What stands after the name of a group, as in `help info`.
        (Argument { kind: Kind::Text, .. }, Some(Spec { action: Action::Group(beneath), .. })) => {
            Some(Candidates::Names(names(beneath)))
        }
        (Argument { kind: Kind::Text | Kind::Size | Kind::Flag, .. }, _) => None,
    }
}

fn names(commands: &[Spec]) -> Vec<&'static str> {
    commands.iter().flat_map(|command| command.names).copied().collect()
}

/// How far all names that start with `word` agree beyond it, with a blank if there is one only; and those names.
pub(super) fn common<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> (String, Vec<&'a str>) {
    let mut fitting: Vec<_> = names.into_iter().filter(|name| name.starts_with(word)).collect();
    fitting.sort_unstable();
    fitting.dedup();
    let text = match fitting.as_slice() {
        [] => String::new(),
        [only] => format!("{} ", only.get(word.len()..).unwrap_or_default()),
        [first, .., last] => {
            // They are sorted: what these two have in common all have.
            let agree = first.chars().zip(last.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c);
            agree.skip(word.chars().count()).collect()
        }
    };
    (text, fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(before: &str) -> Option<(String, Vec<&'static str>)> {
        match candidates(before)? {
            (word, Candidates::Names(names)) => Some(common(&word, names)),
            (word, Candidates::Devices) => Some(common(&word, ["disk0", "disk1"])),
        }
    }

    #[test]
    fn a_word_becomes_what_all_candidates_have_in_common() {
        let text = |before| completed(before).map(|(text, _)| text);
        assert_eq!(text("blo").as_deref(), Some("ck_resize "));
        assert_eq!(text("info sto").as_deref(), Some("p-reason "));
        assert_eq!(text("info bl").as_deref(), Some("ock"));
        assert_eq!(completed("info block").map(|(_, names)| names), Some(vec!["block", "blockstats"]));
        assert_eq!(text("info block d").as_deref(), Some("isk"));
        assert_eq!(text("info block -n ").as_deref(), Some("disk"));
        assert_eq!(text("block_resize disk0").as_deref(), Some(" "));
        assert_eq!(text("help info stat").as_deref(), Some("us "));
        assert_eq!(text("zzz").as_deref(), Some(""));
    }

    #[test]
    fn where_nothing_fits_nothing_happens() {
        for before in ["block_resize disk0 1", "nonsense x", "info nonsense x", "stop x", "\"open"] {
            assert_eq!(completed(before), None, "{before}");
        }
        assert!(completed("").expect("all commands").1.len() > 4);
    }
}
