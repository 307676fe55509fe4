//! Blocks as Markdown, for rustdoc and for the manual.
//!
//! Nothing in the output is code to rustdoc, a link that it would resolve, or HTML, unless it is meant to be.

use super::Block;
use super::inline::{Inline, inlines};

/// Writes Markdown, with links where they lead somewhere.
#[derive(Clone, Copy)]
pub struct Markdown<'a> {
    /// Where the name of a member, a definition or anything else leads.
    pub link: &'a dyn Fn(&str) -> Option<String>,
}

/// Converts a text, without links.
pub fn markdown(text: &str) -> String {
    PLAIN.text(text)
}

/// Converts what stands within lines, without links.
pub fn inline(text: &str) -> String {
    PLAIN.inline(text)
}

const PLAIN: Markdown<'static> = Markdown { link: &|_| None };

impl Markdown<'_> {
    /// Converts a text.
    pub fn text(self, text: &str) -> String {
        let mut out = Vec::new();
        self.blocks(&super::blocks(text), &mut out);
        out.join("\n")
    }

    fn blocks(self, blocks: &[Block], out: &mut Vec<String>) {
        for (index, block) in blocks.iter().enumerate() {
            if index > 0 {
                out.push(String::new());
            }
            self.block(block, out);
        }
    }

    fn block(self, block: &Block, out: &mut Vec<String>) {
        match block {
            Block::Paragraph(text) => out.extend(guarded(&self.inline(text))),
            Block::Heading(level, text) => out.push(format!("{} {}", "#".repeat((*level).min(6)), self.inline(text))),
            Block::List { numbered, items } => self.list(*numbered, items, out),
            Block::Literal(lines) => verbatim(lines, out),
            Block::Example { title, body } => {
                let title = title.as_ref().map(|title| format!(" ({})", self.inline(title))).unwrap_or_default();
                out.extend([format!("Example{title}:"), String::new()]);
                self.blocks(body, out);
            }
            Block::Admonition { title, body } => {
                out.push(format!("**{}:**", self.inline(title)));
                self.blocks(body, out);
            }
            Block::Table { header, rows } => {
                let columns = rows.iter().map(Vec::len).max().unwrap_or(0).max(header.len());
                let row = |cells: &[String]| {
                    let cells = cells.iter().map(|cell| self.cell(cell)).chain(std::iter::repeat(String::new()));
                    format!("| {} |", cells.take(columns).collect::<Vec<_>>().join(" | "))
                };
                out.extend([row(header), format!("|{}", " --- |".repeat(columns))]);
                out.extend(rows.iter().map(|cells| row(cells)));
            }
        }
    }

    fn list(self, numbered: bool, items: &[Vec<Block>], out: &mut Vec<String>) {
        let marker = if numbered { "1." } else { "-" };
        let hanging = " ".repeat(marker.len() + 1);
        for item in items {
            let mut lines = Vec::new();
            self.blocks(item, &mut lines);
            for (index, line) in lines.into_iter().enumerate() {
                out.push(match index {
                    0 => format!("{marker} {line}"),
                    _ if line.is_empty() => line,
                    _ => format!("{hanging}{line}"),
                });
            }
        }
    }

    /// Converts a text for a cell of a table, which is one line.
    fn cell(self, text: &str) -> String {
        self.inline(text).replace('\n', " ").replace('|', "\\|")
    }

    /// Converts what stands within lines.
    pub fn inline(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        for inline in inlines(text) {
            match inline {
                Inline::Text(text) => plain(text, &mut out),
                Inline::Literal(text) => code(text, &mut out),
                Inline::Name(name) | Inline::Mention(name) => match (self.link)(name) {
                    Some(target) => {
                        out.push('[');
                        code(name, &mut out);
                        out.push_str(&format!("]({target})"));
                    }
                    None => code(name, &mut out),
                },
                Inline::Titled(title, target) => match (self.link)(target) {
                    Some(target) => {
                        out.push('[');
                        plain(title, &mut out);
                        out.push_str(&format!("]({target})"));
                    }
                    None => plain(title, &mut out),
                },
                Inline::Emphasis(text) => marked("*", text, &mut out),
                Inline::Strong(text) => marked("**", text, &mut out),
                Inline::Url(url) => out.push_str(&format!("<{url}>")),
            }
        }
        out
    }
}

