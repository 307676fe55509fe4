//! The reStructuredText of documentation comments, as far as they use it: a text becomes blocks.
//!
//! Nothing is an error: what is no markup stands for itself.

pub mod inline;
pub mod markdown;

/// A block of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Text with inline markup.
    Paragraph(String),
    /// The heading of what follows, with its level from 1.
    Heading(usize, String),
    /// Items, each of which is blocks.
    List { numbered: bool, items: Vec<Vec<Block>> },
    /// Lines that are shown as they are.
    Literal(Vec<String>),
    /// What goes over the wire, in literal blocks, perhaps with explanations between them.
    Example { title: Option<String>, body: Vec<Block> },
    /// Something set apart, such as a note or a warning.
    Admonition { title: String, body: Vec<Block> },
    /// Cells with inline markup.
    Table { header: Vec<String>, rows: Vec<Vec<String>> },
}

/// Blocks may be nested this deep; what is deeper becomes part of a paragraph.
const MAX_DEPTH: usize = 8;

/// The blocks of a text.
pub fn blocks(text: &str) -> Vec<Block> {
    let tabs = text.contains('\t').then(|| text.replace('\t', "        "));
    let lines: Vec<&str> = tabs.as_deref().unwrap_or(text).lines().map(str::trim_end).collect();
    nested(&lines, 0)
}

fn nested(lines: &[&str], depth: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = lines;
    while let Some((&line, after)) = rest.split_first() {
        let text = line.trim_start();
        if text.is_empty() {
            rest = after;
            continue;
        }
        let indent = indentation(line);
        rest = if let Some(text) = text.strip_prefix(".. ").filter(|_| depth < MAX_DEPTH) {
            let (body, after) = indented(after, indent);
            blocks.extend(directive(text, body, depth));
            after
        } else if let Some(level) = heading(text).filter(|_| depth == 0) {
            blocks.push(Block::Heading(level, text.trim_start_matches('=').trim().to_owned()));
            after
        } else if depth < MAX_DEPTH && item(text).is_some() {
            let (list, after) = list(rest, indent, depth);
            blocks.push(list);
            after
        } else if text.starts_with("+-") || text.starts_with("+=") {
            let end = rest.iter().position(|line| line.is_empty()).unwrap_or(rest.len());
            let (table, after) = rest.split_at(end);
            blocks.extend(literal(table));
            after
        } else if let Some((table, after)) = table(rest) {
            blocks.push(table);
            after
        } else {
            paragraph(rest, indent, depth, &mut blocks)
        };
    }
    blocks
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The lines without the indentation they share and without blank lines around them.
fn dedented<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let filled = |line: &&str| !line.trim().is_empty();
    let indent = lines.iter().copied().filter(filled).map(indentation).min().unwrap_or(0);
    let first = lines.iter().position(filled).unwrap_or(lines.len());
    let last = lines.iter().rposition(filled).map_or(first, |last| last + 1);
    lines[first..last].iter().map(|line| line.get(indent..).unwrap_or_default()).collect()
}

/// Splits off the lines that are blank or indented more than `indent`.
fn indented<'s, 'a>(lines: &'s [&'a str], indent: usize) -> (&'s [&'a str], &'s [&'a str]) {
    let outside = |line: &&str| !line.is_empty() && indentation(line) <= indent;
    lines.split_at(lines.iter().position(outside).unwrap_or(lines.len()))
}

/// A literal block, if there is anything in it.
fn literal(lines: &[&str]) -> Option<Block> {
    let lines: Vec<_> = dedented(lines).into_iter().map(str::to_owned).collect();
    (!lines.is_empty()).then_some(Block::Literal(lines))
}

/// The level of a heading `== Title`.
fn heading(text: &str) -> Option<usize> {
    let title = text.trim_start_matches('=');
    (title.len() < text.len() && (title.is_empty() || title.starts_with(' ')) && !title.contains("=="))
        .then(|| text.len() - title.len())
}

fn directive(text: &str, body: &[&str], depth: usize) -> Vec<Block> {
    let Some((name, argument)) = text.split_once("::") else {
        return Vec::new(); // a comment or a label
    };
    let argument = argument.trim();
    let options = body.iter().take_while(|line| line.trim_start().starts_with(':')).count();
    let (options, body) = body.split_at(options);
    let option = |name: &str| options.iter().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim);
    match name {
        "qmp-example" => {
            let annotated = option(":annotated:").is_some();
            let body = if annotated { nested(&dedented(body), depth + 1) } else { Vec::from_iter(literal(body)) };
            vec![Block::Example { title: option(":title:").map(str::to_owned), body }]
        }
        "code-block" | "parsed-literal" | "code" => Vec::from_iter(literal(body)),
        "table" => {
            let title = (!argument.is_empty()).then(|| Block::Paragraph(argument.to_owned()));
            title.into_iter().chain(nested(&dedented(body), depth + 1)).collect()
        }
        _ => {
            let titled = name == "admonition" && !argument.is_empty();
            let mut title = if titled { argument } else { name }.to_owned();
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let mut lines = if titled { Vec::new() } else { vec![argument] };
            let continued = body.first().is_some_and(|line| !line.is_empty());
            if !continued {
                lines.push("");
            }
            lines.extend(dedented(body));
            vec![Block::Admonition { title, body: nested(&lines, depth + 1) }]
        }
    }
}

