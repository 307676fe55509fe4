//! Text to tokens of the schema's JSON dialect: `#` comments, single quotes, printable ASCII, no numbers, no null.

use std::borrow::Cow;

use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span};

/// A token, borrowed from the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    OpenBrace,
    /// `}`
    CloseBrace,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `:`
    Colon,
    /// `,`
    Comma,
    /// `'text'`
    String(Cow<'a, str>),
    /// `true` or `false`
    Boolean(bool),
    /// `##`, with what follows on the line: the start of a documentation comment
    Doc(&'a str),
    /// The end of the file.
    End,
}

/// A cursor over the text of one file.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    file: FileId,
    offset: usize,
    line: u32,
}

/// Whether a character only separates tokens. QEMU's compiler counts four control characters in.
pub const fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

impl<'a> Lexer<'a> {
    /// At a place in a text. The first one is on line 1 at offset 0.
    pub const fn new(text: &'a str, at: Span) -> Self {
        Self { text, file: at.file, offset: at.start as usize, line: at.line }
    }

    /// The next token and its place.
    ///
    /// # Errors
    /// There is something that is no token; it has been skipped.
    pub fn token(&mut self) -> Result<(Token<'a>, Span), Diagnostic> {
        self.skip_blank();
        while self.rest().starts_with('#') && !self.rest().starts_with("##") {
            self.comment();
            self.skip_blank();
        }
        let rest = self.rest();
        let Some(&first) = rest.as_bytes().first() else {
            return Ok((Token::End, self.end()));
        };
        let single = match first {
            b'{' => Token::OpenBrace,
            b'}' => Token::CloseBrace,
            b'[' => Token::OpenBracket,
            b']' => Token::CloseBracket,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'#' => {
                let (line, span) = self.comment();
                return Ok((Token::Doc(line), span));
            }
            b'\'' => return self.string(),
            _ if rest.starts_with("true") => return Ok((Token::Boolean(true), self.advance(4))),
            _ if rest.starts_with("false") => return Ok((Token::Boolean(false), self.advance(5))),
            _ => return Err(self.stray()),
        };
        Ok((single, self.advance(1)))
    }

    /// The next line of a documentation comment, with its `#`; `None` if something else comes next.
    pub fn doc_line(&mut self) -> Option<(&'a str, Span)> {
        self.skip_blank();
        self.rest().starts_with('#').then(|| self.comment())
    }

    /// Moves on to the next line that looks like the start of a definition. That may be the line of `error`, since
    /// what is missing before it is missed only there.
    pub fn resynchronise(&mut self, error: Span) {
        (self.offset, self.line) = (error.start as usize, error.line);
        let at_start_of_line = self.offset == 0 || self.text.as_bytes().get(self.offset - 1) == Some(&b'\n');
        if at_start_of_line && self.at_definition() {
            return;
        }
        while let Some(newline) = self.rest().find('\n') {
            self.advance(newline);
            self.skip_newline();
            if self.at_definition() {
                return;
            }
        }
        self.advance(self.rest().len());
    }

    fn at_definition(&self) -> bool {
        self.rest().starts_with('{') || self.rest().starts_with("##")
    }

