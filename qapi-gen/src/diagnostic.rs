//! Errors as a compiler prints them: place, message, source line with a caret, definition, include chain, help.

use std::fmt;

use crate::source::{Sources, Span};

/// One thing that is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    message: String,
    at: Option<Span>,
    definition: Option<String>,
    notes: Vec<(String, Span)>,
    help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn new(at: Span, message: impl Into<String>) -> Self {
        Self { at: Some(at), ..Self::global(message) }
    }

    /// An error in what starts at `at`, which is to blame, and more exactly at `place` in it.
    pub fn within(at: Span, place: Span, message: impl Into<String>) -> Self {
        if place.line == at.line && place.file == at.file {
            Self::new(place, message)
        } else {
            Self::new(at, message).note(place, "it is here")
        }
    }

    /// An error that no line of the schema is to blame for.
    pub fn global(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None, definition: None, notes: Vec::new(), help: None }
    }

    /// Says which definition it stands in, such as `struct 'Foo'`.
    #[must_use]
    pub fn in_definition(self, definition: impl Into<String>) -> Self {
        Self { definition: Some(definition.into()), ..self }
    }

    /// Points at another place that matters.
    #[must_use]
    pub fn note(mut self, at: Span, note: impl Into<String>) -> Self {
        self.notes.push((note.into(), at));
        self
    }

    /// Says how it can be mended.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Says how it can be mended, if that is known.
    #[must_use]
    pub fn suggest(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place to blame.
    pub const fn at(&self) -> Option<Span> {
        self.at
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, sources: &Sources) -> fmt::Result {
        match self.at {
            Some(at) => write_place(f, sources, at, "error", &self.message)?,
            None => writeln!(f, "error: {}", self.message)?,
        }
        if let Some(definition) = &self.definition {
            writeln!(f, "in definition of {definition}")?;
        }
        for (note, at) in &self.notes {
            write_place(f, sources, *at, "note", note)?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "help: {help}")?;
        }
        let chain = self.at.into_iter().flat_map(|at| sources.include_chain(at.file));
        for included in chain {
            writeln!(f, "included from {}:{}", sources.path(included.file).display(), included.line)?;
        }
        Ok(())
    }
}

/// As many characters of a line are shown before and after the caret.
const CONTEXT: usize = 160;

fn write_place(f: &mut fmt::Formatter<'_>, sources: &Sources, at: Span, kind: &str, message: &str) -> fmt::Result {
    let (path, column) = (sources.path(at.file).display(), sources.column(at));
    writeln!(f, "{path}:{}:{column}: {kind}: {message}", at.line)?;
    let hidden = (column - 1).saturating_sub(CONTEXT);
    let before = column - 1 - hidden;
    let line = sources.line(at).chars().skip(hidden).take(before + CONTEXT);
    let shown: String = line.map(|c| if c.is_control() { ' ' } else { c }).collect();
    writeln!(f, "{:>5} | {}", at.line, shown.trim_end())?;
    let after = shown.chars().count().saturating_sub(before);
    let marked = after.min((at.end - at.start) as usize).max(1);
    writeln!(f, "      | {}^{}", " ".repeat(before), "~".repeat(marked - 1))
}

/// Everything that is wrong with a schema, with the sources to show it.
#[derive(Debug)]
pub struct Errors {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

/// No more errors than this are shown.
pub const MAX_SHOWN: usize = 100;

impl Errors {
    /// The errors found in these sources.
    pub const fn new(sources: Sources, diagnostics: Vec<Diagnostic>) -> Self {
        Self { sources, diagnostics }
    }

    /// The errors, the first one first.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The files that were read.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostics.iter().take(MAX_SHOWN).try_for_each(|diagnostic| diagnostic.write(f, &self.sources))?;
        match self.diagnostics.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "{more} more errors"),
        }
    }
}

impl std::error::Error for Errors {}
