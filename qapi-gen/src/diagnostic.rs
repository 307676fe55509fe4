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
        Self { message: cut(message.into()), at: None, definition: None, notes: Vec::new(), help: None }
    }

    /// Says which definition it stands in, such as `struct 'Foo'`.
    #[must_use]
    pub fn in_definition(self, definition: impl Into<String>) -> Self {
        self.in_definition_if(Some(definition.into()))
    }

    /// Says which definition it stands in, if that is known.
    #[must_use]
    pub fn in_definition_if(self, definition: Option<String>) -> Self {
        Self { definition: definition.map(cut), ..self }
    }

    /// Points at another place that matters.
    #[must_use]
    pub fn note(mut self, at: Span, note: impl Into<String>) -> Self {
        self.notes.push((note.into(), at));
        self
    }

    /// Points at the first of two things that are in each other's way, unless its line is shown already.
    #[must_use]
    pub fn after(self, first: Span) -> Self {
        let shown = self.notes.last().map(|(_, at)| *at).or(self.at);
        let in_sight = shown.is_some_and(|at| (at.file, at.line) == (first.file, first.line));
        if in_sight { self } else { self.note(first, "this comes first") }
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
        let mut chain = self.at.into_iter().flat_map(|at| sources.include_chain(at.file));
        for included in chain.by_ref().take(MAX_CHAIN) {
            writeln!(f, "included from {}:{}", sources.path(included.file).display(), included.line)?;
        }
        match chain.count() {
            0 => Ok(()),
            more => writeln!(f, "included from {more} more files"),
        }
    }
}

/// As many files of an include chain are shown.
const MAX_CHAIN: usize = 20;

/// As many characters of a line are shown before and after the caret.
const CONTEXT: usize = 160;

/// What stands for the part of a line that is not shown.
const CUT: &str = "...";

/// As many characters of a message are kept: it may quote a name of any length.
const MAX_MESSAGE: usize = 500;

fn cut(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
        message.push_str(CUT);
    }
    message
}

fn write_place(f: &mut fmt::Formatter<'_>, sources: &Sources, at: Span, kind: &str, message: &str) -> fmt::Result {
    let (path, column) = (sources.path(at.file).display(), sources.column(at));
    writeln!(f, "{path}:{}:{column}: {kind}: {message}", at.line)?;
    let hidden = (column - 1).saturating_sub(CONTEXT);
    let before = column - 1 - hidden;
    let mut rest = sources.line(at).chars().skip(hidden);
    let line = rest.by_ref().take(before + CONTEXT);
    let shown: String = line.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let [left, right] = [hidden > 0, rest.next().is_some()].map(|cut| if cut { CUT } else { "" });
    writeln!(f, "{:>5} | {left}{}{right}", at.line, shown.trim_end())?;
    let after = shown.chars().count().saturating_sub(before);
    let marked = after.min(sources.width(at)).max(1);
    writeln!(f, "      | {}^{}", " ".repeat(left.len() + before), "~".repeat(marked - 1))
}

/// No more errors than this are shown.
const MAX_SHOWN: usize = 100;

/// The errors in the order in which they were found. Those that will not be shown are counted only.
#[derive(Debug, Default)]
pub struct Report {
    shown: Vec<Diagnostic>,
    count: usize,
}

impl Report {
    /// Adds an error.
    pub fn push(&mut self, error: Diagnostic) {
        self.push_with(|| error);
    }

    /// Adds an error that is dear to describe.
    pub fn push_with(&mut self, error: impl FnOnce() -> Diagnostic) {
        self.count += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(error());
        }
    }

    /// Adds the errors of another report.
    pub fn append(&mut self, other: Self) {
        let hidden = other.count - other.shown.len();
        other.shown.into_iter().for_each(|error| self.push(error));
        self.count += hidden;
    }

    /// Whether there is an error in the same line already.
    pub fn blames_line(&self, place: Span) -> bool {
        let mut places = self.shown.iter().filter_map(Diagnostic::at);
        places.any(|at| (at.file, at.line) == (place.file, place.line))
    }

    /// How many errors there are.
    pub const fn count(&self) -> usize {
        self.count
    }
}

impl From<Vec<Diagnostic>> for Report {
    fn from(errors: Vec<Diagnostic>) -> Self {
        let mut report = Self::default();
        errors.into_iter().for_each(|error| report.push(error));
        report
    }
}

/// Everything that is wrong with a schema, with the sources to show it.
#[derive(Debug)]
pub struct Errors {
    sources: Sources,
    report: Report,
}

impl Errors {
    /// The errors found in these sources.
    pub fn new(sources: Sources, errors: impl Into<Report>) -> Self {
        Self { sources, report: errors.into() }
    }

    /// The errors, the first one first, and no more than are shown.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.report.shown
    }

    /// The files that were read.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.shown.iter().try_for_each(|diagnostic| diagnostic.write(f, &self.sources))?;
        match self.report.count - self.report.shown.len() {
            0 => Ok(()),
            1 => writeln!(f, "1 more error"),
            more => writeln!(f, "{more} more errors"),
        }
    }
}

impl std::error::Error for Errors {}
