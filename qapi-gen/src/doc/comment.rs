//! The lines of a documentation comment to its sections. Everything that is wrong is found, in the order of the lines.

use std::collections::HashMap;

use super::{Doc, Section, SectionKind, example};
use crate::diagnostic::{Diagnostic, Report};
use crate::lexer::{Lexer, is_blank};
use crate::source::Span;

/// A line between the two `##`, without its `# `.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// The whole line.
    pub(super) span: Span,
}

/// A comment, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Comment {
    /// What it says, as far as it is understood.
    pub(crate) doc: Doc,
    /// The errors in its lines.
    pub(crate) errors: Report,
    /// The errors of the comment as a whole, which QEMU's compiler finds after it has looked at what follows.
    pub(crate) late: Report,
}

/// Reads the rest of a documentation comment, whose first line has been read.
pub(crate) fn parse(first: &str, start: Span, lexer: &mut Lexer<'_>) -> Comment {
    let block = Block::read(lexer);
    let examples = example::examples(&block.lines);
    let doc = Doc { span: start, symbol: None, sections: Vec::new(), examples, members: Default::default() };
    let mut comment = Comment { doc, errors: Report::default(), late: Report::default() };
    if first != "##" {
        comment.errors.push(Diagnostic::new(start, "junk after '##' at start of documentation comment"));
        return comment;
    }
    let Block { lines, end, malformed } = block;
    let mut reader = Reader { comment, lines: &lines, end, malformed, described: HashMap::new(), tags: HashMap::new() };
    reader.all();
    let mut comment = reader.comment;
    let Comment { doc: Doc { sections, members, .. }, errors, late } = &mut comment;
    for (index, section) in sections.iter().enumerate() {
        if let SectionKind::Member(name) = &section.kind {
            members.insert(name.clone(), index);
        }
        if let Some(tag) =
            section.kind.tag().filter(|_| section.text.trim().is_empty() && !errors.blames_line(section.span))
        {
            late.push(Diagnostic::new(section.span, format!("text required after '{tag}'")));
        }
    }
    comment
}

/// The lines of a comment.
struct Block<'a> {
    lines: Vec<Line<'a>>,
    /// The `##` at the end, or what stands in its place.
    end: Span,
    /// What is wrong with single lines, in their order.
    malformed: Vec<Diagnostic>,
}

impl<'a> Block<'a> {
    fn read(lexer: &mut Lexer<'a>) -> Self {
        let mut block = Self { lines: Vec::new(), end: lexer.here(), malformed: Vec::new() };
        let mut spaced = true;
        while let Some((text, span)) = lexer.doc_line() {
            block.end = span;
            if let Some(junk) = text.strip_prefix("##") {
                if !junk.is_empty() {
                    let message = "junk after '##' at end of documentation comment";
                    block.malformed.push(Diagnostic::new(span, message));
                }
                return block;
            }
            let text = text.strip_prefix('#').unwrap_or_default();
            if !text.is_empty() && !text.starts_with(' ') && std::mem::replace(&mut spaced, false) {
                block.malformed.push(Diagnostic::new(span, "missing space after '#'"));
            }
            let text = text.strip_prefix(' ').unwrap_or(text).trim_end_matches(is_blank);
            block.lines.push(Line { text, span });
        }
        block.end = lexer.here();
        block.malformed.push(Diagnostic::new(block.end, "documentation comment must end with '##'"));
        // Otherwise what stands here may be wrong a second time.
        lexer.resynchronise(block.end);
        block
    }
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

/// How many characters a line is indented.
pub(super) fn indentation(line: &str) -> usize {
    line.chars().take_while(|&c| is_blank(c)).count()
}

/// The line without so many characters of its indentation.
pub(super) fn without(indent: usize, line: &str) -> &str {
    line.char_indices().nth(indent).and_then(|(at, _)| line.get(at..)).unwrap_or_default()
}

/// Makes sections of lines.
struct Reader<'a, 'b> {
    comment: Comment,
    /// The lines that have not been read.
    lines: &'a [Line<'b>],
    end: Span,
    /// The errors of [`Block`] from the present line on.
    malformed: Vec<Diagnostic>,
    /// The members and the features that have been described, and where.
    described: HashMap<(bool, &'b str), Span>,
    /// The tags of the sections that may stand there once.
    tags: HashMap<&'b str, Span>,
}

impl<'b> Reader<'_, 'b> {
    fn all(&mut self) {
        match self.lines.first() {
            Some(first) if first.text.starts_with('@') => {
                self.skip();
                self.symbol(*first);
                self.sections();
            }
            _ => self.free_form(),
        }
        self.malformed_before(u32::MAX);
    }

    fn error(&mut self, line: Line<'_>, message: impl Into<String>) {
        self.report(Diagnostic::new(line.span, message));
    }

    /// Adds an error. Of several in one line the first one is enough.
    fn report(&mut self, error: Diagnostic) {
        let Some(at) = error.at() else {
            return;
        };
        self.malformed_before(at.line + 1);
        if !self.comment.errors.blames_line(at) {
            self.comment.errors.push(error);
        }
    }

    fn malformed_before(&mut self, line: u32) {
        let before = |error: &mut Diagnostic| error.at().is_some_and(|at| at.line < line);
        self.malformed.extract_if(.., before).for_each(|error| self.comment.errors.push(error));
    }

