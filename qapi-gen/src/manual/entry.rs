//! An entry of a manual: what there is to know about one definition, in the order in which it is told.

use std::collections::HashMap;

use super::{Prose, anchor};
use crate::doc::SectionKind;
use crate::schema::{
    Branch, Condition, Definition, DefinitionId, DefinitionKind, Feature, Listed, Members, Schema, Type, TypeId,
};

/// What there is to know about a definition.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The definition.
    pub definition: &'a Definition,
    /// Its anchor.
    pub id: String,
    /// The release that brought it.
    pub since: Option<Prose<'a>>,
    /// What matters before anything else: its features, and how a command differs from others.
    pub tags: Vec<&'a str>,
    /// What it is.
    pub intro: Vec<Prose<'a>>,
    /// Its parts.
    pub tables: Vec<Table<'a>>,
    /// Its features.
    pub features: Vec<Row<'a>>,
    /// What a command returns.
    pub returns: Option<(Option<Type>, Option<Prose<'a>>)>,
    /// How a command fails.
    pub errors: Option<Prose<'a>>,
    /// Notes and examples.
    pub rest: Vec<Prose<'a>>,
    /// The definitions that use the type.
    pub used_by: Vec<DefinitionId>,
}

/// The parts of a definition that are of one kind.
#[derive(Debug)]
pub struct Table<'a> {
    /// What they are.
    pub title: String,
    /// What their names are.
    pub names: &'static str,
    /// Each of them.
    pub rows: Vec<Row<'a>>,
}

/// A part of a definition.
#[derive(Debug)]
pub struct Row<'a> {
    /// Its anchor.
    pub id: String,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub ty: Option<Type>,
    /// It may be absent.
    pub optional: bool,
    /// The release that brought it.
    pub since: Option<&'a str>,
    /// Under which condition it exists.
    pub condition: Option<&'a Condition>,
    /// Its features.
    pub features: &'a [Feature],
    /// What it is.
    pub text: Option<Prose<'a>>,
    /// It stands for the members of its type.
    pub stands_for_members: bool,
}

impl<'a> Entry<'a> {
    /// The entry of a definition.
    pub fn new(schema: &'a Schema, definition: &'a Definition, used_by: Vec<DefinitionId>) -> Self {
        let id = anchor::definition(definition);
        let tables = tables(schema, definition, &id);
        let tags = definition.features.iter().map(|feature| feature.name.as_str());
        let returns = match &definition.kind {
            DefinitionKind::Command(command) => command.returns.map(|ty| (Some(ty), None)),
            DefinitionKind::Enum(_)
            | DefinitionKind::Struct(_)
            | DefinitionKind::Union(_)
            | DefinitionKind::Alternate(_)
            | DefinitionKind::Event(_) => None,
        };
        let mut entry = Self {
            definition,
            id,
            since: None,
            tags: tags.chain(manners(definition)).collect(),
            intro: Vec::new(),
            tables,
            features: Vec::new(),
            returns,
            errors: None,
            rest: Vec::new(),
            used_by,
        };
        entry.take_over();
        entry
    }

    /// Takes over what the documentation says, the parts of the definition apart.
    fn take_over(&mut self) {
        let mut intro = true;
        for section in self.definition.doc.iter().flat_map(|doc| &doc.sections) {
            let text = section.text.as_str();
            match &section.kind {
                SectionKind::Plain if intro => self.intro.push(text),
                SectionKind::Plain => self.rest.push(text),
                SectionKind::Member(_) | SectionKind::Todo => {}
                SectionKind::Feature(name) => {
                    let id = anchor::feature(&self.id, name);
                    let feature = self.definition.all_features().find(|feature| feature.name == *name);
                    let condition = feature.and_then(|feature| feature.condition.as_ref());
                    self.features.push(Row { condition, ..Row::new(id, name, Some(text)) });
                }
                SectionKind::Returns => self.returns = Some((self.returns.and_then(|(ty, _)| ty), Some(text))),
                SectionKind::Errors => self.errors = Some(text),
                SectionKind::Since => self.since = Some(text.trim()),
            }
            intro &= section.kind == SectionKind::Plain;
        }
    }

