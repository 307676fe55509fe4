//! reStructuredText to rustdoc's Markdown, as far as documentation comments use it.
//!
//! Nothing in the output is code to rustdoc, a link that it would resolve, or HTML, unless it is meant to be.

/// Blocks may be nested this deep; what is deeper becomes part of a paragraph.
const MAX_DEPTH: usize = 8;

/// Converts a text.
pub fn markdown(text: &str) -> String {
    let tabs = text.contains('\t').then(|| text.replace('\t', "        "));
    let lines: Vec<&str> = tabs.as_deref().unwrap_or(text).lines().map(str::trim_end).collect();
    let mut out = Vec::new();
    blocks(&lines, 0, &mut out);
    out.join("\n")
}

/// A fenced block that rustdoc shows as it is.
pub fn verbatim(lines: &[&str], out: &mut Vec<String>) {
    let lines = dedented(lines);
    let fence = "`".repeat(lines.iter().map(|line| longest_run(line)).max().unwrap_or(0).max(2) + 1);
    out.push(format!("{fence}text"));
    out.extend(lines.into_iter().map(str::to_owned));
    out.push(fence);
}

fn longest_run(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
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

fn blocks(lines: &[&str], depth: usize, out: &mut Vec<String>) {
    let mut rest = lines;
    while let Some((&line, after)) = rest.split_first() {
        let text = line.trim_start();
        if text.is_empty() {
            rest = after;
            continue;
        }
        if out.last().is_some_and(|last| !last.is_empty()) {
            out.push(String::new());
        }
        let indent = indentation(line);
        rest = if let Some(directive) = text.strip_prefix(".. ") {
            let (body, after) = indented(after, indent);
            self::directive(directive, body, depth, out);
            after
        } else if let Some(title) = text.strip_prefix('=').map(|title| title.trim_start_matches('=')) {
            let level = text.len() - title.len();
            out.push(format!("{} {}", "#".repeat(level.min(6)), inline(title.trim())));
            after
        } else if depth < MAX_DEPTH && item(text).is_some() {
            list(rest, indent, depth, out)
        } else if text.starts_with("+-") || text.starts_with("+=") {
            let end = rest.iter().position(|line| line.is_empty()).unwrap_or(rest.len());
            let (table, after) = rest.split_at(end);
            verbatim(table, out);
            after
        } else {
            paragraph(rest, indent, depth, out)
        };
    }
    while out.last().is_some_and(String::is_empty) {
        out.pop();
    }
}

fn directive(directive: &str, body: &[&str], depth: usize, out: &mut Vec<String>) {
    let Some((name, argument)) = directive.split_once("::") else {
        return; // a comment or a label
    };
    let options = body.iter().take_while(|line| line.trim_start().starts_with(':')).count();
    let (options, body) = body.split_at(options);
    let option = |name: &str| options.iter().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim);
    match name {
        "qmp-example" => {
            let title = option(":title:").map(|title| format!(" ({})", inline(title))).unwrap_or_default();
            out.extend([format!("Example{title}:"), String::new()]);
            if option(":annotated:").is_some() {
                blocks(&dedented(body), depth + 1, out);
            } else {
                verbatim(body, out);
            }
        }
        "code-block" | "parsed-literal" | "code" => verbatim(body, out),
        _ => {
            let title = if argument.trim().is_empty() || name != "admonition" { name } else { argument.trim() };
            let mut title = title.to_owned();
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            out.push(format!("**{}:**", inline(&title)));
            if name != "admonition" && !argument.trim().is_empty() {
                out.push(inline(argument.trim()));
            }
            blocks(&dedented(body), depth + 1, out);
        }
    }
}

