//! The way from the commands and events to the types that they use: where on the wire a difference is seen.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use super::definition::{compare, compare_exchanges};
use super::finding::{Differences, Finding, Pair, Place, Schemas, Side, Spot, Step, is_unstable};
use super::what::{Direction, Thing, Values, What};
use crate::schema::{Definition, DefinitionId, DefinitionKind, Members, Schema, Type, TypeId};

/// Where on the wire a change is seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Use {
    /// Whether it is a command or an event: `command`, `event`.
    pub keyword: &'static str,
    /// Its name.
    pub name: String,
    /// The part of it.
    pub part: Part,
    /// The member, in the notation `foo[].bar`.
    pub path: String,
    /// The discriminator and its value, if only some objects have the member: `driver 'file'`.
    pub case: Option<String>,
    /// Clients were told that it may change.
    pub unstable: bool,
}

/// Part of a command or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The command or event itself.
    Itself,
    /// The arguments of a command.
    Arguments,
    /// What a command returns.
    Return,
    /// What an event carries.
    Data,
}

impl Part {
    /// Who writes it.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Itself | Self::Arguments => Direction::Sent,
            Self::Return | Self::Data => Direction::Received,
        }
    }
}

/// `command 'foo': argument 'bar'`
impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", self.keyword, self.name)?;
        let (whole, member) = match self.part {
            Part::Itself => return Ok(()),
            Part::Arguments => ("arguments", "argument"),
            Part::Return => ("return value", "return member"),
            Part::Data => ("data", "member"),
        };
        if self.path.is_empty() { write!(f, ": {whole}") } else { write!(f, ": {member} '{}'", self.path) }
    }
}

/// Every change with every use of it, in the order of the old schema, then what only the new one has.
pub fn walk(schemas: Schemas<'_>) -> Vec<(Finding, Use)> {
    let mut walk = Walk { schemas, compared: HashMap::new(), found: Vec::new() };
    for old in schemas.old.definitions().filter(|old| !old.kind.is_type()) {
        match counterpart(schemas.new, old) {
            Some(new) => walk.exchange(old, new),
            None => walk.lone(Side::Old, old),
        }
    }
    for new in schemas.new.definitions().filter(|new| !new.kind.is_type()) {
        if counterpart(schemas.old, new).is_none() {
            walk.lone(Side::New, new);
        }
    }
    walk.found
}

fn counterpart<'a>(schema: &'a Schema, other: &Definition) -> Option<&'a Definition> {
    schema.find(&other.name).filter(|definition| definition.kind.keyword() == other.kind.keyword())
}

struct Walk<'a> {
    schemas: Schemas<'a>,
    /// Each pair is compared once.
    compared: HashMap<Pair, Rc<Differences>>,
    found: Vec<(Finding, Use)>,
}

impl Walk<'_> {
    /// A command or an event that only one schema has.
    fn lone(&mut self, side: Side, definition: &Definition) {
        let (what, unstable) = match side {
            Side::Old => (What::Removed(Thing::Exchange), is_unstable(&definition.features)),
            Side::New => (What::Added(Thing::Exchange), false),
        };
        let spot = Spot { span: definition.span, owner: definition.id };
        self.found.push((Finding { side, spot, what }, Use::of(definition, Part::Itself, unstable)));
    }

    fn exchange(&mut self, old: &Definition, new: &Definition) {
        let unstable = is_unstable(&old.features);
        self.follow(&Use::of(old, Part::Itself, unstable), &compare_exchanges(old, new));
        let part = if matches!(old.kind, DefinitionKind::Event(_)) { Part::Data } else { Part::Arguments };
        let members =
            Differences { parts: vec![(Step::default(), (members(old), members(new)))], ..Differences::default() };
        self.follow(&Use::of(old, part, unstable), &members);
        if let (DefinitionKind::Command(before), DefinitionKind::Command(now)) = (&old.kind, &new.kind) {
            let returns = self.returns(&Place::of(old, new), before.returns, now.returns);
            self.follow(&Use::of(old, Part::Return, unstable), &returns);
        }
    }

    /// Nothing is returned as an object without members.
    fn returns(&self, place: &Place, old: Option<Type>, new: Option<Type>) -> Differences {
        let mut differences = Differences::default();
        let name =
            |schema: &Schema, ty: Option<Type>| ty.map_or_else(|| "nothing".to_owned(), |ty| schema.type_name(ty));
        match (old, new) {
            (Some(old), Some(new)) => differences.types(self.schemas, place, old, new),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => match (self.schemas.old.object(old), self.schemas.new.object(new)) {
                (Some(old), Some(new)) => differences.parts.push((Step::default(), (old, new))),
                (None, _) | (_, None) => {
                    let (old, new) = (name(self.schemas.old, old), name(self.schemas.new, new));
                    differences.changed(place, What::Type { old, new, values: Values::Other });
                }
            },
        }
        differences
    }

    /// Notes the differences, and those of the types that they lead to. Each pair is seen by the shortest path, and
    /// once more if the path was unstable and there is one that is not.
    fn follow(&mut self, start: &Use, differences: &Differences) {
        let mut seen: HashMap<Pair, bool> = HashMap::new();
        let mut queue = VecDeque::new();
        self.note(start, differences, &mut queue);
        while let Some((pair, at)) = queue.pop_front() {
            if seen.get(&pair).is_some_and(|&unstable| at.unstable || !unstable) {
                continue;
            }
            seen.insert(pair, at.unstable);
            let schemas = self.schemas;
            let compared = self.compared.entry(pair).or_insert_with(|| Rc::new(compare(schemas, pair)));
            let differences = Rc::clone(compared);
            self.note(&at, &differences, &mut queue);
        }
    }

    fn note(&mut self, at: &Use, differences: &Differences, queue: &mut VecDeque<(Pair, Use)>) {
        let findings = differences.findings.iter();
        self.found.extend(findings.map(|(step, finding)| (finding.clone(), at.then(step))));
        queue.extend(differences.parts.iter().map(|(step, pair)| (*pair, at.then(step))));
    }
}

impl Use {
    fn of(definition: &Definition, part: Part, unstable: bool) -> Self {
        let (keyword, name) = (definition.kind.keyword(), definition.name.clone());
        Self { keyword, name, part, path: String::new(), case: None, unstable }
    }

    fn then(&self, step: &Step) -> Self {
        let path = format!("{}{}", self.path, step.path);
        let path = path.strip_prefix('.').map_or(path.clone(), str::to_owned);
        let case = step.case.as_ref().or(self.case.as_ref()).cloned();
        Self { path, case, unstable: self.unstable || step.unstable, ..self.clone() }
    }
}

/// The definition that has the members of a command or an event.
fn members(definition: &Definition) -> Option<DefinitionId> {
    let data = match &definition.kind {
        DefinitionKind::Command(command) => command.data.as_ref(),
        DefinitionKind::Event(event) => event.data.as_ref(),
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_) => None,
    };
    match data? {
        Members::Of(id) => id.definition(),
        Members::Inline(_) => Some(definition.id),
    }
}

impl Schema {
    /// The object that is returned, nothing being one without members; `None` if it is no object.
    fn object(&self, returns: Option<Type>) -> Option<Option<DefinitionId>> {
        let Some(ty) = returns else {
            return Some(None);
        };
        let Type { id: TypeId::Definition(id), array: false } = ty else {
            return None;
        };
        let kind = &self.definition(id)?.kind;
        matches!(kind, DefinitionKind::Struct(_) | DefinitionKind::Union(_)).then_some(Some(id))
    }
}