    /// Whether anything was written about it.
    pub fn is_documented(&self) -> bool {
        let mut sections = self.definition.doc.iter().flat_map(|doc| &doc.sections);
        sections.any(|section| !section.text.trim().is_empty())
    }

    /// The anchor of a member, a value or a feature.
    pub fn part(&self, name: &str) -> Option<&str> {
        let rows = self.tables.iter().flat_map(|table| &table.rows).chain(&self.features);
        rows.into_iter().find(|row| row.name == name).map(|row| row.id.as_str())
    }
}

impl<'a> Row<'a> {
    fn new(id: String, name: &'a str, text: Option<Prose<'a>>) -> Self {
        let text = text.filter(|text| !text.trim().is_empty());
        let (text, since) = match text.and_then(since_at_the_end) {
            Some((text, since)) => (Some(text).filter(|text| !text.is_empty()), Some(since)),
            None => (text, None),
        };
        Row {
            id,
            name,
            ty: None,
            optional: false,
            since,
            condition: None,
            features: &[],
            text,
            stands_for_members: false,
        }
    }

    fn of_member(id: &str, Listed { member, definition }: Listed<'a>) -> Self {
        Row {
            ty: Some(member.ty),
            optional: member.optional,
            condition: member.condition.as_ref(),
            features: &member.features,
            ..Row::new(anchor::member(id, &member.name), &member.name, described(definition, &member.name))
        }
    }

    fn of_branch(branch: &'a Branch, id: String, text: Option<Prose<'a>>) -> Self {
        Row { ty: Some(branch.ty), condition: branch.condition.as_ref(), ..Row::new(id, &branch.name, text) }
    }
}

/// How the use of a command differs from that of others.
fn manners<'a>(definition: &Definition) -> impl Iterator<Item = &'a str> + use<'a> {
    let manners = match &definition.kind {
        DefinitionKind::Command(command) => [
            (command.allow_oob, "out-of-band"),
            (command.allow_preconfig, "preconfig"),
            (!command.success_response, "no reply on success"),
        ],
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_)
        | DefinitionKind::Event(_) => [(false, ""); 3],
    };
    manners.into_iter().filter_map(|(holds, manner)| holds.then_some(manner))
}

fn described<'a>(definition: &'a Definition, name: &str) -> Option<Prose<'a>> {
    Some(definition.doc.as_ref()?.member(name)?.text.as_str())
}

/// The text before a last `(since 1.2)`, and the release.
fn since_at_the_end(text: &str) -> Option<(&str, &str)> {
    let trimmed = text.trim_end().trim_end_matches('.');
    let (before, since) = trimmed.strip_suffix(')')?.rsplit_once('(')?;
    let release = since.strip_prefix("since").or_else(|| since.strip_prefix("Since"))?;
    let release = release.trim_start_matches(':').trim();
    let is_release = !release.is_empty() && release.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_release.then(|| (before.trim_end(), release))
}