/// A fenced block that is shown as it is.
fn verbatim(lines: &[String], out: &mut Vec<String>) {
    let fence = "`".repeat(lines.iter().map(|line| longest_run(line)).max().unwrap_or(0).max(2) + 1);
    out.push(format!("{fence}text"));
    out.extend(lines.iter().cloned());
    out.push(fence);
}

fn longest_run(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Appends code, which stands between more backquotes than there are in it.
pub fn code(text: &str, out: &mut String) {
    let quote = "`".repeat(longest_run(text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    let text = text.replace(char::is_control, " ");
    out.push_str(&format!("{quote}{space}{text}{space}{quote}"));
}

fn marked(mark: &str, text: &str, out: &mut String) {
    out.push_str(mark);
    plain(text, out);
    out.push_str(mark);
}

/// Appends text without any markup.
pub fn plain(text: &str, out: &mut String) {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        escape(c, before, text.get(at..).unwrap_or_default(), out);
        before = c;
    }
}

/// Appends the character at the start of `rest`, so that it stands for itself.
fn escape(c: char, before: char, rest: &str, out: &mut String) {
    let after = || rest.chars().nth(1).unwrap_or(' ');
    let special = match c {
        '\\' | '`' | '*' | '[' | ']' | '<' => true,
        '_' | '~' => !(before.is_alphanumeric() && after().is_alphanumeric()),
        '&' => after().is_alphanumeric() || after() == '#',
        _ => false,
    };
    if special {
        out.push('\\');
    }
    if c == '\n' || !c.is_control() {
        out.push(c);
    }
}

/// The lines of a paragraph, kept from starting anything else.
fn guarded(paragraph: &str) -> Vec<String> {
    let guard = |line: &str| {
        if line.starts_with(['#', '>', '+', '-', '=', '~', '|']) {
            return format!("\\{line}");
        }
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = line.split_at(digits);
        if digits > 0 && rest.starts_with(['.', ')']) { format!("{number}\\{rest}") } else { line.to_owned() }
    };
    paragraph.lines().map(guard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_code_and_nothing_becomes_a_link() {
        assert_eq!(inline("the @io-error of [Foo] in a<b>"), "the `io-error` of \\[Foo\\] in a\\<b>");
        assert_eq!(inline("``x*`` and :ref:`y` and `the z <w>`_."), "`x*` and `y` and the z.");
        assert_eq!(inline("see https://example.org/a_b."), "see <https://example.org/a_b>.");
        assert_eq!(inline("a_b _c_ 2 * 3 *em* me@host"), "a_b \\_c\\_ 2 \\* 3 *em* me@host");
    }

    #[test]
    fn examples_are_not_run_by_rustdoc() {
        let text = "Stops.\n\n.. qmp-example::\n   :title: Stop\n\n   -> { \"execute\": \"stop\" }\n   <- { \"return\": {} }\n";
        let expected = "Stops.\n\nExample (Stop):\n\n```text\n-> { \"execute\": \"stop\" }\n<- { \"return\": {} }\n```";
        assert_eq!(markdown(text), expected);
        assert_eq!(markdown("     indented"), "indented");
        assert_eq!(markdown("Like this::\n\n    let x = 1;\n\nEnd"), "Like this:\n\n```text\nlet x = 1;\n```\n\nEnd");
    }

    #[test]
    fn lists_keep_their_nesting() {
        let text = "One of\n\n- a, which is\n  long\n\n  * nested\n    too\n- b\n\n1. one\n2. two";
        let expected = "One of\n\n- a, which is\n  long\n\n  - nested\n    too\n- b\n\n1. one\n1. two";
        assert_eq!(markdown(text), expected);
    }

    #[test]
    fn lines_of_a_paragraph_start_nothing_else() {
        assert_eq!(markdown("a\n--- b\n# c\n> d"), "a\n\\--- b\n\\# c\n\\> d");
    }

    #[test]
    fn admonitions_keep_their_title() {
        assert_eq!(markdown(".. note:: Do not.\n   Really."), "**Note:**\nDo not.\nReally.");
    }

    #[test]
    fn deep_nesting_is_flattened() {
        let deep = "- ".repeat(100_000);
        assert!(markdown(&format!("{deep}x")).ends_with('x'));
    }
}
