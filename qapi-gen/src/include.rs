//! The whole schema from its first file: follows `include`, takes `pragma` over, pairs documentation and definition.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::diagnostic::{Diagnostic, Report};
use crate::doc::{Doc, Documentation};
use crate::parser::{Expression, Item, Parser};
use crate::pragma::Pragmas;
use crate::source::{FileId, MAX_LENGTH, Sources, Span, Unreadable};

/// All definitions of a schema, not checked yet.
#[derive(Debug)]
pub struct Parsed {
    /// The files.
    pub sources: Sources,
    /// The definitions in the order in which QEMU's compiler sees them, with their documentation.
    pub definitions: Vec<(Expression, Documentation)>,
    /// The free-form documentation comments.
    pub free_form: Vec<Doc>,
    /// The pragmas.
    pub pragmas: Pragmas,
    /// Whether no type was lost to errors.
    pub complete: bool,
    /// What is wrong so far.
    pub errors: Report,
}

/// More files than any schema has. Symbolic links can make one file many.
const MAX_FILES: usize = 1 << 14;

/// Reads the schema that starts with this file.
pub fn read(path: &Path) -> Parsed {
    let parsed = Parsed {
        sources: Sources::default(),
        definitions: Vec::new(),
        free_form: Vec::new(),
        pragmas: Pragmas::default(),
        complete: true,
        errors: Report::default(),
    };
    let mut reader = Reader { parsed, included: HashSet::new(), open: Vec::new(), opened: HashSet::new() };
    match reader.parsed.sources.read(path, None) {
        Ok(file) => reader.open(file, path.to_owned(), normalised(path)),
        Err(error) => reader.parsed.errors.push(unreadable(error, path, None)),
    }
    while let Some(open) = reader.open.pop() {
        reader.go_on(open);
    }
    reader.parsed
}

struct Reader {
    parsed: Parsed,
    included: HashSet<PathBuf>,
    /// The files that are being read, from the first one to the present one. They are no frames of the program's own
    /// stack, which a long chain of files would exhaust.
    open: Vec<Open>,
    /// Their normalised paths.
    opened: HashSet<PathBuf>,
}

/// A file that has been read up to a place.
struct Open {
    path: PathBuf,
    normalised: PathBuf,
    at: Span,
}

impl Reader {
    fn open(&mut self, file: FileId, path: PathBuf, normalised: PathBuf) {
        self.included.insert(normalised.clone());
        self.opened.insert(normalised.clone());
        self.open.push(Open { path, normalised, at: Span { file, line: 1, start: 0, end: 0 } });
    }

    /// Reads on in a file, up to the next file that it includes or to its end.
    fn go_on(&mut self, open: Open) {
        let text = self.parsed.sources.text(open.at.file);
        let mut parser = Parser::new(&text, open.at, &mut self.parsed.errors);
        let mut doc = Documentation::Missing;
        loop {
            if parser.at_comment() {
                self.keep_free(std::mem::take(&mut doc));
            }
            match parser.item(&mut self.parsed.errors) {
                Item::Doc(next) => {
                    doc = next.map_or(Documentation::Broken, |next| Documentation::Comment(Box::new(next)))
                }
                Item::Expression(expression) => match self.expression(expression, std::mem::take(&mut doc), &open.path)
                {
                    Ok(None) => {}
                    Ok(Some((file, path, normalised))) => {
                        self.open.push(Open { at: parser.here(), ..open });
                        return self.open(file, path, normalised);
                    }
                    Err(error) => {
                        self.parsed.errors.push(error);
                        self.lose("include");
                    }
                },
                Item::Broken(text) => {
                    self.lose(text);
                    doc = Documentation::Missing;
                }
                Item::End => break,
            }
        }
        self.keep_free(doc);
        self.opened.remove(&open.normalised);
    }

    /// Takes note of what a stretch of text that could not be read may have said.
    fn lose(&mut self, text: &str) {
        if text.contains("pragma") || text.contains("include") {
            self.parsed.pragmas.set_incomplete();
        }
        let types = ["enum", "struct", "union", "alternate", "include"];
        self.parsed.complete &= !types.iter().any(|keyword| text.contains(keyword));
    }

    /// A comment that no definition follows must be free-form.
    fn keep_free(&mut self, doc: Documentation) {
        let Documentation::Comment(doc) = doc else {
            return;
        };
        if let Some(symbol) = &doc.symbol {
            let message = format!("documentation for '{symbol}' is not followed by the definition");
            self.parsed.errors.push(Diagnostic::new(doc.span, message));
        } else {
            self.parsed.free_form.push(*doc);
        }
    }

    /// Takes a definition or a pragma over. If it is an include, returns the file that is to be read next.
    fn expression(
        &mut self,
        expression: Expression,
        mut doc: Documentation,
        path: &Path,
    ) -> Result<Option<Next>, Diagnostic> {
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
            let Parsed { pragmas, errors, .. } = &mut self.parsed;
            pragmas.set(directive, at, errors);
            return Ok(None);
        }
        if let Some(Doc { symbol: None, span, .. }) = doc.comment() {
            self.parsed.errors.push(Diagnostic::new(*span, "definition documentation required"));
            doc = Documentation::Broken;
        }
        self.parsed.definitions.push((expression, doc));
        Ok(None)
    }

    fn include(&mut self, name: &str, from: &Path, at: Span, place: Span) -> Result<Option<Next>, Diagnostic> {
        let path = from.parent().unwrap_or(Path::new("")).join(name);
        let normalised = normalised(&path);
        if self.opened.contains(&normalised) {
            return Err(Diagnostic::within(at, place, format!("inclusion loop for {name}")));
        }
        if self.included.contains(&normalised) {
            return Ok(None);
        }
        if self.included.len() >= MAX_FILES {
            return Err(Diagnostic::within(at, place, format!("more than {MAX_FILES} files")));
        }
        match self.parsed.sources.read(&path, Some(at)) {
            Ok(file) => Ok(Some((file, path, normalised))),
            Err(error) => Err(unreadable(error, &path, Some((at, place)))),
        }
    }
}

/// A file that is to be read, its path and its normalised path.
type Next = (FileId, PathBuf, PathBuf);

fn unreadable(error: Unreadable, path: &Path, at: Option<(Span, Span)>) -> Diagnostic {
    let why = match error {
        Unreadable::Io(error) => error.to_string(),
        Unreadable::TooLong => format!("longer than {} MiB", MAX_LENGTH >> 20),
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