    fn symbol(&mut self, line: Line<'_>) {
        match line.text.get(1..).unwrap_or_default().strip_suffix(':') {
            Some("") => self.error(line, "name required after '@'"),
            Some(name) => self.comment.doc.symbol = Some(name.to_owned()),
            None => self.error(line, "line should end with ':'"),
        }
    }

    fn free_form(&mut self) {
        let mut section = Section { kind: SectionKind::Plain, span: self.comment.doc.span, text: String::new() };
        for (index, line) in self.lines.iter().enumerate() {
            if let Some((name, _)) = described(line.text) {
                self.error(*line, format!("'@{name}:' not allowed in free-form documentation"));
            }
            if line.text.starts_with('=') && index > 0 {
                self.error(*line, "'=' heading must come first in a comment block");
            }
            section.append(line.text);
        }
        self.comment.doc.sections.push(section);
    }

    /// The sections of a definition's documentation.
    fn sections(&mut self) {
        let mut members_may_follow = true;
        let mut features_seen = false;
        while let Some(line) = self.nonblank() {
            if line.text == "Features:" {
                if std::mem::replace(&mut features_seen, true) {
                    self.error(line, "duplicated 'Features:' line");
                }
                self.skip();
                let first = self.nonblank().map_or(self.end, |line| line.span);
                if !self.descriptions(SectionKind::Feature) {
                    self.report(Diagnostic::new(first, "feature descriptions expected"));
                }
                members_may_follow = false;
            } else if let Some((name, _)) = described(line.text) {
                if !members_may_follow {
                    self.error(line, format!("description of '@{name}:' follows a section"));
                }
                self.descriptions(SectionKind::Member);
                members_may_follow = false;
            } else if let Some((tag, rest)) = tagged(line.text) {
                let kind = self.tag_kind(tag, line);
                self.indented(kind, rest);
                members_may_follow = false;
            } else {
                if line.text.starts_with('=') {
                    self.error(line, "unexpected '=' markup in definition documentation");
                }
                self.paragraph(line.span);
            }
        }
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

    /// One section for each `@name:` in a row. Returns whether there is any.
    fn descriptions(&mut self, kind: fn(String) -> SectionKind) -> bool {
        let mut any = false;
        while let Some((line, (name, rest))) = self.peek().and_then(|line| Some((line, described(line.text)?))) {
            let kind = kind(name.to_owned());
            if name.is_empty() {
                self.error(line, "invalid parameter name");
            } else if let Some(first) =
                self.described.insert((matches!(kind, SectionKind::Feature(_)), name), line.span)
            {
                let error = Diagnostic::new(line.span, format!("'{name}' parameter name duplicated"));
                self.report(error.after(first));
            }
            self.indented(kind, rest);
            any = true;
        }
        any
    }

    fn tag_kind(&mut self, tag: &'b str, line: Line<'_>) -> SectionKind {
        let kind = match tag {
            "Returns" => SectionKind::Returns,
            "Errors" => SectionKind::Errors,
            "Since" => SectionKind::Since,
            "TODO" => return SectionKind::Todo,
            _ => {
                let directive = if tag.starts_with("Note") { ".. note::" } else { ".. qmp-example::" };
                let error = Diagnostic::new(line.span, format!("the '{tag}' section is no longer supported"));
                self.report(error.help(format!("use the directive '{directive}'")));
                return SectionKind::Plain;
            }
        };
        if let Some(first) = self.tags.insert(tag, line.span) {
            self.report(Diagnostic::new(line.span, format!("duplicated '{tag}' section")).after(first));
        }
        kind
    }

    /// The section that starts with this line: the rest of the line and what is indented under it.
    fn indented(&mut self, kind: SectionKind, rest: &str) {
        let Some(first) = self.peek() else {
            return;
        };
        let mut section = Section { kind, span: first.span, text: String::new() };
        section.append(rest);
        self.skip();
        while let Some(line) = self.peek().filter(|line| line.text.is_empty()) {
            section.append(line.text);
            self.skip();
        }
        let indent = self.peek().map_or(0, |line| indentation(line.text));
        let mut lines = 0;
        while let Some(line) = self.peek().filter(|line| indent > 0 && described(line.text).is_none()) {
            if !line.text.is_empty() && indentation(line.text) < indent {
                // From the third line on QEMU's compiler takes this for the end of the section, as after a blank line.
                if lines == 1 {
                    let message = format!("unexpected de-indent (expected at least {indent} spaces)");
                    self.error(line, message);
                }
                break;
            }
            section.append(without(indent, line.text));
            lines += 1;
            self.skip();
        }
        self.comment.doc.sections.push(section);
    }

    /// Lines up to a blank one, added to the section before if that is a plain one, too.
    fn paragraph(&mut self, span: Span) {
        let sections = &mut self.comment.doc.sections;
        if !sections.last().is_some_and(|section| section.kind == SectionKind::Plain) {
            sections.push(Section { kind: SectionKind::Plain, span, text: String::new() });
        }
        let Some(section) = sections.last_mut() else {
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
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::lexer::Token;
    use crate::source::Sources;

    pub(in crate::doc) fn doc(text: &str) -> Doc {
        let file = Sources::default().add("a.json".into(), text, None);
        let mut lexer = Lexer::new(text, Span { file, line: 1, start: 0, end: 0 });
        let Ok((Token::Doc(first), start)) = lexer.token() else { panic!("no comment") };
        parse(first, start, &mut lexer).doc
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
}
