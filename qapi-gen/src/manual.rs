//! The reference manual of a schema: what its documentation comments and its definitions say, for people who use it.
//!
//! [`Manual::new`] arranges the schema into sections of entries, whatever the format; `html` and `markdown` write them.

mod anchor;
mod builtin;
mod contents;
mod entry;
mod example;
mod html;
mod markdown;

use crate::schema::Schema;
use contents::Section;
use entry::Entry;

/// A reference manual.
#[derive(Debug)]
pub struct Manual<'a> {
    schema: &'a Schema,
    title: &'a str,
    sections: Vec<Section<'a>>,
}

/// A text of the documentation, in reStructuredText.
type Prose<'a> = &'a str;

impl<'a> Manual<'a> {
    /// The manual of a schema.
    pub fn new(schema: &'a Schema, title: &'a str) -> Self {
        Self { schema, title, sections: contents::sections(schema) }
    }

    /// The manual as one page of HTML that needs no other file.
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The manual as one file of Markdown.
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// The entries, in the order of the schema.
    fn entries(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.sections.iter().flat_map(Section::entries)
    }

    /// The entries in the order of their names, by what they are: commands, events and types.
    fn index(&self) -> [(&'static str, Vec<&Entry<'a>>); 3] {
        [
            ("Commands", &["command"] as &[_]),
            ("Events", &["event"]),
            ("Types", &["enum", "struct", "union", "alternate"]),
        ]
        .map(|(title, kinds)| {
            let mut entries: Vec<_> =
                self.entries().filter(|entry| kinds.contains(&entry.definition.kind.keyword())).collect();
            entries.sort_by_cached_key(|entry| (entry.definition.name.to_lowercase(), &entry.definition.name));
            (title, entries)
        })
    }

    /// Where a name leads that a text uses: a member or a feature of the entry it is in, or a definition.
    fn link(&self, within: Option<&Entry<'_>>, name: &str) -> Option<String> {
        if let Some(id) = within.and_then(|entry| entry.part(name)) {
            return Some(id.to_owned());
        }
        // QEMU's manual has an index of its own for each schema.
        if name.starts_with("qapi-") && name.ends_with("-index") {
            return Some(anchor::INDEX.to_owned());
        }
        let definition = self.schema.find(name)?;
        let itself = within.is_some_and(|entry| entry.definition.id == definition.id);
        (!itself).then(|| anchor::definition(definition))
    }
}
