//! Documentation comments as doc attributes.

use proc_macro2::TokenStream;
use quote::quote;

use crate::doc::{Doc, SectionKind};
use crate::markup::markdown::{inline, markdown};
use crate::schema::{Definition, Listed, Schema};
use crate::source::FileId;

/// The documentation of a type or an event. Its members are documented each by itself.
pub fn definition(definition: &Definition) -> TokenStream {
    let mut text = Text::default();
    if let Some(doc) = &definition.doc {
        text.sections(doc, Vec::new());
    }
    text.attribute(|| format!("The {} `{}`.", definition.kind.keyword(), definition.name))
}

/// The documentation of a command, with its arguments unless they are one value.
pub fn command(schema: &Schema, definition: &Definition) -> TokenStream {
    let mut text = Text::default();
    if let Some(doc) = &definition.doc {
        let boxed = definition.boxed_data().is_some();
        let listed = if boxed { Vec::new() } else { schema.members(definition) };
        let described = listed.iter().filter_map(|listed| Some((listed.member.name.as_str(), listed.doc()?)));
        text.sections(doc, described.collect());
    }
    text.attribute(|| format!("The command `{}`.", definition.name))
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
    let section = definition.doc.as_ref()?.member(name)?;
    Some(section.text.as_str()).filter(|text| !text.trim().is_empty())
}

/// The documentation of a module: the free-form comments of its file.
pub fn module(schema: &Schema, file: FileId) -> TokenStream {
    let mut text = Text::default();
    for doc in schema.free_form().iter().filter(|doc| doc.span.file == file) {
        text.sections(doc, Vec::new());
    }
    text.attribute(|| {
        let name = schema.sources().path(file).file_name().unwrap_or_default();
        format!("The definitions of `{}`.", name.to_string_lossy())
    })
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
    fn sections(&mut self, doc: &Doc, mut arguments: Vec<(&str, &str)>) {
        let arguments_at = doc.sections.iter().position(|section| !matches!(section.kind, SectionKind::Plain));
        for (index, section) in doc.sections.iter().enumerate() {
            if Some(index) == arguments_at {
                self.arguments(std::mem::take(&mut arguments));
            }
            let text = || markdown(&section.text);
            match &section.kind {
                SectionKind::Plain => self.paragraph(&text()),
                SectionKind::Member(_) | SectionKind::Todo => {}
                SectionKind::Feature(name) => self.item("# Features", name, &section.text),
                SectionKind::Returns => self.headed("# Returns", &text()),
                SectionKind::Errors => self.headed("# Errors", &text()),
                SectionKind::Since => self.paragraph(&format!("Since: {}", inline(section.text.trim()))),
            }
        }
        self.arguments(arguments);
    }

    fn arguments(&mut self, arguments: Vec<(&str, &str)>) {
        for (name, text) in arguments {
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

    /// The attribute, with another text if there is none.
    fn attribute(&self, otherwise: impl FnOnce() -> String) -> TokenStream {
        attribute(&if self.paragraphs.is_empty() { otherwise() } else { self.paragraphs.join("\n\n") })
    }
}

fn attribute(text: &str) -> TokenStream {
    // The space that stands after `///`.
    let lines = text.lines().map(|line| if line.is_empty() { String::new() } else { format!(" {line}") });
    quote!(#(#[doc = #lines])*)
}
