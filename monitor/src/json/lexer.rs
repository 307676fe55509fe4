//! Bytes to tokens: a finite automaton with one byte of lookahead, which the input may interrupt anywhere.
//!
//! A byte that no token can have at its place is consumed and reported with what stood before it. Then everything is
//! skipped up to a byte that is likely to begin anew: a structural character, a control character
//! other than the tab, 0xFE or 0xFF (which occur in no UTF-8 text: a client sends 0xFF to make sure that the server
//! forgets a half-sent item).

use super::SyntaxError;

/// What a token is; its text is [`Lexer::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open(Shape),
    Close(Shape),
    Colon,
    Comma,
    String,
    Number,
    Keyword,
}

impl Token {
    /// Bytes of memory that it may take beyond its text: an object with a member takes one node of a tree of them, and
    /// what holds values may have twice the room that they need.
    pub(super) const fn cost(self) -> usize {
        match self {
            Self::Open(Shape::Object) => 640,
            Self::Open(Shape::Array)
            | Self::Close(_)
            | Self::Colon
            | Self::Comma
            | Self::String
            | Self::Number
            | Self::Keyword => 64,
        }
    }
}

/// What a pair of brackets encloses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Recovery,
    /// In a string that this quote ends.
    String(u8),
    /// After a backslash in such a string.
    Escape(u8),
    Keyword,
    Minus,
    /// After a leading zero, which no digit may follow.
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

enum Step {
    /// The byte belongs to the token, which goes on.
    Shift(State),
    /// The byte belongs to the token and ends it.
    End(Token),
    /// The token ended before the byte.
    EndBefore(Token),
    /// The byte belongs to no token.
    Skip,
    /// The byte ends a recovery and is looked at afresh.
    Recovered,
    /// The byte is impossible here.
    Refuse,
}

#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    text: Vec<u8>,
    limit: usize,
}

impl Lexer {
    /// A lexer that takes no token of more than `limit` bytes.
    pub(super) const fn new(limit: usize) -> Self {
        Self { state: State::Start, text: Vec::new(), limit }
    }

    /// Takes bytes off the front of `input` until a token ends, or cannot, or the input ends.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Result<Token, SyntaxError>> {
        if matches!(self.state, State::Start | State::Recovery) {
            self.text.clear();
        }
        loop {
            if let State::String(quote) = self.state {
                self.shift_plain(input, quote);
            }
            if self.text.len() > self.limit {
                self.state = State::Start;
                return Some(Err(SyntaxError::SizeLimit));
            }
            let (&byte, rest) = input.split_first()?;
            match step(self.state, byte) {
                Step::Shift(state) => self.shift(byte, state),
                Step::End(token) => {
                    *input = rest;
                    self.shift(byte, State::Start);
                    return Some(Ok(token));
                }
                Step::EndBefore(token) => {
                    self.state = State::Start;
                    return Some(Ok(token));
                }
                Step::Skip => {}
                Step::Recovered => {
                    self.state = State::Start;
                    continue;
                }
                Step::Refuse => {
                    *input = rest;
                    self.shift(byte, State::Recovery);
                    return Some(Err(SyntaxError::stray(&self.text)));
                }
            }
            *input = rest;
        }
    }

    /// The text of the token that [`Self::next`] returned last.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Nothing of a token was seen.
    pub(super) fn is_between_tokens(&self) -> bool {
        matches!(self.state, State::Start | State::Recovery)
    }

    /// Gives back the memory that a long token needed.
    pub(super) fn release(&mut self, keep: usize) {
        if self.is_between_tokens() && self.text.capacity() > keep {
            self.text = Vec::new();
        }
    }

    fn shift(&mut self, byte: u8, state: State) {
        self.text.push(byte);
        self.state = state;
    }

    /// The run of a string that needs no look at each byte.
    fn shift_plain(&mut self, input: &mut &[u8], quote: u8) {
        let room = (self.limit + 1).saturating_sub(self.text.len());
        let run = input.iter().take(room).take_while(|&&byte| is_text(byte) && byte != quote && byte != b'\\').count();
        let (plain, rest) = input.split_at(run);
        self.text.extend_from_slice(plain);
        *input = rest;
    }
}

/// A byte that may stand in a string.
const fn is_text(byte: u8) -> bool {
    matches!(byte, 0x20..=0xFD)
}

