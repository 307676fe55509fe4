//! Documentation comments as doc attributes.

use proc_macro2::TokenStream;
use quote::quote;

use super::layout::{Layout, Listed};
use super::markdown::markdown;
use crate::doc::{Doc, SectionKind};
use crate::schema::{Definition, DefinitionKind, Schema};
use crate::source::FileId;

/// The documentation of a type or an event. Its members are documented each by itself.
pub fn definition(definition: &Definition) -> TokenStream {
    let mut text = Text::default();
    match &definition.doc {
        Some(doc) => text.sections(doc, None),
        None => text.paragraph(&format!("The {} `{}`.", definition.kind.keyword(), definition.name)),
    }
    text.attribute()
}

/// The documentation of a command. `arguments` are what it documents instead of members.
pub fn command(layout: &Layout<'_>, definition: &Definition) -> TokenStream {
    let mut text = Text::default();
    match &definition.doc {
        Some(doc) => {
            let listed = layout.members(definition);
            let described = listed.iter().filter_map(|listed| Some((listed.member.name.as_str(), listed.doc()?)));
            text.sections(doc, Some(described.collect()));
        }
        None => text.paragraph(&format!("The command `{}`.", definition.name)),
    }
    text.attribute()
}

/// The documentation of an enumeration's value or an alternate's branch.
pub fn member(definition: &Definition, name: &str) -> TokenStream {
    match described(definition, name) {
        Some(text) => attribute(&markdown(text)),
        None => attribute(&format!("`{name}`.")),
    }
}

/// The documentation of a member, which stands where the member is listed.
pub fn listed(listed: &Listed<'_>) -> TokenStream {
    match listed.doc() {
        Some(text) => attribute(&markdown(text)),
        None => attribute(&format!("The member `{}`.", listed.member.name)),
    }
}

impl<'a> Listed<'a> {
    fn doc(&self) -> Option<&'a str> {
        described(self.definition, &self.member.name)
    }
}

/// What the documentation of a definition says about a member.
fn described<'a>(definition: &'a Definition, name: &str) -> Option<&'a str> {
    let sections = definition.doc.iter().flat_map(|doc| &doc.sections);
    let mut sections =
        sections.filter(|section| matches!(&section.kind, SectionKind::Member(member) if member == name));
    sections.next().map(|section| section.text.as_str()).filter(|text| !text.trim().is_empty())
}

/// The documentation of a module: the free-form comments of its file.
pub fn module(schema: &Schema, file: FileId) -> TokenStream {
    let mut text = Text::default();
    for doc in schema.free_form().iter().filter(|doc| doc.span.file == file) {
        text.sections(doc, None);
    }
    if text.paragraphs.is_empty() {
        let name = schema.sources().path(file).file_name().unwrap_or_default().to_string_lossy();
        let commands = schema.definitions().filter(|definition| definition.span.file == file);
        let has_commands = commands.into_iter().any(|definition| matches!(definition.kind, DefinitionKind::Command(_)));
        let what = if has_commands { "Commands, events and types" } else { "Types" };
        text.paragraph(&format!("{what} of `{name}`."));
    }
    text.attribute()
}

#[derive(Default)]
struct Text {
    paragraphs: Vec<String>,
}

impl Text {
    fn paragraph(&mut self, paragraph: &str) {
        if !paragraph.is_empty() {
            self.paragraphs.push(paragraph.to_owned());
        }
    }

    /// The sections in their order, the members replaced by a list of arguments if there are any.
    fn sections(&mut self, doc: &Doc, mut arguments: Option<Vec<(&str, &str)>>) {
        let arguments_at = doc.sections.iter().position(|section| !matches!(section.kind, SectionKind::Plain));
        for (index, section) in doc.sections.iter().enumerate() {
            if Some(index) == arguments_at {
                self.arguments(arguments.take());
            }
            let text = || markdown(&section.text);
            match &section.kind {
                SectionKind::Plain => self.paragraph(&text()),
                SectionKind::Member(_) | SectionKind::Todo => {}
                SectionKind::Feature(name) => self.item("# Features", name, &section.text),
                SectionKind::Returns => self.headed("# Returns", &text()),
                SectionKind::Errors => self.headed("# Errors", &text()),
                SectionKind::Since => self.paragraph(&format!("Since: {}", text())),
            }
        }
        self.arguments(arguments);
    }

    fn arguments(&mut self, arguments: Option<Vec<(&str, &str)>>) {
        for (name, text) in arguments.unwrap_or_default() {
            self.item("# Arguments", name, text);
        }
    }

    fn headed(&mut self, heading: &str, text: &str) {
        self.paragraphs.extend([heading.to_owned(), text.to_owned()]);
    }

    /// An item of a list under a heading of its own.
    fn item(&mut self, heading: &str, name: &str, text: &str) {
        let text = markdown(text).replace('\n', "\n  ").replace("\n  \n", "\n\n");
        let item = format!("- `{name}`: {text}");
        match self.paragraphs.last_mut() {
            Some(last) if last.starts_with(heading) => {
                last.push('\n');
                last.push_str(&item);
            }
            Some(_) | None => self.paragraphs.push(format!("{heading}\n\n{item}")),
        }
    }

    fn attribute(&self) -> TokenStream {
        attribute(&self.paragraphs.join("\n\n"))
    }
}

fn attribute(text: &str) -> TokenStream {
    let text = if text.trim().is_empty() { "Not documented." } else { text };
    quote!(#[doc = #text])
}