fn tables<'a>(schema: &'a Schema, definition: &'a Definition, id: &str) -> Vec<Table<'a>> {
    let title = match &definition.kind {
        DefinitionKind::Enum(enumeration) => {
            let values = enumeration.values.iter().map(|value| Row {
                condition: value.condition.as_ref(),
                features: &value.features,
                ..Row::new(anchor::member(id, &value.name), &value.name, described(definition, &value.name))
            });
            return Table::new("Values", "Value", values).into_iter().collect();
        }
        DefinitionKind::Alternate(alternate) => {
            let branches = alternate.branches.iter().map(|branch| {
                Row::of_branch(branch, anchor::member(id, &branch.name), described(definition, &branch.name))
            });
            return Table::new("Alternatives", "Name", branches).into_iter().collect();
        }
        DefinitionKind::Struct(_) | DefinitionKind::Union(_) => "Members",
        DefinitionKind::Command(_) => "Arguments",
        DefinitionKind::Event(_) => "Data",
    };
    // The members of each base, then those of its own.
    let members = schema.members(definition);
    let members = members.chunk_by(|one, next| one.definition.id == next.definition.id).filter_map(|members| {
        let from = members.first()?.definition;
        let title = if from.id == definition.id { title.to_owned() } else { format!("{title} from `{}`", from.name) };
        Table::new(title, "Name", members.iter().map(|&listed| Row::of_member(id, listed)))
    });
    let of_union = union(schema, definition).and_then(|(discriminator, branches)| {
        let branches = branches.iter().map(|branch| Row {
            stands_for_members: true,
            ..Row::of_branch(branch, anchor::branch(id, &branch.name), None)
        });
        Table::new(format!("Further {}, by `{discriminator}`", title.to_lowercase()), "Value", branches)
    });
    members.chain(of_union).collect()
}

/// The discriminator and the branches, if the members are those of a union.
fn union<'a>(schema: &'a Schema, definition: &'a Definition) -> Option<(&'a str, &'a [Branch])> {
    let data = match &definition.kind {
        DefinitionKind::Union(union) => return Some((&union.discriminator, &union.branches)),
        DefinitionKind::Command(command) => &command.data,
        DefinitionKind::Event(event) => &event.data,
        DefinitionKind::Enum(_) | DefinitionKind::Struct(_) | DefinitionKind::Alternate(_) => return None,
    };
    union(schema, schema.definition(data.as_ref()?.of()?.definition()?)?)
}

impl<'a> Table<'a> {
    fn new(title: impl Into<String>, names: &'static str, rows: impl Iterator<Item = Row<'a>>) -> Option<Self> {
        let rows: Vec<_> = rows.collect();
        (!rows.is_empty()).then(|| Table { title: title.into(), names, rows })
    }
}

/// The definitions that use each type, in the order of the schema.
pub fn users(schema: &Schema) -> HashMap<DefinitionId, Vec<DefinitionId>> {
    let mut users = HashMap::<_, Vec<_>>::new();
    for definition in schema.definitions() {
        let members = definition.own_members().iter().map(|member| member.ty.id);
        let branches = definition.branches().iter().map(|branch| branch.ty.id);
        for used in members.chain(branches).chain(whole(definition)).filter_map(TypeId::definition) {
            let users = users.entry(used).or_default();
            if users.last() != Some(&definition.id) {
                users.push(definition.id);
            }
        }
    }
    users
}

/// The types that a definition takes its members from or returns.
fn whole(definition: &Definition) -> impl Iterator<Item = TypeId> {
    let [first, second] = match &definition.kind {
        DefinitionKind::Struct(structure) => [structure.base, None],
        DefinitionKind::Union(union) => [union.base.of(), None],
        DefinitionKind::Command(command) => {
            [command.data.as_ref().and_then(Members::of), command.returns.map(|ty| ty.id)]
        }
        DefinitionKind::Event(event) => [event.data.as_ref().and_then(Members::of), None],
        DefinitionKind::Enum(_) | DefinitionKind::Alternate(_) => [None, None],
    };
    first.into_iter().chain(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_a_member_stands_at_its_end() {
        assert_eq!(since_at_the_end("The id.  (Since: 2.10)\n"), Some(("The id.", "2.10")));
        assert_eq!(since_at_the_end("the id (since 2.10)."), Some(("the id", "2.10")));
        assert_eq!(since_at_the_end("the id\n(since\n9.0)"), Some(("the id", "9.0")));
        for text in ["the id (since 2.0 for x)", "the id (since 2.0), mostly", "(sincerely)", "since 2)"] {
            assert_eq!(since_at_the_end(text), None, "{text}");
        }
    }
}
