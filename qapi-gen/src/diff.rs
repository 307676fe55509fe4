//! Two versions of a schema compared as clients see them: what changed on the wire, and whether that breaks clients.
//!
//! `walk` starts from the commands and events and finds the types that they use; `definition`, `object` and `types`
//! find what differs between two types; `condition` compares configurations; [`What::breaks`] is the rules. What
//! is not seen on the wire is no change: names of types, bases, `boxed`, whatever no command and no event uses.

mod condition;
mod definition;
mod finding;
#[cfg(test)]
mod mutations;
mod object;
mod types;
mod walk;
mod what;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use crate::schema::Schema;
pub use condition::Shift;
use finding::Schemas;
pub use finding::Side;
pub use walk::{Part, Use};
pub use what::{Direction, Flag, Thing, Values, What};

/// A change on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Whether clients may fail.
    pub verdict: Verdict,
    /// The file where it is seen.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: u32,
    /// The column, counted from 1 in characters.
    pub column: usize,
    /// In which schema the place is.
    pub side: Side,
    /// The type that the place is in, such as `struct 'Foo'`; none if it is the command or event itself.
    pub owner: Option<String>,
    /// What changed.
    pub what: What,
    /// The commands and events that it is seen in, in the order of the old schema; of a breaking change those that break.
    pub uses: Vec<Use>,
}

/// Whether a client that knows the old schema may fail with the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It may.
    Breaking,
    /// It may, but was told so by the feature `unstable`.
    Unstable,
    /// It need not notice.
    Compatible,
}

/// Compares two schemas. The changes that break clients come first, then it goes by place.
pub fn diff(old: &Schema, new: &Schema) -> Vec<Change> {
    let schemas = Schemas { old, new };
    let mut changes = Vec::new();
    let mut places = HashMap::new();
    for (finding, found) in walk::walk(schemas) {
        let place = *places.entry(finding.clone()).or_insert_with(|| {
            changes.push((finding, Vec::new()));
            changes.len() - 1
        });
        if let Some((_, uses)) = changes.get_mut(place) {
            uses.push(found);
        }
    }
    let changes = changes.into_iter().map(|(finding, uses)| {
        let schema = match finding.side {
            Side::Old => old,
            Side::New => new,
        };
        let span = finding.spot.span;
        let owner = schema.definition(finding.spot.owner).filter(|owner| owner.kind.is_type());
        let (verdict, uses) = judge(&finding.what, uses);
        Change {
            verdict,
            path: schema.sources.path(span.file).to_owned(),
            line: span.line,
            column: schema.sources.column(span),
            side: finding.side,
            owner: owner.map(ToString::to_string),
            what: finding.what,
            uses,
        }
    });
    let mut changes: Vec<_> = changes.collect();
    changes.sort();
    changes
}

/// The verdict by the worst use, and the uses that decide it.
fn judge(what: &What, uses: Vec<Use>) -> (Verdict, Vec<Use>) {
    let verdict = |found: &Use| match (what.breaks(found.part.direction()), found.unstable) {
        (true, false) => Verdict::Breaking,
        (true, true) => Verdict::Unstable,
        (false, _) => Verdict::Compatible,
    };
    let worst = uses.iter().map(verdict).min().unwrap_or(Verdict::Compatible);
    (worst, uses.into_iter().filter(|found| verdict(found) == worst).collect())
}

/// `FILE:LINE:COL: breaking: command 'foo': argument 'bar' was removed (struct 'Foo'; also in 'baz')`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.verdict == Verdict::Breaking { "breaking" } else { "compatible" };
        write!(f, "{}:{}:{}: {verdict}: ", self.path.display(), self.line, self.column)?;
        if let Some(first) = self.uses.first() {
            write!(f, "{first}")?;
        }
        write!(f, "{}", self.what)?;
        let notes = self.notes();
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join("; ")) }
    }
}

impl Change {
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self.owner.iter().cloned().collect();
        if let Some(first) = self.uses.first() {
            let same = self.uses.iter().filter(|found| found.part == first.part && found.path == first.path);
            notes.extend(some(same.filter(|found| found.name == first.name).filter_map(|found| found.case.clone())));
            let others = self.uses.iter().filter(|found| found.name != first.name);
            let others = some(others.map(|found| format!("'{}'", found.name)));
            notes.extend(others.map(|others| format!("also in {others}")));
        }
        let received = self.uses.iter().any(|found| found.part.direction() == Direction::Received);
        if received && matches!(self.what, What::Added(Thing::Value(_))) {
            notes.push("clients may receive it".to_owned());
        }
        if self.verdict == Verdict::Unstable {
            notes.push("unstable".to_owned());
        }
        notes
    }
}

/// The first ones of a list by name, and how many more there are.
fn some(items: impl Iterator<Item = String>) -> Option<String> {
    let mut items: Vec<_> = items.collect();
    items.dedup();
    if items.len() > 3 {
        let more = items.split_off(2).len();
        return Some(format!("{} and {more} more", items.join(", ")));
    }
    (!items.is_empty()).then(|| items.join(", "))
}
