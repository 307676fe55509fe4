//! Documentation against definition: every member and feature is documented, and nothing else.

use std::collections::HashSet;

use super::Checker;
use crate::diagnostic::Diagnostic;
use crate::doc::{Doc, SectionKind};
use crate::schema::{Definition, DefinitionKind};
use crate::source::Span;
use crate::suggest;

impl Checker<'_, '_> {
    /// Refuses members and features without documentation, where there is any.
    pub(super) fn undocumented_members(&mut self, definition: &Definition) {
        let Some(doc) = &definition.doc else {
            return;
        };
        let (members, features) = documented(doc);
        if !self.pragmas.excepts_documentation(&definition.name) {
            for (name, place) in documentable(definition).into_iter().filter(|(name, _)| !members.contains(name)) {
                self.error(definition, place, format!("member '{name}' lacks documentation"));
            }
        }
        for feature in definition.all_features().filter(|feature| !features.contains(feature.name.as_str())) {
            self.error(definition, feature.span, format!("feature '{}' lacks documentation", feature.name));
        }
    }

    /// Refuses documentation of what does not exist.
    pub(super) fn superfluous_documentation(&mut self, definition: &Definition) {
        if self.is_broken(definition) {
            return;
        }
        let members: HashSet<_> = documentable(definition).into_iter().map(|(name, _)| name).collect();
        let features: HashSet<_> = definition.all_features().map(|feature| feature.name.as_str()).collect();
        for section in definition.doc.iter().flat_map(|doc| &doc.sections) {
            let (what, name) = match &section.kind {
                SectionKind::Member(name) if !members.contains(name.as_str()) => ("member", name),
                SectionKind::Feature(name) if !features.contains(name.as_str()) => ("feature", name),
                SectionKind::Plain
                | SectionKind::Member(_)
                | SectionKind::Feature(_)
                | SectionKind::Returns
                | SectionKind::Errors
                | SectionKind::Since
                | SectionKind::Todo => continue,
            };
            let names = if what == "member" { &members } else { &features };
            let error = Diagnostic::new(section.span, format!("documented {what} '{name}' does not exist"));
            let error = error.in_definition(definition.to_string());
            self.errors.push_with(|| error.suggest(suggest::nearest(name, names.iter().copied())));
        }
    }
}

/// The names of what the documentation describes: members, and features.
fn documented(doc: &Doc) -> (HashSet<&str>, HashSet<&str>) {
    let mut names = (HashSet::new(), HashSet::new());
    for section in &doc.sections {
        match &section.kind {
            SectionKind::Member(name) => names.0.insert(name.as_str()),
            SectionKind::Feature(name) => names.1.insert(name.as_str()),
            SectionKind::Plain
            | SectionKind::Returns
            | SectionKind::Errors
            | SectionKind::Since
            | SectionKind::Todo => false,
        };
    }
    names
}

/// The names and places of what the documentation should describe as members.
fn documentable(definition: &Definition) -> Vec<(&str, Span)> {
    let values = definition.values().iter().map(|value| (value.name.as_str(), value.span));
    let members = definition.own_members().iter().map(|member| (member.name.as_str(), member.span));
    let branches = match &definition.kind {
        DefinitionKind::Alternate(alternate) => alternate.branches.as_slice(),
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Command(_)
        | DefinitionKind::Event(_) => &[],
    };
    let branches = branches.iter().map(|branch| (branch.name.as_str(), branch.span));
    values.chain(members).chain(branches).collect()
}
