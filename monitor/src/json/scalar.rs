//! The text of a token to the value it spells.

use qapi_schema::is_noncharacter;
use serde_json::{Number, Value};

use super::SyntaxError;

/// A bare word.
pub(super) fn keyword(text: &[u8]) -> Result<Value, SyntaxError> {
    match text {
        b"true" => Ok(Value::Bool(true)),
        b"false" => Ok(Value::Bool(false)),
        b"null" => Ok(Value::Null),
        _ => Err(SyntaxError::keyword(text)),
    }
}

/// A number: signed if it fits 64 bits, else unsigned if it fits those, else a double. Beyond the range of doubles it is
/// the last of them: QEMU takes it for infinite, which no reply can say.
pub(super) fn number(text: &[u8]) -> Result<Value, SyntaxError> {
    let spelt = str::from_utf8(text).unwrap_or_default();
    let integer = spelt.parse::<i64>().map(Number::from).or_else(|_| spelt.parse::<u64>().map(Number::from)).ok();
    let double = || Number::from_f64(spelt.parse::<f64>().ok()?.clamp(f64::MIN, f64::MAX));
    integer.or_else(double).map(Value::Number).ok_or(SyntaxError::NotAValue)
}

/// A string with its quotes.
pub(super) fn string(text: &[u8]) -> Result<String, SyntaxError> {
    let mut rest = text.get(1..text.len() - 1).unwrap_or_default();
    let mut string = String::with_capacity(rest.len());
    loop {
        // 0xC0 begins the NUL of modified UTF-8 and is never part of UTF-8 proper.
        let plain = rest.iter().position(|&byte| matches!(byte, b'\\' | 0xC0)).unwrap_or(rest.len());
        let (run, special) = rest.split_at(plain);
        string.push_str(characters(run)?);
        let (character, tail) = match special {
            [] => return Ok(string),
            [0xC0, 0x80, tail @ ..] => ('\0', tail),
            [0xC0, ..] => return Err(SyntaxError::Utf8),
            [_, b'u', ..] => unicode_escape(special)?,
            [_, escaped, tail @ ..] => (escape(*escaped)?, tail),
            [_] => return Err(SyntaxError::Escape),
        };
        string.push(character);
        rest = tail;
    }
}

/// UTF-8 without noncharacters.
fn characters(run: &[u8]) -> Result<&str, SyntaxError> {
    let text = str::from_utf8(run).map_err(|_| SyntaxError::Utf8)?;
    if !text.is_ascii() && text.chars().any(is_noncharacter) {
        return Err(SyntaxError::Utf8);
    }
    Ok(text)
}

fn escape(escaped: u8) -> Result<char, SyntaxError> {
    match escaped {
        b'"' | b'\'' | b'\\' | b'/' => Ok(char::from(escaped)),
        b'b' => Ok('\u{8}'),
        b'f' => Ok('\u{C}'),
        b'n' => Ok('\n'),
        b'r' => Ok('\r'),
        b't' => Ok('\t'),
        _ => Err(SyntaxError::Escape),
    }
}

/// The character of the `\uXXXX`, or of the two that are a surrogate pair, in front of `text`; and what follows.
fn unicode_escape(text: &[u8]) -> Result<(char, &[u8]), SyntaxError> {
    let invalid = || SyntaxError::not_a_character(text.get(..6).unwrap_or(text));
    let (first, rest) = code_unit(text).ok_or_else(invalid)?;
    let pair = code_unit(rest).map(|(second, rest)| (char::decode_utf16([first, second]).next(), rest));
    let (decoded, rest) = match pair {
        Some((Some(Ok(character)), rest)) if character > '\u{FFFF}' => (Some(character), rest),
        _ => (char::from_u32(first.into()), rest),
    };
    let character = decoded.filter(|&character| !is_noncharacter(character)).ok_or_else(invalid)?;
    Ok((character, rest))
}

fn code_unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.strip_prefix(b"\\u")?;
    let (digits, rest) = digits.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0, |unit: u32, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))?;
    Some((u16::try_from(unit).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &[u8]) -> Result<String, String> {
        string(text).map_err(|error| error.to_string().replace("JSON parse error, ", ""))
    }

    #[test]
    fn numbers_keep_the_whole_64_bit_range() {
        assert_eq!(number(b"-9223372036854775808"), Ok(json!(i64::MIN)));
        assert_eq!(number(b"18446744073709551615"), Ok(json!(u64::MAX)));
        assert_eq!(number(b"18446744073709551616"), Ok(json!(18446744073709551616.0)));
        assert_eq!(number(b"-0"), Ok(json!(0)));
        assert_eq!(number(b"1.5e-3"), Ok(json!(0.0015)));
    }

    #[test]
    fn numbers_beyond_doubles_are_the_last_of_them() {
        assert_eq!(number(b"1e400"), Ok(json!(f64::MAX)));
        assert_eq!(number(b"-1e400"), Ok(json!(f64::MIN)));
        assert_eq!(number(&b"9".repeat(400)), Ok(json!(f64::MAX)));
    }

    #[test]
    fn keywords_are_three() {
        assert_eq!(keyword(b"true"), Ok(json!(true)));
        assert_eq!(keyword(b"null"), Ok(json!(null)));
        assert_eq!(keyword(b"nul"), Err(SyntaxError::Keyword("nul".into())));
    }

    #[test]
    fn escapes_are_json_s_and_the_single_quote() {
        assert_eq!(read(br#"'\'\"\/\b\f\n\r\t\\'"#), Ok("'\"/\u{8}\u{C}\n\r\t\\".into()));
        assert_eq!(read(br#""\u00e4\u20AC\ud83e\uddc0""#), Ok("\u{e4}\u{20ac}\u{1f9c0}".into()));
        assert_eq!(read(br"'\q'"), Err("invalid escape sequence in string".into()));
        assert_eq!(read(br"'\u12'"), Err(r"\u12 is not a valid Unicode character".into()));
        assert_eq!(read(br"'\u12G4'"), Err(r"\u12G4 is not a valid Unicode character".into()));
        assert_eq!(read(br"'\u+123'"), Err(r"\u+123 is not a valid Unicode character".into()));
    }

    #[test]
    fn nul_is_taken_as_an_escape_and_as_modified_utf_8() {
        assert_eq!(read(br"'a\u0000b'"), Ok("a\0b".into()));
        assert_eq!(read(b"'a\xC0\x80b'"), Ok("a\0b".into()));
    }

    #[test]
    fn lone_surrogates_and_noncharacters_are_refused() {
        for escape in [r"\ud800", r"\udc00", r"\uffff", r"\ufffe", r"\ufdd0", r"\ud800\u0041", r"\ud83f\udffe"] {
            let text = format!("'{escape}'");
            assert_eq!(read(text.as_bytes()), Err(format!(r"{} is not a valid Unicode character", &escape[..6])));
        }
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        let (overlong, surrogate, beyond) = (b"'\xC0\xAF'".as_slice(), b"'\xED\xA0\x80'", b"'\xF4\x90\x80\x80'");
        let (alone, cut, noncharacter) = (b"'\x80'", b"'\xE2\x82'", b"'\xEF\xBF\xBF'");
        for text in [overlong, surrogate, beyond, alone, cut, noncharacter, b"'\xFD'", b"'\xC0'"] {
            assert_eq!(read(text), Err("invalid UTF-8 sequence in string".into()), "{text:x?}");
        }
    }
}
