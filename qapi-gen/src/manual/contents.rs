//! The sections of a manual: headings, texts and entries in the order in which the schema has them.

use std::collections::HashSet;

use super::Prose;
use super::anchor;
use super::entry::{Entry, users};
use crate::doc::Doc;
use crate::schema::{Definition, Schema};
use crate::source::{Sources, Span};

/// A heading and what stands under it.
#[derive(Debug)]
pub struct Section<'a> {
    /// Its anchor.
    pub id: String,
    /// 1, or more for a section of a section.
    pub level: usize,
    /// The heading.
    pub title: &'a str,
    /// What stands under it.
    pub content: Vec<Content<'a>>,
}

/// What stands under a heading.
#[derive(Debug)]
pub enum Content<'a> {
    /// A text about no definition in particular.
    Text(Prose<'a>),
    /// A definition.
    Entry(Box<Entry<'a>>),
}

impl<'a> Section<'a> {
    /// The definitions under it.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.content.iter().filter_map(|content| match content {
            Content::Text(_) => None,
            Content::Entry(entry) => Some(&**entry),
        })
    }
}

enum Item<'a> {
    FreeForm(&'a Doc),
    Definition(&'a Definition),
}

impl Item<'_> {
    const fn span(&self) -> Span {
        match self {
            Item::FreeForm(doc) => doc.span,
            Item::Definition(definition) => definition.span,
        }
    }
}

/// The sections of a schema.
pub fn sections(schema: &Schema) -> Vec<Section<'_>> {
    let free_form = schema.free_form().iter().map(Item::FreeForm);
    let mut items: Vec<_> = free_form.chain(schema.definitions().map(Item::Definition)).collect();
    items.sort_by_cached_key(|item| position(schema.sources(), item.span()));
    let mut users = users(schema);
    let mut contents = Contents::default();
    for item in items {
        match item {
            Item::FreeForm(doc) => contents.free_form(doc),
            Item::Definition(definition) => {
                let used_by = users.remove(&definition.id).unwrap_or_default();
                contents.add(Content::Entry(Box::new(Entry::new(schema, definition, used_by))));
            }
        }
    }
    contents.sections
}

/// Where something stands when each file is put in the place of its first inclusion.
fn position(sources: &Sources, span: Span) -> Vec<u32> {
    let mut position: Vec<_> = sources.include_chain(span.file).map(|included| included.start).collect();
    position.reverse();
    position.push(span.start);
    position
}

#[derive(Default)]
struct Contents<'a> {
    sections: Vec<Section<'a>>,
    ids: HashSet<String>,
}

impl<'a> Contents<'a> {
    fn free_form(&mut self, doc: &'a Doc) {
        for section in &doc.sections {
            let mut text = section.text.as_str();
            if text.starts_with('=') {
                let (heading, rest) = text.split_once('\n').unwrap_or((text, ""));
                let title = heading.trim_start_matches('=');
                self.section(heading.len() - title.len(), title.trim());
                text = rest;
            }
            if !text.trim().is_empty() {
                self.add(Content::Text(text));
            }
        }
    }

    fn section(&mut self, level: usize, title: &'a str) {
        let title = if title.is_empty() { "Untitled" } else { title };
        let id = anchor::section(title, &mut self.ids);
        self.sections.push(Section { id, level, title, content: Vec::new() });
    }

    fn add(&mut self, content: Content<'a>) {
        if self.sections.is_empty() {
            self.section(1, "Reference");
        }
        if let Some(section) = self.sections.last_mut() {
            section.content.push(content);
        }
    }
}
