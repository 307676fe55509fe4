//! Documentation comments: the block between two `##` lines becomes sections and examples.
//!
//! A block that starts with `@name:` documents the definition after it; any other block is free-form. Sections are
//! recognised as QEMU's QAPI reference describes them (docs/devel/qapi-code-gen, "Documentation comments").

use std::collections::{HashMap, HashSet};

use crate::diagnostic::Diagnostic;
use crate::lexer::Lexer;
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

/// A `qmp-example` block: what goes over the wire when the command or event is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its `:title:`.
    pub title: Option<String>,
    /// The block without its indentation. Lines that are sent start with `-> `, lines that are received with `<- `.
    pub text: String,
    /// Where the text starts.
    pub span: Span,
}

#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    text: &'a str,
    span: Span,
}

/// Reads the rest of a documentation comment, whose first line has been read.
///
/// # Errors
/// The comment is malformed; it has been read to its end.
pub fn parse(first: &str, start: Span, lexer: &mut Lexer<'_>) -> Result<Doc, Diagnostic> {
    let lines = lines(lexer);
    if first != "##" {
        return Err(Diagnostic::new(start, "junk after '##' at start of documentation comment"));
    }
    let lines = lines?;
    let mut doc =
        Doc { span: start, symbol: None, sections: Vec::new(), examples: examples(&lines), members: HashMap::new() };
    match lines.split_first() {
        Some((first, body)) if first.text.starts_with('@') => {
            doc.symbol = Some(symbol(*first)?.to_owned());
            DefinitionDoc { doc: &mut doc, lines: body }.sections()?;
        }
        _ => free_form(&mut doc, &lines)?,
    }
    check_sections(&doc)?;
    let members = doc.sections.iter().enumerate().filter_map(|(index, section)| match &section.kind {
        SectionKind::Member(name) => Some((name.clone(), index)),
        SectionKind::Plain
        | SectionKind::Feature(_)
        | SectionKind::Returns
        | SectionKind::Errors
        | SectionKind::Since
        | SectionKind::Todo => None,
    });
    doc.members = members.collect();
    Ok(doc)
}

/// The lines up to the end of the comment.
fn lines<'a>(lexer: &mut Lexer<'a>) -> Result<Vec<Line<'a>>, Diagnostic> {
    let mut lines = Vec::new();
    let mut malformed = None;
    loop {
        let Some((text, span)) = lexer.doc_line() else {
            malformed.get_or_insert(Diagnostic::new(lexer.here(), "documentation comment must end with '##'"));
            break;
        };
        if let Some(junk) = text.strip_prefix("##") {
            if !junk.is_empty() {
                malformed.get_or_insert(Diagnostic::new(span, "junk after '##' at end of documentation comment"));
            }
            break;
        }
        match text.strip_prefix("# ") {
            Some(text) => lines.push(Line { text: text.trim_end(), span }),
            None if text == "#" => lines.push(Line { text: "", span }),
            None => {
                malformed.get_or_insert_with(|| Diagnostic::new(span, "missing space after '#'"));
            }
        }
    }
    malformed.map_or(Ok(lines), Err)
}

fn symbol(line: Line<'_>) -> Result<&str, Diagnostic> {
    let name = line.text.get(1..).unwrap_or_default();
    match name.strip_suffix(':') {
        Some("") => Err(Diagnostic::new(line.span, "name required after '@'")),
        Some(name) => Ok(name),
        None => Err(Diagnostic::new(line.span, "line should end with ':'")),
    }
}

