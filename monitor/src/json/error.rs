//! Why an item of the input is not a value.

use std::fmt;

/// How much of the offending text an error quotes.
const QUOTED: usize = 40;

/// What the dialect refuses. The wording on the wire is QEMU's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// Bytes that cannot be, or become, a token.
    Stray(String),
    /// A bare word other than `true`, `false` and `null`.
    Keyword(String),
    /// Something else where a value must stand.
    NotAValue,
    /// An object's key is not a string.
    KeyNotAString,
    /// A key occurs twice in one object.
    DuplicateKey,
    /// A key is not followed by `:`.
    NoColon,
    /// A member is followed by neither `,` nor `}`.
    NoSeparatorInObject,
    /// An element is followed by neither `,` nor `]`.
    NoSeparatorInArray,
    /// A backslash before a character that has no escape.
    Escape,
    /// A `\u` escape that names no character.
    NotACharacter(String),
    /// Bytes in a string that are not UTF-8.
    Utf8,
    /// More brackets open at once than [`Limits::nesting`](super::Limits).
    NestingLimit,
    /// More tokens in one item than [`Limits::tokens`](super::Limits).
    TokenLimit,
    /// More bytes in one item than [`Limits::size`](super::Limits).
    SizeLimit,
    /// The input ends within a value.
    Truncated,
    /// The input ends before a value.
    NoValue,
    /// The input goes on after the value.
    SecondValue,
}

impl SyntaxError {
    pub(super) fn stray(text: &[u8]) -> Self {
        Self::Stray(quoted(text))
    }

    pub(super) fn keyword(text: &[u8]) -> Self {
        Self::Keyword(quoted(text))
    }

    pub(super) fn not_a_character(escape: &[u8]) -> Self {
        Self::NotACharacter(quoted(escape))
    }
}

fn quoted(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..QUOTED).unwrap_or(text)).into_owned()
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stray(text) => write!(f, "JSON parse error, stray '{text}'"),
            Self::Keyword(word) => write!(f, "JSON parse error, invalid keyword '{word}'"),
            Self::NotAValue => f.write_str("JSON parse error, expecting value"),
            Self::KeyNotAString => f.write_str("JSON parse error, key is not a string in object"),
            Self::DuplicateKey => f.write_str("JSON parse error, duplicate key"),
            Self::NoColon => f.write_str("JSON parse error, missing : in object pair"),
            Self::NoSeparatorInObject => f.write_str("JSON parse error, expected separator in dict"),
            Self::NoSeparatorInArray => f.write_str("JSON parse error, expected separator in list"),
            Self::Escape => f.write_str("JSON parse error, invalid escape sequence in string"),
            Self::NotACharacter(escape) => write!(f, "JSON parse error, {escape} is not a valid Unicode character"),
            Self::Utf8 => f.write_str("JSON parse error, invalid UTF-8 sequence in string"),
            Self::NestingLimit => f.write_str("JSON nesting depth limit exceeded"),
            Self::TokenLimit => f.write_str("JSON token count limit exceeded"),
            Self::SizeLimit => f.write_str("JSON token size limit exceeded"),
            Self::Truncated => f.write_str("JSON parse error, premature end of input"),
            Self::NoValue => f.write_str("Expecting a JSON value"),
            Self::SecondValue => f.write_str("Expecting at most one JSON value"),
        }
    }
}

impl std::error::Error for SyntaxError {}
