//! The byte stream of a monitor: whatever comes, it ends in the same values and errors however it is cut, and no value
//! is larger than the limits.

use monitor::json::{Limits, Parser, SyntaxError};
use qapi_schema::Wire;
use serde_json::Value;

type Item = Result<Value, SyntaxError>;

/// So small that short inputs reach them.
const SMALL: Limits = Limits { nesting: 6, tokens: 24, size: 120 };

/// The stream as QEMU limits it, and with limits that are easily reached.
pub fn json_stream(input: &[u8]) {
    for limits in [Limits::default(), SMALL] {
        let items = items(limits, input, usize::MAX);
        assert_eq!(items, self::items(limits, input, 1), "where reads end makes a difference");
        for item in items {
            match item {
                Ok(value) => check(&value, &limits),
                Err(error) => assert!(error.to_string().len() < 1000, "{error} quotes too much"),
            }
        }
    }
}

fn items(limits: Limits, input: &[u8], chunk: usize) -> Vec<Item> {
    let mut parser = Parser::new(limits);
    let mut items = Vec::new();
    for mut read in input.chunks(chunk) {
        while let Some(item) = parser.next(&mut read) {
            items.push(item);
        }
        assert!(read.is_empty(), "input is left, and no item");
    }
    items
}

fn check(value: &Value, limits: &Limits) {
    let Size { nesting, values, text } = Size::of(value);
    assert!(nesting <= limits.nesting && values <= limits.tokens && text <= limits.size, "beyond the limits: {value}");
    let mut written = Vec::new();
    value.write(&mut written);
    assert!(written.iter().all(|byte| (b' '..b'\x7f').contains(byte)), "not plain ASCII: {value}");
    written.push(b'\n');
    assert_eq!(items(Limits::default(), &written, usize::MAX), [Ok(value.clone())], "read back");
}

/// What a value costs.
struct Size {
    nesting: i32,
    values: usize,
    text: usize,
}

impl Size {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self { nesting: 0, values: 1, text: 0 },
            Value::String(text) => Self { nesting: 0, values: 1, text: text.len() },
            Value::Array(elements) => Self::around(elements.iter(), 0),
            Value::Object(members) => Self::around(members.values(), members.keys().map(String::len).sum()),
        }
    }

    fn around<'a>(parts: impl Iterator<Item = &'a Value>, text: usize) -> Self {
        parts.map(Self::of).fold(Self { nesting: 1, values: 1, text }, |whole, part| Self {
            nesting: whole.nesting.max(part.nesting + 1),
            values: whole.values + part.values,
            text: whole.text + part.text,
        })
    }
}