/// The automaton.
const fn step(state: State, byte: u8) -> Step {
    match state {
        State::Start => match byte {
            b' ' | b'\t' | b'\r' | b'\n' => Step::Skip,
            b'{' => Step::End(Token::Open(Shape::Object)),
            b'}' => Step::End(Token::Close(Shape::Object)),
            b'[' => Step::End(Token::Open(Shape::Array)),
            b']' => Step::End(Token::Close(Shape::Array)),
            b':' => Step::End(Token::Colon),
            b',' => Step::End(Token::Comma),
            b'"' | b'\'' => Step::Shift(State::String(byte)),
            b'-' => Step::Shift(State::Minus),
            b'0' => Step::Shift(State::Zero),
            b'1'..=b'9' => Step::Shift(State::Digits),
            b'a'..=b'z' => Step::Shift(State::Keyword),
            _ => Step::Refuse,
        },
        State::Recovery => match byte {
            b'\t' => Step::Skip,
            b'{' | b'}' | b'[' | b']' | b':' | b',' | ..=0x1F | 0xFE.. => Step::Recovered,
            _ => Step::Skip,
        },
        State::String(quote) => match byte {
            b'\\' => Step::Shift(State::Escape(quote)),
            _ if byte == quote => Step::End(Token::String),
            _ if is_text(byte) => Step::Shift(state),
            _ => Step::Refuse,
        },
        State::Escape(quote) => match byte {
            _ if is_text(byte) => Step::Shift(State::String(quote)),
            _ => Step::Refuse,
        },
        State::Keyword => match byte {
            b'a'..=b'z' => Step::Shift(state),
            _ => Step::EndBefore(Token::Keyword),
        },
        State::Minus => match byte {
            b'0' => Step::Shift(State::Zero),
            b'1'..=b'9' => Step::Shift(State::Digits),
            _ => Step::Refuse,
        },
        State::Zero => match byte {
            b'0'..=b'9' => Step::Refuse,
            b'.' => Step::Shift(State::Point),
            _ => Step::EndBefore(Token::Number),
        },
        State::Digits => match byte {
            b'0'..=b'9' => Step::Shift(state),
            b'.' => Step::Shift(State::Point),
            b'e' | b'E' => Step::Shift(State::Exponent),
            _ => Step::EndBefore(Token::Number),
        },
        State::Point => match byte {
            b'0'..=b'9' => Step::Shift(State::Fraction),
            _ => Step::Refuse,
        },
        State::Fraction => match byte {
            b'0'..=b'9' => Step::Shift(state),
            b'e' | b'E' => Step::Shift(State::Exponent),
            _ => Step::EndBefore(Token::Number),
        },
        State::Exponent => match byte {
            b'+' | b'-' => Step::Shift(State::ExponentSign),
            b'0'..=b'9' => Step::Shift(State::ExponentDigits),
            _ => Step::Refuse,
        },
        State::ExponentSign => match byte {
            b'0'..=b'9' => Step::Shift(State::ExponentDigits),
            _ => Step::Refuse,
        },
        State::ExponentDigits => match byte {
            b'0'..=b'9' => Step::Shift(state),
            _ => Step::EndBefore(Token::Number),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(mut input: &[u8]) -> Vec<(Result<Token, SyntaxError>, String)> {
        let mut lexer = Lexer::new(20);
        let mut tokens = Vec::new();
        while let Some(token) = lexer.next(&mut input) {
            tokens.push((token, String::from_utf8_lossy(lexer.text()).into_owned()));
        }
        tokens
    }

    fn texts(input: &[u8]) -> Vec<String> {
        tokens(input).into_iter().map(|(_, text)| text).collect()
    }

    fn kinds(input: &[u8]) -> Vec<Result<Token, SyntaxError>> {
        tokens(input).into_iter().map(|(token, _)| token).collect()
    }

    fn stray(text: &str) -> Result<Token, SyntaxError> {
        Err(SyntaxError::Stray(text.into()))
    }

    #[test]
    fn tokens_need_nothing_between_them() {
        assert_eq!(
            texts(br#"{'a':-1.5e+3,"b":[true]}"#),
            ["{", "'a'", ":", "-1.5e+3", ",", "\"b\"", ":", "[", "true", "]", "}"]
        );
        let (number, keyword, comma) = (Ok(Token::Number), Ok(Token::Keyword), Ok(Token::Comma));
        assert_eq!(kinds(b"0 -7,1e9null,"), [number.clone(), number.clone(), comma.clone(), number, keyword, comma]);
    }

    #[test]
    fn a_quote_of_the_other_kind_or_escaped_does_not_end_a_string() {
        assert_eq!(texts(br#"'a"\'b' "a'\"b" "#), [r#"'a"\'b'"#, r#""a'\"b""#]);
    }

    #[test]
    fn an_impossible_byte_is_reported_once_with_what_stood_before_it() {
        assert_eq!(kinds(b"@@@ @@ 1"), [stray("@")]);
        assert_eq!(kinds(b"01 "), [stray("01")]);
        assert_eq!(kinds(b"1.}"), [stray("1.}")]);
        assert_eq!(kinds(b"-}"), [stray("-}")]);
        assert_eq!(kinds(b"'a\tb' "), [stray("'a\t")]);
        assert_eq!(kinds(b"'a\\\n"), [stray("'a\\\n")]);
    }

    #[test]
    fn recovery_ends_at_structural_and_control_characters_and_at_0xfe_and_0xff() {
        for reset in *b"{}[]:," {
            assert_eq!(kinds(&[b'@', b' ', b'a', reset]).len(), 2, "{reset:?}");
        }
        assert_eq!(kinds(b"@ a\n1 "), [stray("@"), Ok(Token::Number)]);
        assert_eq!(kinds(b"@ a\t1 "), [stray("@")]);
        assert_eq!(kinds(b"@\xC3\xA4\xFE@\xFF"), [stray("@"), stray("\u{fffd}"), stray("\u{fffd}")]);
        assert_eq!(kinds(b"\x00\x01"), [stray("\0"), stray("\u{1}")]);
    }

    #[test]
    fn a_token_that_is_too_long_is_cut_off_wherever_the_reads_end() {
        let long = [b"'".as_slice(), &[b'x'; 30]].concat();
        assert_eq!(kinds(&long), [Err(SyntaxError::SizeLimit)]);
        let mut lexer = Lexer::new(20);
        let bytes = long.chunks(1).map(|mut byte| lexer.next(&mut byte));
        assert_eq!(bytes.flatten().collect::<Vec<_>>(), [Err(SyntaxError::SizeLimit)]);
    }

    #[test]
    fn a_long_token_leaves_no_memory_behind() {
        let mut lexer = Lexer::new(1 << 20);
        let long = [b"'".as_slice(), &[b'x'; 10_000], b"'"].concat();
        assert_eq!(lexer.next(&mut long.as_slice()), Some(Ok(Token::String)));
        lexer.release(100);
        assert!(lexer.text.capacity() <= 100);
    }
}