fn free_form(doc: &mut Doc, lines: &[Line<'_>]) -> Result<(), Diagnostic> {
    let mut section = Section { kind: SectionKind::Plain, span: doc.span, text: String::new() };
    for (index, line) in lines.iter().enumerate() {
        if let Some((name, _)) = described(line.text) {
            let message = format!("'@{name}:' not allowed in free-form documentation");
            return Err(Diagnostic::new(line.span, message));
        }
        if line.text.starts_with('=') && index > 0 {
            return Err(Diagnostic::new(line.span, "'=' heading must come first in a comment block"));
        }
        section.append(line.text);
    }
    doc.sections.push(section);
    Ok(())
}

/// The name and the rest of a line `@name: rest`.
fn described(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix('@')?.split_once(':')?;
    Some((name, rest.trim_start_matches(' ')))
}

/// The tag and the rest of a line `Tag: rest`. Two colons are markup of reStructuredText, no tag.
fn tagged(line: &str) -> Option<(&str, &str)> {
    const TAGS: [&str; 8] = ["Returns", "Errors", "Since", "Notes", "Note", "Examples", "Example", "TODO"];
    let (tag, rest) = line.split_once(':').filter(|(tag, _)| TAGS.contains(tag))?;
    (!rest.starts_with(':')).then(|| (tag, rest.trim_start_matches(' ')))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The sections of a definition's documentation.
struct DefinitionDoc<'a, 'b> {
    doc: &'a mut Doc,
    lines: &'a [Line<'b>],
}

impl<'b> DefinitionDoc<'_, 'b> {
    fn sections(&mut self) -> Result<(), Diagnostic> {
        let mut members_may_follow = true;
        let mut features_seen = false;
        while let Some(line) = self.nonblank() {
            if line.text == "Features:" {
                if std::mem::replace(&mut features_seen, true) {
                    return Err(Diagnostic::new(line.span, "duplicated 'Features:' line"));
                }
                self.skip();
                let first = self.nonblank().unwrap_or(line);
                if self.descriptions(SectionKind::Feature)? == 0 {
                    return Err(Diagnostic::new(first.span, "feature descriptions expected"));
                }
                members_may_follow = false;
            } else if let Some((name, _)) = described(line.text) {
                if !members_may_follow {
                    let message = format!("description of '@{name}:' follows a section");
                    return Err(Diagnostic::new(line.span, message));
                }
                self.descriptions(SectionKind::Member)?;
                members_may_follow = false;
            } else if let Some((tag, rest)) = tagged(line.text) {
                let kind = tag_kind(tag, line)?;
                self.indented(kind, rest)?;
                members_may_follow = false;
            } else if line.text.starts_with('=') {
                return Err(Diagnostic::new(line.span, "unexpected '=' markup in definition documentation"));
            } else {
                self.paragraph(line.span);
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<Line<'b>> {
        self.lines.first().copied()
    }

    fn skip(&mut self) {
        self.lines = self.lines.get(1..).unwrap_or_default();
    }

    fn nonblank(&mut self) -> Option<Line<'b>> {
        while self.peek()?.text.is_empty() {
            self.skip();
        }
        self.peek()
    }

    /// One section for each `@name:` in a row.
    fn descriptions(&mut self, kind: fn(String) -> SectionKind) -> Result<usize, Diagnostic> {
        let mut count = 0;
        while let Some((name, rest)) = self.peek().and_then(|line| described(line.text)) {
            self.indented(kind(name.to_owned()), rest)?;
            count += 1;
        }
        Ok(count)
    }

    /// The section that starts with this line: the rest of the line and what is indented under it.
    fn indented(&mut self, kind: SectionKind, rest: &str) -> Result<(), Diagnostic> {
        let Some(first) = self.peek() else {
            return Ok(());
        };
        let mut section = Section { kind, span: first.span, text: String::new() };
        section.append(rest);
        self.skip();
        while let Some(line) = self.peek().filter(|line| line.text.is_empty()) {
            section.append(line.text);
            self.skip();
        }
        let indent = self.peek().map_or(0, |line| indentation(line.text));
        let mut after_blank = true;
        while let Some(line) = self.peek().filter(|line| indent > 0 && described(line.text).is_none()) {
            if !line.text.is_empty() && indentation(line.text) < indent {
                if after_blank {
                    break;
                }
                let message = format!("unexpected de-indent (expected at least {indent} spaces)");
                return Err(Diagnostic::new(line.span, message));
            }
            section.append(line.text.get(indent..).unwrap_or_default());
            after_blank = line.text.is_empty();
            self.skip();
        }
        self.doc.sections.push(section);
        Ok(())
    }

    /// Lines up to a blank one, added to the section before if that is a plain one, too.
    fn paragraph(&mut self, span: Span) {
        let plain = |section: &Section| section.kind == SectionKind::Plain;
        if !self.doc.sections.last().is_some_and(plain) {
            self.doc.sections.push(Section { kind: SectionKind::Plain, span, text: String::new() });
        }
        let Some(section) = self.doc.sections.last_mut() else {
            return;
        };
        if !section.text.is_empty() {
            section.append("");
        }
        let end = self.lines.iter().position(|line| line.text.is_empty()).unwrap_or(self.lines.len());
        let (paragraph, rest) = self.lines.split_at(end);
        paragraph.iter().for_each(|line| section.append(line.text));
        self.lines = rest;
    }
}

impl Section {
    fn append(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// How it is written, if with a word before a colon that needs a text after it.
    const fn tag(&self) -> Option<&'static str> {
        match self.kind {
            SectionKind::Plain | SectionKind::Member(_) | SectionKind::Feature(_) | SectionKind::Todo => None,
            SectionKind::Returns => Some("Returns"),
            SectionKind::Errors => Some("Errors"),
            SectionKind::Since => Some("Since"),
        }
    }
}

fn tag_kind(tag: &str, line: Line<'_>) -> Result<SectionKind, Diagnostic> {
    let replacement = match tag {
        "Returns" => return Ok(SectionKind::Returns),
        "Errors" => return Ok(SectionKind::Errors),
        "Since" => return Ok(SectionKind::Since),
        "TODO" => return Ok(SectionKind::Todo),
        "Note" | "Notes" => ".. note::",
        _ => ".. qmp-example::",
    };
    let error = Diagnostic::new(line.span, format!("the '{tag}' section is no longer supported"));
    Err(error.help(format!("use the directive '{replacement}'")))
}

/// The rules about the set of sections.
fn check_sections(doc: &Doc) -> Result<(), Diagnostic> {
    let mut names = HashSet::new();
    for section in &doc.sections {
        if let SectionKind::Member(name) | SectionKind::Feature(name) = &section.kind {
            if name.is_empty() {
                return Err(Diagnostic::new(section.span, "invalid parameter name"));
            }
            let feature = matches!(section.kind, SectionKind::Feature(_));
            if !names.insert((feature, name)) {
                return Err(Diagnostic::new(section.span, format!("'{name}' parameter name duplicated")));
            }
        }
    }
    for tag in ["Returns", "Errors", "Since"] {
        let mut sections = doc.sections.iter().filter(|section| section.tag() == Some(tag));
        if let Some(second) = sections.nth(1) {
            return Err(Diagnostic::new(second.span, format!("duplicated '{tag}' section")));
        }
    }
    for section in &doc.sections {
        if let Some(tag) = section.tag().filter(|_| section.text.trim().is_empty()) {
            return Err(Diagnostic::new(section.span, format!("text required after '{tag}:'")));
        }
    }
    Ok(())
}

/// The `qmp-example` blocks among the lines.
fn examples(lines: &[Line<'_>]) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        rest = after;
        if line.text.trim_start() != ".. qmp-example::" {
            continue;
        }
        let indent = indentation(line.text);
        let inside = |line: &Line<'_>| line.text.is_empty() || indentation(line.text) > indent;
        let (block, after) = after.split_at(after.iter().position(|line| !inside(line)).unwrap_or(after.len()));
        rest = after;
        examples.extend(example(block));
    }
    examples
}

fn example(block: &[Line<'_>]) -> Option<Example> {
    let is_option = |line: &Line<'_>| line.text.trim_start().starts_with(':');
    let (options, text) = block.split_at(block.iter().position(|line| !is_option(line)).unwrap_or(block.len()));
    let title = options.iter().find_map(|line| line.text.trim_start().strip_prefix(":title:"));
    let start = text.iter().position(|line| !line.text.is_empty())?;
    let text = text.get(start..).unwrap_or_default();
    let filled = text.iter().filter(|line| !line.text.is_empty());
    let indent = filled.map(|line| indentation(line.text)).min().unwrap_or(0);
    let mut joined = String::new();
    for line in text {
        joined.push_str(line.text.get(indent..).unwrap_or_default());
        joined.push('\n');
    }
    joined.truncate(joined.trim_end().len() + 1);
    Some(Example { title: title.map(|title| title.trim().to_owned()), text: joined, span: text.first()?.span })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::Token;
    use crate::source::Sources;

    fn doc(text: &str) -> Doc {
        let file = Sources::default().add("a.json".into(), text, None);
        let mut lexer = Lexer::new(file, text);
        let Ok((Token::Doc(first), start)) = lexer.token() else { panic!("no comment") };
        parse(first, start, &mut lexer).expect("valid")
    }

    #[test]
    fn sections_end_where_the_next_one_starts() {
        let text = "\
##
# @go:
#
# Goes.
#
# Really.
#
# @a: one
#     two
#
#     three
# @b:
#     four
#
# Since: 1
#
# More.
##
";
        let sections: Vec<_> =
            doc(text).sections.into_iter().map(|section| (section.kind, section.span.line, section.text)).collect();
        let member = |name: &str| SectionKind::Member(name.into());
        let expected = [
            (SectionKind::Plain, 4, "Goes.\n\nReally.\n"),
            (member("a"), 8, "one\ntwo\n\nthree\n"),
            (member("b"), 12, "\nfour\n\n"),
            (SectionKind::Since, 15, "1\n\n"),
            (SectionKind::Plain, 17, "More.\n"),
        ];
        assert_eq!(sections, expected.map(|(kind, line, text)| (kind, line, text.to_owned())));
    }

    #[test]
    fn examples_know_their_text_and_line() {
        let text = "\
##
# @go:
#
# .. qmp-example::
#    :title: Going
#    :annotated:
#
#    First::
#
#      -> { }
#
# Since: 1
#
# .. qmp-example::
#
#     -> { \"a\":
#          1 }
#     <- { }
##
";
        let examples = doc(text).examples;
        let found: Vec<_> = examples
            .iter()
            .map(|example| (example.title.as_deref(), example.span.line, example.text.as_str()))
            .collect();
        let second = "-> { \"a\":\n     1 }\n<- { }\n";
        assert_eq!(found, [(Some("Going"), 8, "First::\n\n  -> { }\n"), (None, 16, second)]);
    }
}
