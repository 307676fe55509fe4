//! QEMU's dialect of JSON as a push parser: bytes in, values and errors out, no I/O.
//!
//! What differs from RFC 8259: strings may stand in single quotes and escape them (`\'`); values need nothing between
//! them, and come in any number per read; integers keep the whole signed and unsigned 64-bit range; a key may occur
//! once; `\xC0\x80` in a string is NUL; noncharacters and lone surrogates are refused.
//!
//! One error is reported per malformed item, at the same point of the input as QEMU reports it: what cannot be a
//! token, at its first impossible byte; tokens in the wrong order, when the brackets around them are closed. The stages
//! are `lexer` (bytes to tokens), `scalar` (the text of a token to its value), `tree` (tokens to a value) and
//! `parser` (where an item ends, the limits, what an error leaves behind). `budget` bounds what all parsers hold.

mod budget;
mod error;
mod lexer;
mod parser;
mod scalar;
mod tree;

pub use budget::{Budget, Charge};
pub use error::SyntaxError;
pub use parser::{Limits, Parser};

use serde_json::Value;

/// Parses a text that holds one value and nothing else, such as an option of the command line.
///
/// # Errors
/// What the dialect refuses; a text with no value, with a part of one, or with more than one.
pub fn parse(text: &str) -> Result<Value, SyntaxError> {
    let mut parser = Parser::default();
    let mut input = text.as_bytes();
    let mut only = None;
    while let Some(item) = parser.next(&mut input) {
        if only.replace(item?).is_some() {
            return Err(SyntaxError::SecondValue);
        }
    }
    match (parser.finish(), only) {
        (None, Some(value)) | (Some(Ok(value)), None) => Ok(value),
        (Some(Err(error)), None | Some(_)) => Err(error),
        (Some(Ok(_)), Some(_)) => Err(SyntaxError::SecondValue),
        (None, None) => Err(SyntaxError::NoValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_of_one_value_is_that_value() {
        assert_eq!(parse(" {'driver': 'quota', 'limit': 18446744073709551615} "), {
            Ok(json!({"driver": "quota", "limit": u64::MAX}))
        });
        assert_eq!(parse("7"), Ok(json!(7)));
        assert_eq!(parse("null"), Ok(json!(null)));
    }

    #[test]
    fn a_text_of_none_or_part_of_one_or_two_is_refused() {
        assert_eq!(parse(" "), Err(SyntaxError::NoValue));
        assert_eq!(parse("{'a': [1, 2}"), Err(SyntaxError::Truncated));
        assert_eq!(parse("{'a': 'b"), Err(SyntaxError::Truncated));
        assert_eq!(parse("1."), Err(SyntaxError::Truncated));
        assert_eq!(parse("{} {}"), Err(SyntaxError::SecondValue));
        assert_eq!(parse("{} 1"), Err(SyntaxError::SecondValue));
        assert_eq!(parse("{} ["), Err(SyntaxError::Truncated));
        assert_eq!(parse("{} %"), Err(SyntaxError::Stray("%".into())));
    }
}
