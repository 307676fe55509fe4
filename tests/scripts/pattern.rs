//! What a message should look like: JSON in which `...` stands for what does not matter, and `$name` for a value that
//! must be the same wherever it occurs.
//!
//! As a value `...` is anything; as the last member or element, any further ones. That is how the schema's examples
//! elide, too.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

/// JSON with elisions.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// `...`
    Anything,
    /// `$name`
    Same(String),
    /// A string, number, boolean or null.
    Scalar(Value),
    /// `[a, b]`, or `[a, b, ...]` where `more` may follow.
    Array { items: Vec<Pattern>, more: bool },
    /// `{ "a": 1 }`, or `{ "a": 1, ... }` where there may be `more`.
    Object { members: Vec<(String, Pattern)>, more: bool },
}

/// The values that `$name`s stand for.
pub type Bindings = HashMap<String, Value>;

/// A place where a message is not as expected.
#[derive(Debug, PartialEq)]
pub struct Difference {
    path: String,
    /// What should be there, if anything.
    expected: Option<String>,
    /// What is there, if anything.
    received: Option<String>,
}

/// As a diff: `-` what should be there, `+` what is.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "message" } else { &self.path };
        if let Some(expected) = &self.expected {
            writeln!(f, "  - {path}: {expected}")?;
        }
        if let Some(received) = &self.received {
            writeln!(f, "  + {path}: {received}")?;
        }
        Ok(())
    }
}

