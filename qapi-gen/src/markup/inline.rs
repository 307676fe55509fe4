//! What stands within a paragraph: a text becomes plain and marked stretches.

/// A stretch of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inline<'a> {
    /// Text that stands for itself.
    Text(&'a str),
    /// ``` ``literal`` ```
    Literal(&'a str),
    /// `` `interpreted` `` or `` :role:`interpreted` ``: the name of something.
    Name(&'a str),
    /// `` `title <target>` ``, with or without a role.
    Titled(&'a str, &'a str),
    /// `@name`: a member, a feature or a definition.
    Mention(&'a str),
    /// `*emphasis*`
    Emphasis(&'a str),
    /// `**strong emphasis**`
    Strong(&'a str),
    /// An address that stands for itself.
    Url(&'a str),
}

/// The stretches of a text.
pub fn inlines(text: &str) -> Inlines<'_> {
    Inlines { rest: text, before: ' ', has_url: text.contains("http") }
}

/// The stretches that are left of a text.
#[derive(Clone, Debug)]
pub struct Inlines<'a> {
    rest: &'a str,
    before: char,
    /// Looking for one at every `h` would be slow.
    has_url: bool,
}

impl<'a> Iterator for Inlines<'a> {
    type Item = Inline<'a>;

    fn next(&mut self) -> Option<Inline<'a>> {
        let (before, has_url) = (self.before, self.has_url);
        let before = |at| self.rest.get(..at).and_then(|text| text.chars().next_back()).unwrap_or(before);
        let special = |c| matches!(c, '`' | '@' | ':' | '*') || (has_url && c == 'h');
        let mut found = None;
        for (at, _) in self.rest.match_indices(special) {
            let marked = self.rest.get(at..).and_then(|rest| marked(rest, before(at)));
            if let Some(marked) = marked {
                found = Some((at, marked));
                break;
            }
        }
        let (length, inline) = match found {
            Some((0, marked)) => marked,
            Some((at, _)) => (at, Inline::Text(self.rest.get(..at)?)),
            None if self.rest.is_empty() => return None,
            None => (self.rest.len(), Inline::Text(self.rest)),
        };
        self.before = before(length);
        self.rest = self.rest.get(length..)?;
        Some(inline)
    }
}

/// What is marked at the start of `rest`, and its length with its marks.
fn marked(rest: &str, before: char) -> Option<(usize, Inline<'_>)> {
    match rest.as_bytes().first()? {
        b'`' => quoted(rest),
        _ if before.is_alphanumeric() => None,
        b'@' => mention(rest),
        b':' => role(rest),
        b'*' => emphasis(rest),
        _ => url(rest),
    }
}

fn quoted(rest: &str) -> Option<(usize, Inline<'_>)> {
    let quote = if rest.starts_with("``") { "``" } else { "`" };
    let body = rest.strip_prefix(quote)?;
    let end = body.find(quote).filter(|&end| end > 0)?;
    let (text, tail) = body.split_at(end);
    let length = text.len() + 2 * quote.len();
    if quote == "``" {
        return Some((length, Inline::Literal(text)));
    }
    let link_marks = tail.bytes().skip(1).take(2).take_while(|&byte| byte == b'_').count();
    let titled = text.strip_suffix('>').and_then(|text| text.split_once(['<']));
    let inline = titled.map_or(Inline::Name(text), |(title, target)| Inline::Titled(title.trim_end(), target));
    Some((length + link_marks, inline))
}

fn role(rest: &str) -> Option<(usize, Inline<'_>)> {
    let (role, text) = rest.get(1..)?.split_once(':')?;
    if role.is_empty() || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    let (length, inline) = quoted(text).filter(|_| !text.starts_with("``"))?;
    Some((role.len() + 2 + length, inline))
}

fn mention(rest: &str) -> Option<(usize, Inline<'_>)> {
    let name = rest.get(1..)?;
    // A downstream name starts with a domain between underscores.
    let domain = if name.starts_with("__") { name.get(2..)?.find('_').map_or(0, |end| end + 2) } else { 0 };
    let part =
        |(at, c): (usize, char)| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (c == '.' && at < domain);
    let end = name.char_indices().find(|&(at, c)| !part((at, c))).map_or(name.len(), |(at, _)| at);
    let name = name.get(..end)?.trim_end_matches(['-', '.']);
    (!name.is_empty()).then(|| (name.len() + 1, Inline::Mention(name)))
}

fn emphasis(rest: &str) -> Option<(usize, Inline<'_>)> {
    let marker = if rest.starts_with("**") { "**" } else { "*" };
    let body = rest.strip_prefix(marker)?;
    let (text, _) = body.split_once(marker)?;
    let tight = !text.is_empty() && !text.starts_with(char::is_whitespace) && !text.ends_with(char::is_whitespace);
    let inline = if marker == "**" { Inline::Strong(text) } else { Inline::Emphasis(text) };
    (tight && !text.contains(['*', '`', '\n'])).then(|| (text.len() + 2 * marker.len(), inline))
}

/// Whether a target is an address that may be followed. Others, such as scripts, may not.
pub fn is_url(target: &str) -> bool {
    let address = target.strip_prefix("https://").or_else(|| target.strip_prefix("http://"));
    address.is_some_and(|address| !address.is_empty() && !address.contains(char::is_whitespace))
}

fn url(rest: &str) -> Option<(usize, Inline<'_>)> {
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '`' | ')' | '"')).unwrap_or(rest.len());
    let url = rest.get(..end)?.trim_end_matches(['.', ',', ';', ':']);
    is_url(url).then_some((url.len(), Inline::Url(url)))
}

#[cfg(test)]
mod tests {
    use super::Inline::{Emphasis, Literal, Mention, Name, Strong, Text, Titled, Url};
    use super::*;

    #[test]
    fn each_mark_is_told_apart() {
        let text = "a @b-c, ``d*``: `e`, :ref:`f`; `g <h>`_ *i* **j** (https://k/l).";
        let expected = [
            Text("a "),
            Mention("b-c"),
            Text(", "),
            Literal("d*"),
            Text(": "),
            Name("e"),
            Text(", "),
            Name("f"),
            Text("; "),
            Titled("g", "h"),
            Text(" "),
            Emphasis("i"),
            Text(" "),
            Strong("j"),
            Text(" ("),
            Url("https://k/l"),
            Text(")."),
        ];
        assert_eq!(inlines(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_mark_is_text() {
        for text in ["me@host", "2 * 3 * 4", "``open", "a: b", "*x", "", "@", "**"] {
            assert!(inlines(text).all(|inline| matches!(inline, Text(_))), "{text}");
        }
    }

    #[test]
    fn the_domain_of_a_downstream_name_has_dots() {
        let text = "See @__org.example_go.  And @go.";
        let mentions: Vec<_> = inlines(text).filter(|inline| matches!(inline, Mention(_))).collect();
        assert_eq!(mentions, [Mention("__org.example_go"), Mention("go")]);
    }
}
