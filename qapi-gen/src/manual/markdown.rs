//! The manual as one file of Markdown.
//!
//! Members are items of a list, since their descriptions may hold what no cell of a table can: lists and examples.

use super::builtin::meaning;
use super::contents::{Content, Section};
use super::entry::{Entry, Row};
use super::{Manual, anchor};
use crate::markup::markdown::{Markdown, code, plain};
use crate::markup::{Block, blocks, inline};
use crate::schema::{Builtin, Definition, DefinitionId, Type, TypeId};

/// The whole file.
pub fn page(manual: &Manual<'_>) -> String {
    let mut page = Page { manual, out: String::new() };
    page.paragraph(&format!("# {}", escaped(manual.title)));
    for section in &manual.sections {
        let indent = "  ".repeat(section.level.saturating_sub(1).min(2));
        page.line(&format!("{indent}- [{}](#{})", escaped(section.title), section.id));
    }
    page.line(&format!("- [Built-in types](#{})", anchor::BUILTINS));
    page.paragraph(&format!("- [Index](#{})", anchor::INDEX));
    for section in &manual.sections {
        page.section(section);
    }
    page.builtins();
    page.index();
    page.out.truncate(page.out.trim_end().len());
    page.out.push('\n');
    page.out
}

struct Page<'a> {
    manual: &'a Manual<'a>,
    out: String,
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    plain(text, &mut out);
    out
}

fn coded(text: &str) -> String {
    let mut out = String::new();
    code(text, &mut out);
    out
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        self.line(text);
        self.out.push('\n');
    }

    fn heading(&mut self, level: usize, id: &str, title: &str) {
        self.paragraph(&format!("<a id=\"{id}\"></a>"));
        self.paragraph(&format!("{} {title}", "#".repeat(level.min(6))));
    }

    /// A text of an entry, whose members it may name, as Markdown.
    fn text(&self, entry: Option<&Entry<'_>>, text: &str) -> String {
        let link = |name: &str| match self.manual.link(entry, name) {
            Some(id) => Some(format!("#{id}")),
            None => inline::is_url(name).then(|| name.to_owned()),
        };
        Markdown { link: &link }.text(text)
    }

    fn section(&mut self, section: &Section<'_>) {
        self.heading(section.level + 1, &section.id, &escaped(section.title));
        for content in &section.content {
            match content {
                Content::Text(text) => self.paragraph(&self.text(None, text)),
                Content::Entry(entry) => self.entry(entry, section.level + 2),
            }
        }
    }

    fn entry(&mut self, entry: &Entry<'_>, level: usize) {
        let definition = entry.definition;
        self.heading(level, &entry.id, &format!("{} {}", definition.kind.keyword(), coded(&definition.name)));
        let tags = entry.tags.iter().map(|tag| format!("**{tag}**"));
        let only_if = definition.condition.as_ref().map(|it| format!("if {}", coded(&it.to_string())));
        let since = entry.since.map(|since| format!("since {}", escaped(since)));
        let about: Vec<_> = tags.chain(only_if).chain(since).collect();
        if !about.is_empty() {
            self.paragraph(&capitalised(&about.join(", ")));
        }
        for text in &entry.intro {
            self.paragraph(&self.text(Some(entry), text));
        }
        if !entry.is_documented() {
            self.paragraph("*Not documented.*");
        }
        for table in &entry.tables {
            let title = self.text(None, &table.title);
            self.rows(entry, &title, &table.rows);
        }
        self.rows(entry, "Features", &entry.features);
        if let Some((ty, text)) = &entry.returns {
            let ty = ty.map(|ty| self.type_of(ty));
            let text = text.map(|text| self.text(Some(entry), text));
            self.paragraph("**Returns**");
            ty.into_iter().chain(text).for_each(|text| self.paragraph(&text));
        }
        if let Some(errors) = entry.errors {
            self.paragraph("**Errors**");
            self.paragraph(&self.text(Some(entry), errors));
        }
        for text in &entry.rest {
            self.paragraph(&self.text(Some(entry), text));
        }
        if !entry.used_by.is_empty() {
            let users: Vec<_> = entry.used_by.iter().map(|&id| self.definition(id)).collect();
            self.paragraph(&format!("Used by {}", users.join(", ")));
        }
    }

    fn rows(&mut self, entry: &Entry<'_>, title: &str, rows: &[Row<'_>]) {
        if rows.is_empty() {
            return;
        }
        self.paragraph(&format!("**{title}**"));
        for row in rows {
            self.line(&self.row(entry, row));
        }
        self.line("");
    }

    fn row(&self, entry: &Entry<'_>, row: &Row<'_>) -> String {
        let ty = row.ty.map(|ty| self.type_of(ty));
        let optional = row.optional.then(|| "optional".to_owned());
        let features = row.features.iter().map(|feature| match &feature.condition {
            Some(it) => format!("**{}** if {}", feature.name, coded(&it.to_string())),
            None => format!("**{}**", feature.name),
        });
        let only_if = row.condition.map(|it| format!("if {}", coded(&it.to_string())));
        let since = row.since.map(|since| format!("since {since}"));
        let about: Vec<_> = ty.into_iter().chain(optional).chain(features).chain(only_if).chain(since).collect();
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        let text = match row.text {
            Some(text) => self.text(Some(entry), text),
            None if row.stands_for_members => "the members of this type".to_owned(),
            None => "*Not documented.*".to_owned(),
        };
        let starts_inline = row.text.is_none_or(|text| matches!(blocks(text).first(), Some(Block::Paragraph(_))));
        let separator = if starts_inline { " " } else { "\n\n" };
        let item = format!("- <a id=\"{}\"></a>{}{about}:{separator}{text}", row.id, coded(row.name));
        item.replace('\n', "\n  ").replace("\n  \n", "\n\n")
    }

    fn type_of(&self, ty: Type) -> String {
        let link = match ty.id {
            TypeId::Builtin(builtin) => format!("[{}](#{})", coded(builtin.name()), anchor::builtin(builtin)),
            TypeId::Definition(id) => self.definition(id),
        };
        if ty.array { format!("array of {link}") } else { link }
    }

    fn definition(&self, id: DefinitionId) -> String {
        let link = |found: &Definition| format!("[{}](#{})", coded(&found.name), anchor::definition(found));
        self.manual.schema.definition(id).map(link).unwrap_or_default()
    }

    fn builtins(&mut self) {
        self.heading(2, anchor::BUILTINS, "Built-in types");
        for builtin in Builtin::all() {
            let (id, name) = (anchor::builtin(builtin), coded(builtin.name()));
            self.line(&format!("- <a id=\"{id}\"></a>{name}: {}", meaning(builtin)));
        }
        self.line("");
    }

    fn index(&mut self) {
        self.heading(2, anchor::INDEX, "Index");
        for (title, entries) in self.manual.index() {
            if !entries.is_empty() {
                self.paragraph(&format!("### {title}"));
                for entry in entries {
                    self.line(&format!("- {}", self.definition(entry.definition.id)));
                }
                self.line("");
            }
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
