//! Examples taken apart for highlighting: who speaks, and what each stretch of JSON is.

/// What one side says, over one or more lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who says it.
    pub speaker: Speaker,
    /// The arrow, with what stands before it.
    pub arrow: &'a str,
    /// The lines, the first one without its arrow.
    pub lines: Vec<&'a str>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The client, after `->`.
    Client,
    /// The server, after `<-`.
    Server,
    /// Nobody: the line is a remark.
    Nobody,
}

/// A stretch of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// The name of a member.
    Key(&'a str),
    /// A string.
    String(&'a str),
    /// A number.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Word(&'a str),
    /// Anything else.
    Other(&'a str),
}

/// The messages of an example.
pub fn messages<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Message<'a>> {
    let mut messages: Vec<Message<'_>> = Vec::new();
    for line in lines {
        let text = line.trim_start();
        let speaker = match text.get(..2) {
            Some("->") => Speaker::Client,
            Some("<-") => Speaker::Server,
            Some(_) | None => Speaker::Nobody,
        };
        match messages.last_mut().filter(|_| speaker == Speaker::Nobody) {
            Some(last) => last.lines.push(line),
            None => {
                let length = if speaker == Speaker::Nobody { 0 } else { line.len() - text.len() + 2 };
                let (arrow, first) = line.split_at(length);
                messages.push(Message { speaker, arrow, lines: vec![first] });
            }
        }
    }
    messages
}

/// The stretches of a line.
pub fn tokens(line: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (text, after) = rest.split_at(token_length(rest));
        tokens.push(match text.as_bytes() {
            [b'"', .., b'"'] if after.trim_start().starts_with(':') => Token::Key(text),
            [b'"', .., b'"'] => Token::String(text),
            [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => Token::Number(text),
            b"true" | b"false" | b"null" => Token::Word(text),
            _ => Token::Other(text),
        });
        rest = after;
    }
    tokens
}

/// The length of the token at the start of a text that is not empty.
fn token_length(text: &str) -> usize {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
    let end = |at: Option<usize>| at.unwrap_or(text.len());
    if let Some(string) = text.strip_prefix('"') {
        let mut escaped = false;
        let closing = string.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        return end(closing.map(|at| at + 2));
    }
    if text.starts_with(|c: char| c.is_alphanumeric())
        || text.as_bytes().first() == Some(&b'-') && text.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
    {
        return end(text.find(|c| !word(c)));
    }
    let starts = |(at, c): (usize, char)| at > 0 && (c == '"' || c == '-' || c.is_alphanumeric());
    end(text.char_indices().find(|&found| starts(found)).map(|(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_on_until_the_next_arrow() {
        let lines = ["Then:", "-> { \"a\":", "     1 }", "<- { }"];
        let message = |speaker, arrow, lines: &[&'static str]| Message { speaker, arrow, lines: lines.to_vec() };
        let expected = [
            message(Speaker::Nobody, "", &["Then:"]),
            message(Speaker::Client, "->", &[" { \"a\":", "     1 }"]),
            message(Speaker::Server, "<-", &[" { }"]),
        ];
        assert_eq!(messages(lines), expected);
    }

    #[test]
    fn tokens_are_told_apart_and_make_up_the_line() {
        use Token::{Key, Number, Other, String, Word};
        let line = r#"{ "a\"b" : [ "c", -1.5e+3, true ], x9 ... "open"#;
        let expected = [
            Other("{ "),
            Key(r#""a\"b""#),
            Other(" : [ "),
            String(r#""c""#),
            Other(", "),
            Number("-1.5e+3"),
            Other(", "),
            Word("true"),
            Other(" ], "),
            Other("x9"),
            Other(" ... "),
            Other(r#""open"#),
        ];
        assert_eq!(tokens(line), expected);
    }
}
