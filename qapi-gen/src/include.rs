//! The whole schema from its first file: follows `include`, takes `pragma` over, pairs documentation and definition.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::diagnostic::{Diagnostic, MAX_SHOWN};
use crate::doc::Doc;
use crate::parser::{Expression, Item, Parser};
use crate::pragma::Pragmas;
use crate::source::{FileId, Sources, Span, Unreadable};

/// All definitions of a schema, not checked yet.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The files.
    pub sources: Sources,
    /// The definitions in the order in which QEMU's compiler sees them, with their documentation.
    pub definitions: Vec<(Expression, Option<Doc>)>,
    /// The free-form documentation comments.
    pub free_form: Vec<Doc>,
    /// The pragmas.
    pub pragmas: Pragmas,
    /// What is wrong so far.
    pub errors: Vec<Diagnostic>,
}

/// Files may be included this deep.
const MAX_DEPTH: usize = 64;

/// Reads the schema that starts with this file.
pub fn read(path: &Path) -> Parsed {
    let mut reader = Reader::default();
    match reader.parsed.sources.read(path, None) {
        Ok(file) => reader.file(file, path),
        Err(error) => {
            let error = unreadable(error, path, None);
            reader.parsed.errors.push(error);
        }
    }
    reader.parsed
}

#[derive(Default)]
struct Reader {
    parsed: Parsed,
    included: HashSet<PathBuf>,
    /// The files that are being read, from the first one to the present one.
    open: Vec<PathBuf>,
}

impl Reader {
    fn file(&mut self, file: FileId, path: &Path) {
        self.included.insert(normalised(path));
        self.open.push(normalised(path));
        let text = self.parsed.sources.text(file);
        let mut parser = Parser::new(file, &text);
        let mut doc: Option<Doc> = None;
        while self.parsed.errors.len() < MAX_SHOWN {
            match parser.item() {
                Ok(None) => break,
                Ok(Some(Item::Doc(next))) => self.keep_free(doc.replace(next)),
                Ok(Some(Item::Expression(expression))) => {
                    let result = self.expression(expression, doc.take(), path);
                    self.parsed.errors.extend(result.err());
                }
                Err(error) => {
                    doc = None;
                    self.parsed.errors.push(error);
                }
            }
        }
        self.keep_free(doc);
        self.open.pop();
    }

    /// A comment that no definition follows must be free-form.
    fn keep_free(&mut self, doc: Option<Doc>) {
        let Some(doc) = doc else {
            return;
        };
        if let Some(symbol) = &doc.symbol {
            let message = format!("documentation for '{symbol}' is not followed by the definition");
            self.parsed.errors.push(Diagnostic::new(doc.span, message));
        } else {
            self.parsed.free_form.push(doc);
        }
    }

    fn expression(&mut self, expression: Expression, doc: Option<Doc>, path: &Path) -> Result<(), Diagnostic> {
        let (object, at) = (&expression.object, expression.span);
        let alone = object.members.len() == 1;
        if let Some(include) = object.find("include") {
            self.keep_free(doc);
            if !alone {
                return Err(Diagnostic::new(at, "invalid 'include' directive"));
            }
            let Some(name) = include.as_str() else {
                return Err(Diagnostic::within(at, include.span, "value of 'include' must be a string"));
            };
            return self.include(name, path, at, include.span);
        }
        if let Some(pragma) = object.find("pragma") {
            self.keep_free(doc);
            if !alone {
                return Err(Diagnostic::new(at, "invalid 'pragma' directive"));
            }
            let Some(directive) = pragma.as_object() else {
                return Err(Diagnostic::within(at, pragma.span, "value of 'pragma' must be an object"));
            };
            return self.parsed.pragmas.set(directive, at);
        }
        if let Some(doc) = doc.as_ref().filter(|doc| doc.symbol.is_none()) {
            return Err(Diagnostic::new(doc.span, "definition documentation required"));
        }
        self.parsed.definitions.push((expression, doc));
        Ok(())
    }

    fn include(&mut self, name: &str, from: &Path, at: Span, place: Span) -> Result<(), Diagnostic> {
        let path = from.parent().unwrap_or(Path::new("")).join(name);
        let normalised = normalised(&path);
        if self.open.contains(&normalised) {
            return Err(Diagnostic::within(at, place, format!("inclusion loop for {name}")));
        }
        if self.included.contains(&normalised) {
            return Ok(());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Diagnostic::within(at, place, format!("files included more than {MAX_DEPTH} levels deep")));
        }
        match self.parsed.sources.read(&path, Some(at)) {
            Ok(file) => {
                self.file(file, &path);
                Ok(())
            }
            Err(error) => Err(unreadable(error, &path, Some((at, place)))),
        }
    }
}

fn unreadable(error: Unreadable, path: &Path, at: Option<(Span, Span)>) -> Diagnostic {
    let why = match error {
        Unreadable::Io(error) => error.to_string(),
        Unreadable::TooLong => "too long for a schema".to_owned(),
        Unreadable::NotUtf8(span) => return Diagnostic::new(span, "not UTF-8 from here on"),
    };
    let path = path.display();
    match at {
        Some((at, place)) => Diagnostic::within(at, place, format!("can't read include file '{path}': {why}")),
        None => Diagnostic::global(format!("can't read schema file '{path}': {why}")),
    }
}

/// The path made absolute, without `.` and `..`; symbolic links are not looked at.
fn normalised(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut normalised = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normalised.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normalised.push(component),
        }
    }
    normalised
}