impl Pattern {
    /// Reads the one pattern that `text` is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text };
        let pattern = reader.value()?;
        match reader.peek() {
            None => Ok(pattern),
            Some(_) => Err(format!("unexpected after the message: {}", reader.rest)),
        }
    }

    /// The member of an object, if it is one and has it.
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object { members, .. } = self else {
            return None;
        };
        members.iter().find(|(member, _)| member == name).map(|(_, pattern)| pattern)
    }

    /// Compares a message; `$name`s that have no value yet take that of the message if there is no difference.
    pub fn differences(&self, message: &Value, bindings: &mut Bindings) -> Vec<Difference> {
        let mut found = bindings.clone();
        let mut differences = Vec::new();
        self.compare(message, "", &mut found, &mut differences);
        if differences.is_empty() {
            *bindings = found;
        }
        differences
    }

    fn compare(&self, value: &Value, path: &str, bindings: &mut Bindings, differences: &mut Vec<Difference>) {
        let mut differs = |expected: String| {
            let difference =
                Difference { path: path.into(), expected: Some(expected), received: Some(value.to_string()) };
            differences.push(difference);
        };
        match (self, value) {
            (Self::Anything, _) => {}
            (Self::Same(name), _) => match bindings.get(name) {
                Some(bound) if bound == value => {}
                Some(bound) => differs(bound.to_string()),
                None => {
                    bindings.insert(name.clone(), value.clone());
                }
            },
            (Self::Scalar(expected), _) if expected == value => {}
            (Self::Array { items, more }, Value::Array(values)) => {
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    match values.get(at) {
                        Some(value) => item.compare(value, &path, bindings, differences),
                        None => differences.push(Difference { path, expected: Some(item.to_string()), received: None }),
                    }
                }
                for (at, value) in values.iter().enumerate().skip(items.len()).filter(|_| !more) {
                    let path = format!("{path}[{at}]");
                    differences.push(Difference { path, expected: None, received: Some(value.to_string()) });
                }
            }
            (Self::Object { members, more }, Value::Object(values)) => {
                let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                for (name, member) in members {
                    let path = inside(name);
                    match values.get(name) {
                        Some(value) => member.compare(value, &path, bindings, differences),
                        None => {
                            differences.push(Difference { path, expected: Some(member.to_string()), received: None })
                        }
                    }
                }
                for (name, value) in values.iter().filter(|(name, _)| !more && self.member(name).is_none()) {
                    let received = Some(value.to_string());
                    differences.push(Difference { path: inside(name), expected: None, received });
                }
            }
            (Self::Scalar(_) | Self::Array { .. } | Self::Object { .. }, _) => differs(self.to_string()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => f.write_str("..."),
            Self::Same(name) => write!(f, "${name}"),
            Self::Scalar(value) => write!(f, "{value}"),
            Self::Array { items, more } => {
                let items = items.iter().map(Self::to_string).chain(more.then(|| "...".into()));
                write!(f, "[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Self::Object { members, more } => {
                let members = members.iter().map(|(name, member)| format!("\"{name}\": {member}"));
                let members = members.chain(more.then(|| "...".into()));
                write!(f, "{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What is left of the text.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let stripped = self.rest.strip_prefix(token);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("expected '{token}' at: {}", self.rest)) }
    }

    /// Takes everything up to the first character that `ends` it.
    fn take_until(&mut self, ends: impl FnMut(char) -> bool) -> &str {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn value(&mut self) -> Result<Pattern, String> {
        match self.peek() {
            Some('.') => self.expect("...").map(|()| Pattern::Anything),
            Some('$') => {
                self.expect("$")?;
                Ok(Pattern::Same(self.take_until(|c| !c.is_alphanumeric() && c != '-').to_owned()))
            }
            Some('[') => {
                self.expect("[")?;
                let (items, more) = self.list("]", Self::value)?;
                Ok(Pattern::Array { items, more })
            }
            Some('{') => {
                self.expect("{")?;
                let (members, more) = self.list("}", |reader| {
                    let name = reader.string()?;
                    reader.expect(":")?;
                    Ok((name, reader.value()?))
                })?;
                Ok(Pattern::Object { members, more })
            }
            Some('"') => Ok(Pattern::Scalar(self.string()?.into())),
            Some(_) => {
                let text = self.take_until(|c| c.is_whitespace() || ",]}".contains(c)).to_owned();
                serde_json::from_str(&text).map(Pattern::Scalar).map_err(|error| format!("'{text}': {error}"))
            }
            None => Err("the message is incomplete".into()),
        }
    }

    /// Elements up to the closing bracket; `...` among them is the last one.
    fn list<T>(
        &mut self,
        end: &str,
        mut element: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<(Vec<T>, bool), String> {
        let mut elements = Vec::new();
        while !self.take(end) {
            if !elements.is_empty() {
                self.expect(",")?;
            }
            if self.take("...") {
                return self.expect(end).map(|()| (elements, true));
            }
            elements.push(element(self)?);
        }
        Ok((elements, false))
    }

    fn string(&mut self) -> Result<String, String> {
        self.rest = self.rest.trim_start();
        let mut strings = serde_json::Deserializer::from_str(self.rest).into_iter();
        let string = strings.next().ok_or("the message is incomplete")?;
        let string = string.map_err(|error| format!("{error} at: {}", self.rest))?;
        self.rest = &self.rest[strings.byte_offset()..];
        Ok(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differences(pattern: &str, message: Value) -> String {
        let pattern = Pattern::parse(pattern).expect(pattern);
        pattern.differences(&message, &mut Bindings::new()).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn a_pattern_without_elisions_matches_itself_only() {
        let pattern = r#"{ "a": [1, -2.5, "x\"]"], "b": { "c": null, "d": true } }"#;
        assert_eq!(differences(pattern, json!({"b": {"d": true, "c": null}, "a": [1, -2.5, "x\"]"]})), "");
        assert_eq!(differences(r#"{"a": 1}"#, json!({"a": 2})), "  - a: 1\n  + a: 2\n");
        assert_eq!(differences(r#"{"a": {"b": 1}}"#, json!({"a": {}})), "  - a.b: 1\n");
        assert_eq!(differences("{}", json!({"a": [1]})), "  + a: [1]\n");
        assert_eq!(differences("[1, 2]", json!([1])), "  - [1]: 2\n");
        assert_eq!(differences("[1]", json!([1, {"a": 1}])), "  + [1]: {\"a\":1}\n");
        assert_eq!(differences("{}", json!([])), "  - message: {}\n  + message: []\n");
        assert_eq!(differences("1", json!("1")), "  - message: 1\n  + message: \"1\"\n");
    }

    #[test]
    fn elided_is_a_value_or_what_follows() {
        assert_eq!(differences(r#"{"a": ...}"#, json!({"a": {"b": 1}})), "");
        assert_eq!(differences(r#"{"a": ...}"#, json!({})), "  - a: ...\n");
        assert_eq!(differences(r#"{"a": 1, ...}"#, json!({"a": 1, "b": 2})), "");
        assert_eq!(differences(r#"{...}"#, json!({})), "");
        assert_eq!(differences("[1, ...]", json!([1, 2, 3])), "");
        assert_eq!(differences("[{...}, ...]", json!([])), "  - [0]: {...}\n");
    }

    #[test]
    fn a_name_stands_for_the_same_value_everywhere() {
        assert_eq!(differences("[$t, $t]", json!([{"s": 1}, {"s": 1}])), "");
        assert_eq!(differences("[$t, $t]", json!([1, 2])), "  - [1]: 1\n  + [1]: 2\n");
    }

    #[test]
    fn a_message_that_differs_gives_no_name_a_value() {
        let mut bindings = Bindings::new();
        let pattern = Pattern::parse("[$t, 1]").expect("valid");
        assert_eq!(pattern.differences(&json!([7, 2]), &mut bindings).len(), 1);
        assert!(bindings.is_empty());
        assert_eq!(pattern.differences(&json!([7, 1]), &mut bindings), []);
        assert_eq!(bindings["t"], json!(7));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "{", "[1", "{\"a\" 1}", "[1 2]", "{..., \"a\": 1}", "{} {}", "{'a': 1}", "..", "nul"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