/// Whether the text starts a list's item: whether it has a number, and what follows the marker.
fn item(text: &str) -> Option<(bool, &str)> {
    let (marker, rest) = text.split_once(' ')?;
    let number = marker.strip_suffix(['.', ')']).is_some_and(|number| {
        number == "#" || (!number.is_empty() && number.len() < 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    (number || matches!(marker, "-" | "*" | "+")).then_some((number, rest))
}

/// The list that starts here, and what follows it.
fn list<'s, 'a>(lines: &'s [&'a str], indent: usize, depth: usize) -> (Block, &'s [&'a str]) {
    let mut rest = lines;
    let mut items = Vec::new();
    let numbered = lines.first().and_then(|line| item(line.trim_start())).is_some_and(|(numbered, _)| numbered);
    while let Some((line, after)) = rest.split_first() {
        let same = |&(kind, _): &(bool, &str)| kind == numbered && indentation(line) == indent;
        let Some((_, text)) = item(line.trim_start()).filter(same) else {
            break;
        };
        let (body, after) = indented(after, indent);
        let mut content = vec![text.trim_start()];
        let body_indent = body.iter().copied().filter(|line| !line.is_empty()).map(indentation).min().unwrap_or(0);
        content.extend(body.iter().map(|line| line.get(body_indent..).unwrap_or_default()));
        items.push(nested(&content, depth + 1));
        let blanks = after.iter().take_while(|line| line.is_empty()).count();
        rest = after.get(blanks..).unwrap_or_default();
    }
    (Block::List { numbered, items }, rest)
}

/// The simple table that starts here, whose columns stand under lines of `=`, and what follows it.
fn table<'s, 'a>(lines: &'s [&'a str]) -> Option<(Block, &'s [&'a str])> {
    let is_rule = |line: &str| line.contains("= =") && line.bytes().all(|byte| matches!(byte, b'=' | b' '));
    let is_rule = |line: &&&str| is_rule(&line.replace("  ", " "));
    let rule = lines.first().filter(is_rule)?;
    let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let (table, rest) = lines.split_at(end);
    let starts = rule.match_indices('=').map(|(at, _)| at);
    let starts: Vec<_> = starts.filter(|&at| at == 0 || rule.as_bytes().get(at - 1) == Some(&b' ')).collect();
    let cells = |line: &&str| -> Vec<String> {
        let ends = starts.iter().skip(1).copied().chain([line.len()]);
        let bounds = starts.iter().zip(ends).map(|(&start, end)| line.get(start..end.min(line.len())));
        bounds.map(|cell| cell.unwrap_or_default().trim().to_owned()).collect()
    };
    let mut parts = table.split(|line| is_rule(&line)).filter(|part| !part.is_empty());
    let (first, second) = (parts.next()?, parts.next());
    let header = second.and(first.first()).map(cells).unwrap_or_default();
    let rows = second.unwrap_or(first).iter().map(cells).collect();
    Some((Block::Table { header, rows }, rest))
}

/// Appends the paragraph that starts here, and the literal block that it may announce; returns what follows.
fn paragraph<'s, 'a>(lines: &'s [&'a str], indent: usize, depth: usize, out: &mut Vec<Block>) -> &'s [&'a str] {
    let ends = |line: &&str| {
        let text = line.trim_start();
        text.is_empty() || (depth < MAX_DEPTH && indentation(line) == indent && item(text).is_some())
    };
    let length = lines.iter().skip(1).position(ends).map_or(lines.len(), |position| position + 1);
    let (text, rest) = lines.split_at(length);
    let mut text = text.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
    if !text.ends_with("::") {
        out.push(Block::Paragraph(text));
        return rest;
    }
    text.truncate(text.len() - 2);
    if !text.trim().is_empty() {
        let colon = if text.ends_with(' ') { "" } else { ":" };
        out.push(Block::Paragraph(format!("{}{colon}", text.trim_end())));
    }
    let (block, rest) = indented(rest, indent);
    out.extend(literal(block));
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paragraph(text: &str) -> Block {
        Block::Paragraph(text.to_owned())
    }

    #[test]
    fn a_simple_table_has_cells() {
        let text = ".. table:: Combinations\n   :widths: auto\n\n   ====  =====\n   a     okay?\n   ====  =====\n   x y   no\n   z\n   ====  =====\n\nEnd";
        let strings = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table =
            Block::Table { header: strings(["a", "okay?"]), rows: vec![strings(["x y", "no"]), strings(["z", ""])] };
        assert_eq!(blocks(text), [paragraph("Combinations"), table, paragraph("End")]);
    }

    #[test]
    fn an_admonition_starts_on_its_first_line() {
        let note = |body| Block::Admonition { title: "Note".to_owned(), body };
        assert_eq!(blocks(".. note:: Do not.\n   Really."), [note(vec![paragraph("Do not.\nReally.")])]);
        assert_eq!(blocks(".. note::\n\n   - Do not."), [note(blocks("- Do not."))]);
        let titled = Block::Admonition { title: "Mind".to_owned(), body: vec![paragraph("Do not.")] };
        assert_eq!(blocks(".. admonition:: mind\n\n   Do not."), [titled]);
    }

    #[test]
    fn an_annotated_example_has_text_between_its_literal_blocks() {
        let body = vec![paragraph("First:"), Block::Literal(vec!["-> { }".to_owned()]), paragraph("Then.")];
        let example = Block::Example { title: Some("Going".to_owned()), body };
        let text = ".. qmp-example::\n   :title: Going\n   :annotated:\n\n   First::\n\n     -> { }\n\n   Then.";
        assert_eq!(blocks(text), [example]);
    }
}