/// The marker of a list's item and what follows it.
fn item(text: &str) -> Option<(&'static str, &str)> {
    let (marker, rest) = text.split_once(' ')?;
    let number = marker.strip_suffix(['.', ')']).is_some_and(|number| {
        number == "#" || (!number.is_empty() && number.len() < 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    match marker {
        "-" | "*" | "+" => Some(("-", rest)),
        _ if number => Some(("1.", rest)),
        _ => None,
    }
}

/// Converts the list that starts here; returns what follows it.
fn list<'s, 'a>(lines: &'s [&'a str], indent: usize, depth: usize, out: &mut Vec<String>) -> &'s [&'a str] {
    let mut rest = lines;
    let kind = lines.first().and_then(|line| item(line.trim_start())).map(|(marker, _)| marker);
    while let Some((line, after)) = rest.split_first() {
        let same = |&(marker, _): &(&str, &str)| Some(marker) == kind && indentation(line) == indent;
        let Some((marker, text)) = item(line.trim_start()).filter(same) else {
            break;
        };
        let (body, after) = indented(after, indent);
        let mut content = vec![text.trim_start()];
        let body_indent = body.iter().copied().filter(|line| !line.is_empty()).map(indentation).min().unwrap_or(0);
        content.extend(body.iter().map(|line| line.get(body_indent..).unwrap_or_default()));
        let mut converted = Vec::new();
        blocks(&content, depth + 1, &mut converted);
        let hanging = " ".repeat(marker.len() + 1);
        for (index, line) in converted.into_iter().enumerate() {
            out.push(match index {
                0 => format!("{marker} {line}"),
                _ if line.is_empty() => line,
                _ => format!("{hanging}{line}"),
            });
        }
        let blanks = after.iter().take_while(|line| line.is_empty()).count();
        rest = after.get(blanks..).unwrap_or_default();
    }
    rest
}

/// Converts the paragraph that starts here, and the literal block that it may announce; returns what follows.
fn paragraph<'s, 'a>(lines: &'s [&'a str], indent: usize, depth: usize, out: &mut Vec<String>) -> &'s [&'a str] {
    let ends = |line: &&str| {
        let text = line.trim_start();
        text.is_empty() || (depth < MAX_DEPTH && indentation(line) == indent && item(text).is_some())
    };
    let length = lines.iter().skip(1).position(ends).map_or(lines.len(), |position| position + 1);
    let (text, rest) = lines.split_at(length);
    let text = text.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
    let Some(text) = text.strip_suffix("::") else {
        out.extend(guarded(&inline(&text)));
        return rest;
    };
    if !text.trim().is_empty() {
        let colon = if text.ends_with(' ') { "" } else { ":" };
        out.extend(guarded(&inline(&format!("{}{colon}", text.trim_end()))));
        out.push(String::new());
    }
    let (block, rest) = indented(rest, indent);
    if block.iter().any(|line| !line.is_empty()) {
        verbatim(block, out);
    }
    rest
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

/// Converts what stands within lines.
pub fn inline(text: &str) -> String {
    let has_url = text.contains("http");
    let special = |c: char| match c {
        '\\' | '`' | '*' | '[' | ']' | '<' | '_' | '~' | '&' | '@' | ':' => true,
        'h' => has_url,
        _ => c.is_control(),
    };
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut before = ' ';
    while let Some(at) = rest.find(special) {
        let (plain, marked) = rest.split_at(at);
        out.push_str(plain);
        before = plain.chars().next_back().unwrap_or(before);
        let c = marked.chars().next().unwrap_or_default();
        let converted = match c {
            '`' => code(marked),
            '@' if !before.is_alphanumeric() => mention(marked),
            ':' if !before.is_alphanumeric() => role(marked),
            'h' if !before.is_alphanumeric() => url(marked),
            '*' if !before.is_alphanumeric() => emphasis(marked),
            _ => None,
        };
        let length = match converted {
            Some((length, converted)) => {
                out.push_str(&converted);
                length
            }
            None => {
                escape(c, before, marked, &mut out);
                c.len_utf8()
            }
        };
        let (done, left) = marked.split_at(length);
        before = done.chars().next_back().unwrap_or(before);
        rest = left;
    }
    out.push_str(rest);
    out
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

/// ``` ``literal`` ``` or `` `interpreted` ``, at the start of `rest`: its length and what it becomes.
fn code(rest: &str) -> Option<(usize, String)> {
    let quote = if rest.starts_with("``") { "``" } else { "`" };
    let body = rest.strip_prefix(quote)?;
    let end = body.find(quote).filter(|&end| end > 0)?;
    let (text, tail) = body.split_at(end);
    let mut length = text.len() + 2 * quote.len();
    if quote == "``" {
        return (!text.contains('`')).then(|| (length, format!("`{}`", text.replace('\n', " "))));
    }
    if tail.starts_with("`_") {
        length += if tail.starts_with("`__") { 2 } else { 1 };
    }
    let text = text.replace('\n', " ");
    match text.split_once(" <") {
        Some((title, _)) => Some((length, plain(title))),
        None => Some((length, format!("`{text}`"))),
    }
}

/// `@name`, which speaks of a member or a definition.
fn mention(rest: &str) -> Option<(usize, String)> {
    let name = rest.get(1..)?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).unwrap_or(name.len());
    let name = name.get(..end)?.trim_end_matches('-');
    (!name.is_empty()).then(|| (name.len() + 1, format!("`{name}`")))
}

/// `` :role:`text` ``: the role is dropped.
fn role(rest: &str) -> Option<(usize, String)> {
    let (role, text) = rest.get(1..)?.split_once(':')?;
    if role.is_empty() || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    let (length, converted) = code(text).filter(|_| text.starts_with('`'))?;
    Some((role.len() + 2 + length, converted))
}

fn url(rest: &str) -> Option<(usize, String)> {
    if !rest.starts_with("http://") && !rest.starts_with("https://") {
        return None;
    }
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '`' | ')' | '"')).unwrap_or(rest.len());
    let url = rest.get(..end)?.trim_end_matches(['.', ',', ';', ':']);
    Some((url.len(), format!("<{url}>")))
}

/// `*emphasis*` and `**strong emphasis**`, which are the same in both.
fn emphasis(rest: &str) -> Option<(usize, String)> {
    let marker = if rest.starts_with("**") { "**" } else { "*" };
    let body = rest.strip_prefix(marker)?;
    let (text, _) = body.split_once(marker)?;
    let tight = !text.is_empty() && !text.starts_with(char::is_whitespace) && !text.ends_with(char::is_whitespace);
    (tight && !text.contains(['*', '`', '\n'])).then(|| {
        let length = text.len() + 2 * marker.len();
        (length, format!("{marker}{}{marker}", plain(text)))
    })
}

/// Text without any markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        escape(c, before, text.get(at..).unwrap_or_default(), &mut out);
        before = c;
    }
    out
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
        assert_eq!(markdown(".. note:: Do not.\n   Really."), "**Note:**\nDo not.\n\nReally.");
    }

    #[test]
    fn deep_nesting_is_flattened() {
        let deep = "- ".repeat(100_000);
        assert!(markdown(&format!("{deep}x")).ends_with('x'));
    }
}
