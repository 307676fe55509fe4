//! Documentation: everything that must be described is, and nothing else.

use std::collections::BTreeSet;

use qapi_gen::doc::SectionKind;

use super::{DOCUMENTATION, Maker};
use crate::language::Doc;

/// What the documentation of a definition should describe.
#[derive(Default)]
pub struct Documented {
    pub members: Vec<String>,
    pub features: BTreeSet<String>,
    pub command: bool,
    pub returns: bool,
}

const PARAGRAPHS: [&str; 6] = [
    "What it is for.",
    "Several words,\non two lines.",
    "A @reference and 'quotes' # and {signs}.",
    "One paragraph.\n\nAnother one::\n\n    with = code\n\nand the end.",
    ".. note:: Mind the gap.",
    "Example of a word: that is no tag.",
];

impl Maker<'_> {
    /// The documentation of a definition, if it has any.
    pub fn doc(&mut self, name: &str, documented: Documented) -> Option<Doc> {
        if !self.doc_required && !self.once_in(2) {
            return None;
        }
        let mut sections = Vec::new();
        if self.once_in(2) {
            sections.push((SectionKind::Plain, self.paragraph()));
        }
        for member in documented.members {
            if self.once_in(16) {
                self.excuse(DOCUMENTATION, name);
            } else {
                sections.push((SectionKind::Member(member), self.description()));
            }
        }
        for feature in documented.features {
            sections.push((SectionKind::Feature(feature), self.description()));
        }
        if documented.command && documented.returns && self.once_in(2) {
            sections.push((SectionKind::Returns, self.paragraph()));
        }
        if documented.command && self.once_in(3) {
            sections.push((SectionKind::Errors, "- If there is none,\n  DeviceNotFound".to_owned()));
        }
        for kind in [SectionKind::Since, SectionKind::Todo] {
            if self.once_in(3) {
                let text = if kind == SectionKind::Since { "1.0".to_owned() } else { self.paragraph() };
                sections.push((kind, text));
            }
        }
        let after_section = sections.last().is_some_and(|(kind, _)| *kind != SectionKind::Plain);
        if after_section && self.once_in(3) {
            sections.push((SectionKind::Plain, self.paragraph()));
        }
        Some(Doc { symbol: name.to_owned(), sections })
    }

    fn paragraph(&mut self) -> String {
        self.choices.pick(&PARAGRAPHS).to_owned()
    }

    fn description(&mut self) -> String {
        self.paragraph()
    }
}
