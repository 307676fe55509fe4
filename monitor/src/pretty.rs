//! Messages for people: one member or element a line, as QEMU indents them.

use crate::response::END;

const INDENT: &[u8] = b"    ";

/// Appends `message`, which is on one line, to `out` with every member and element on a line of its own.
pub(crate) fn indent(message: &[u8], out: &mut Vec<u8>) {
    let mut depth = 0_usize;
    let mut bytes = message.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                out.push(byte);
                copy_string(&mut bytes, out);
            }
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                // What is empty gets the line of its end only.
                if !matches!(bytes.peek(), Some(b'}' | b']')) {
                    new_line(depth, out);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                new_line(depth, out);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(depth, out);
                // The space after it.
                bytes.next();
            }
            _ => out.push(byte),
        }
    }
}

/// Copies the rest of a string.
fn copy_string(bytes: &mut impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    while let Some(byte) = bytes.next() {
        out.push(byte);
        match byte {
            b'"' => return,
            b'\\' => out.extend(bytes.next()),
            _ => {}
        }
    }
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(END);
    (0..depth).for_each(|_| out.extend_from_slice(INDENT));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use qapi_schema::Wire;
    use serde_json::{Value, json};

    fn indented(value: &Value) -> String {
        let (mut line, mut out) = (Vec::new(), Vec::new());
        value.write(&mut line);
        indent(&line, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn every_member_and_element_has_a_line() {
        let value = json!({"a": [1, {}, [], {"b": "x, {\"[\\"}], "c": null});
        let lines = [
            "{",
            "    \"a\": [",
            "        1,",
            "        {",
            "        },",
            "        [",
            "        ],",
            "        {",
            "            \"b\": \"x, {\\\"[\\\\\"",
            "        }",
            "    ],",
            "    \"c\": null",
            "}",
        ];
        assert_eq!(indented(&value), lines.join("\r\n"));
        assert_eq!(indented(&json!(7)), "7");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".{0,8}".prop_map(Value::from)];
        scalar.prop_recursive(4, 32, 4, |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,3}", value, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn indentation_changes_no_value(value in any_value()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&indented(&value)).expect("JSON"), value);
        }
    }
}