    /// The text from a place up to the next byte.
    pub fn since(&self, start: Span) -> &'a str {
        self.text.get(start.start as usize..self.offset).unwrap_or_default()
    }

    /// The place of the next byte.
    pub fn here(&self) -> Span {
        if self.rest().is_empty() { self.end() } else { self.span(self.offset, self.offset) }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn advance(&mut self, length: usize) -> Span {
        let start = self.offset;
        self.offset += length;
        self.span(start, self.offset)
    }

    fn skip_newline(&mut self) {
        self.offset += 1;
        self.line += 1;
    }

    fn skip_blank(&mut self) {
        while let Some(c) = self.rest().chars().next().filter(|&c| is_blank(c)) {
            if c == '\n' {
                self.skip_newline();
            } else {
                self.offset += c.len_utf8();
            }
        }
    }

    fn comment(&mut self) -> (&'a str, Span) {
        let rest = self.rest();
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        (line, self.advance(line.len()))
    }

    fn string(&mut self) -> Result<(Token<'a>, Span), Diagnostic> {
        let (start, body) = (self.offset, self.rest().get(1..).unwrap_or_default());
        let mut unescaped: Option<String> = None;
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            let here = |length| self.span(start + 1 + at, start + 1 + at + length);
            match c {
                '\'' => {
                    let plain = body.get(..at).unwrap_or_default();
                    let text = unescaped.map_or(Cow::Borrowed(plain), Cow::Owned);
                    return Ok((Token::String(text), self.advance(at + 2)));
                }
                '\n' => break,
                '\\' => {
                    let escaped = chars.next().map_or('\n', |(_, escaped)| escaped);
                    if escaped == '\n' {
                        break;
                    }
                    if escaped != '\\' {
                        let error = Diagnostic::new(
                            here(1 + escaped.len_utf8()),
                            format!("unknown escape \\{}", escaped.escape_default()),
                        );
                        return Err(error.help("the only escape is \\\\"));
                    }
                    unescaped.get_or_insert_with(|| body.get(..at).unwrap_or_default().to_owned()).push('\\');
                }
                ' '..='~' => unescaped.iter_mut().for_each(|text| text.push(c)),
                _ => {
                    let shown = c.escape_unicode();
                    let error = Diagnostic::new(here(c.len_utf8()), format!("funny character {shown} in string"));
                    return Err(error.help("strings consist of printable ASCII characters"));
                }
            }
        }
        Err(Diagnostic::new(self.span(start, start + 1), "missing terminating \"'\""))
    }

    fn stray(&self) -> Diagnostic {
        let rest = self.rest();
        let structural = |c: char| is_blank(c) || matches!(c, '[' | ']' | '{' | '}' | ':' | ',' | '\'');
        let word = rest.split(structural).next().unwrap_or_default();
        let span = self.span(self.offset, self.offset + word.len());
        let shown: String = word.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let error = Diagnostic::new(span, format!("stray '{shown}'"));
        match word.as_bytes().first() {
            Some(b'"') => error.help("strings are written in single quotes"),
            Some(b'/') => error.help("a comment starts with '#'"),
            Some(b'0'..=b'9' | b'-') => error.help("the schema language has no numbers"),
            Some(_) if word.starts_with('\u{feff}') => error.help("this is a byte order mark: save without it"),
            Some(_) if word == "null" => error.help("the schema language has no null"),
            Some(_) | None => error,
        }
    }

    /// The end of the file, on its last line that has an end or a content.
    fn end(&self) -> Span {
        let text = self.text.strip_suffix('\n');
        let line = if text.is_some() { self.line - 1 } else { self.line };
        let end = u32::try_from(text.unwrap_or(self.text).len()).unwrap_or(u32::MAX);
        Span { file: self.file, line: line.max(1), start: end, end }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let [start, end] = [start, end].map(|offset| u32::try_from(offset).unwrap_or(u32::MAX));
        Span { file: self.file, line: self.line, start, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    fn lexer(text: &str) -> Lexer<'_> {
        let file = Sources::default().add("a.json".into(), text, None);
        Lexer::new(text, Span { file, line: 1, start: 0, end: 0 })
    }

    #[test]
    fn tokens_know_their_lines() {
        let mut lexer = lexer("{ # comment\n 'a\\\\b':\n true }\n\n");
        let mut tokens = Vec::new();
        while let Ok((token, span)) = lexer.token() {
            let end = token == Token::End;
            tokens.push((token, span.line));
            if end {
                break;
            }
        }
        let text = Token::String("a\\b".into());
        let expected = [
            (Token::OpenBrace, 1),
            (text, 2),
            (Token::Colon, 2),
            (Token::Boolean(true), 3),
            (Token::CloseBrace, 3),
            (Token::End, 4),
        ];
        assert_eq!(tokens, expected);
    }

    #[test]
    fn resynchronising_finds_the_next_definition() {
        let mut lexer = lexer("{ 'a'\n  { }\n##\n# text\n##\n{ }");
        let tokens = [lexer.token(), lexer.token(), lexer.token()].map(|token| token.expect("a token").1);
        lexer.resynchronise(tokens[2]);
        assert_eq!(lexer.here().line, 3);
        lexer.resynchronise(lexer.here());
        assert_eq!(lexer.here().line, 3);
        lexer.token().expect("a comment");
        lexer.resynchronise(lexer.here());
        assert_eq!(lexer.here().line, 5);
    }
}
