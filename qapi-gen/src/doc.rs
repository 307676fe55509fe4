//! Documentation comments: the block between two `##` lines becomes sections and examples.
//!
//! A block that starts with `@name:` documents the definition after it; any other block is free-form. Sections are
//! recognised as QEMU's QAPI reference describes them (docs/devel/qapi-code-gen, "Documentation comments").

mod comment;
mod example;

use std::collections::HashMap;

pub(crate) use comment::parse;
pub use example::Example;

use crate::source::Span;

/// A documentation comment.
#[derive(Clone, Debug)]
pub struct Doc {
    /// The `##` it starts with.
    pub span: Span,
    /// The definition it documents; `None` for a free-form comment.
    pub symbol: Option<String>,
    /// Its text.
    pub sections: Vec<Section>,
    /// Its `qmp-example` blocks.
    pub examples: Vec<Example>,
    /// The numbers of the sections about members, by the members' names.
    members: HashMap<String, usize>,
}

/// What stands before a definition.
#[derive(Clone, Debug, Default)]
pub(crate) enum Documentation {
    /// No comment.
    #[default]
    Missing,
    /// A comment that has been complained about.
    Broken,
    /// A comment.
    Comment(Box<Doc>),
}

impl Documentation {
    /// The comment.
    pub(crate) fn comment(&self) -> Option<&Doc> {
        if let Self::Comment(doc) = self { Some(doc) } else { None }
    }
}

impl Doc {
    /// What it says about a member.
    pub fn member(&self, name: &str) -> Option<&Section> {
        self.members.get(name).and_then(|&index| self.sections.get(index))
    }
}

/// A part of a documentation comment.
#[derive(Clone, Debug)]
pub struct Section {
    /// What it is about.
    pub kind: SectionKind,
    /// Its first line.
    pub span: Span,
    /// Its text in reStructuredText, without the tag and the indentation under it.
    pub text: String,
}

/// What a section is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// The definition as a whole.
    Plain,
    /// A member, argument, branch or enumeration value.
    Member(String),
    /// A feature.
    Feature(String),
    /// What a command returns.
    Returns,
    /// The errors of a command.
    Errors,
    /// The release that brought the definition.
    Since,
    /// A note to the authors.
    Todo,
}

impl SectionKind {
    /// How a section of this kind starts, if with a word that needs a text after it.
    fn tag(&self) -> Option<String> {
        let tag = match self {
            Self::Plain => return None,
            Self::Member(name) | Self::Feature(name) => return Some(format!("@{name}:")),
            Self::Returns => "Returns:",
            Self::Errors => "Errors:",
            Self::Since => "Since:",
            Self::Todo => "TODO:",
        };
        Some(tag.to_owned())
    }
}
