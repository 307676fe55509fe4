//! QEMU's `key=value` syntax: `driver=file,node-name=disk,cache.direct=on`, or the same as JSON, becomes a tree.
//!
//! Dots nest, `,,` stands for a comma in a value, numbers in a path make a list (`addr.0=..`). The first value may go
//! without its key where the option implies one (`--export nbd,id=..`). As in QEMU the last of several values counts.

use std::collections::BTreeMap;
use std::fmt;

use qapi_schema::{Dialect, Error, FromValue, Members, Visitor};
use serde_json::{Map, Value};

/// The argument of an option as a tree, with the spelling of its scalars.
#[derive(Debug)]
pub struct Argument {
    value: Value,
    dialect: Dialect,
}

impl Argument {
    /// Reads `key=value,...`, or JSON if the text starts with a brace. `implied` is the key that the first value may go
    /// without.
    ///
    /// # Errors
    /// What is wrong with the text, for people.
    pub fn parse(text: &str, implied: Option<&str>) -> Result<Self, Error> {
        if text.starts_with('{') {
            let value = monitor::json::parse(text).map_err(|error| Error::generic(error.to_string()))?;
            return Ok(Self { value, dialect: Dialect::Json });
        }
        Self::from_pairs(pairs(text, implied)?)
    }

    /// Makes a tree of keys with dots in them.
    ///
    /// # Errors
    /// A key is none, or two of them make no sense together.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let value = tree(pairs).map_err(|error| Error::generic(error.to_string()))?;
        Ok(Self { value, dialect: Dialect::Keyval })
    }

    /// The argument as a type of the schema.
    ///
    /// # Errors
    /// What the schema refuses, with its path.
    pub fn into<T: FromValue>(self) -> Result<T, Error> {
        T::from_value(self.value, &Visitor::root(self.dialect))
    }

    /// The argument as an object, and how its scalars are spelt.
    ///
    /// # Errors
    /// It is JSON, but no object.
    pub fn into_object(self) -> Result<(Map<String, Value>, Dialect), Error> {
        let dialect = self.dialect;
        let members = Members::open(self.value, &Visitor::root(dialect)).map(|mut members| members.take_all());
        Ok((members?, dialect))
    }

    /// The argument as what `read` makes of its members. It must take all of them.
    ///
    /// # Errors
    /// A missing, unexpected or mistyped member, named by its path.
    pub fn read<T>(self, read: impl FnOnce(&mut Members<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let root = Visitor::root(self.dialect);
        let mut members = Members::open(self.value, &root)?;
        let value = read(&mut members)?;
        members.finish()?;
        Ok(value)
    }
}

/// What is wrong with a `key=value` text.
#[derive(Debug, PartialEq, Eq)]
enum KeyvalError {
    /// A value without a key, where none is implied.
    NoKey(String),
    /// A key that is no path of names and numbers.
    BadKey(String),
    /// A key with a value of its own and others beneath it.
    Mixed(String),
    /// A list that lacks this element.
    Gap(String),
}

impl fmt::Display for KeyvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(text) => write!(f, "Expected '=' after parameter '{text}'"),
            Self::BadKey(key) => write!(f, "Invalid parameter '{key}'"),
            Self::Mixed(key) => write!(f, "Parameters '{key}.*' used inconsistently"),
            Self::Gap(key) => write!(f, "Parameter '{key}' missing"),
        }
    }
}

/// A tree under construction: whether an object is a list shows only when all keys are known.
enum Tree {
    Leaf(String),
    Inner(BTreeMap<String, Tree>),
}

/// Deeper nesting than this is a mistake, and would be one for whoever walks the tree.
const MOST_LEVELS: usize = 64;

/// Reads `key=value,...` without a look at the keys. `implied` is the key that the first value may go without.
///
/// # Errors
/// A value has no key.
pub fn pairs(text: &str, implied: Option<&str>) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    let mut rest = text;
    let mut implied = implied;
    while !rest.is_empty() {
        let end = rest.find(['=', ',']).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(end);
        let key = match (tail.strip_prefix('='), implied) {
            (Some(tail), _) => {
                rest = tail;
                head
            }
            (None, Some(implied)) => implied,
            (None, None) => return Err(Error::generic(KeyvalError::NoKey(head.to_owned()).to_string())),
        };
        implied = None;
        let (value, tail) = value(rest);
        rest = tail;
        pairs.push((key.to_owned(), value));
    }
    Ok(pairs)
}

fn tree(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Value, KeyvalError> {
    let mut root = BTreeMap::new();
    for (key, value) in pairs {
        insert(&mut root, &key, value)?;
    }
    finish(Tree::Inner(root), "")
}

/// Splits off a value, in which `,,` is a comma.
fn value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (piece, tail) = rest.split_once(',').unwrap_or((rest, ""));
        value.push_str(piece);
        let Some(after) = tail.strip_prefix(',') else {
            return (value, tail);
        };
        value.push(',');
        rest = after;
    }
}

fn insert(root: &mut BTreeMap<String, Tree>, key: &str, value: String) -> Result<(), KeyvalError> {
    let well_formed = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    // A number is an element's, and the whole is no list.
    let starts_with_number = key.split('.').next().is_some_and(is_number);
    if !key.split('.').all(well_formed) || starts_with_number || key.split('.').count() > MOST_LEVELS {
        return Err(KeyvalError::BadKey(key.to_owned()));
    }
    let (path, name) = key.rsplit_once('.').map_or((None, key), |(path, name)| (Some(path), name));
    let mut level = root;
    for step in path.into_iter().flat_map(|path| path.split('.')) {
        let next = level.entry(step.to_owned()).or_insert_with(|| Tree::Inner(BTreeMap::new()));
        let Tree::Inner(inner) = next else {
            return Err(KeyvalError::Mixed(step.to_owned()));
        };
        level = inner;
    }
    match level.insert(name.to_owned(), Tree::Leaf(value)) {
        Some(Tree::Inner(_)) => Err(KeyvalError::Mixed(name.to_owned())),
        Some(Tree::Leaf(_)) | None => Ok(()),
    }
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

fn finish(tree: Tree, path: &str) -> Result<Value, KeyvalError> {
    let inner = match tree {
        Tree::Leaf(text) => return Ok(Value::String(text)),
        Tree::Inner(inner) => inner,
    };
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let numbers = inner.keys().filter(|key| is_number(key)).count();
    if numbers == 0 {
        let members = inner.into_iter().map(|(name, tree)| Ok((name.clone(), finish(tree, &below(&name))?)));
        return members.collect::<Result<Map<_, _>, _>>().map(Value::Object);
    }
    if numbers < inner.len() {
        return Err(KeyvalError::Mixed(path.to_owned()));
    }
    let mut inner = inner;
    let elements = (0..numbers).map(|index| {
        let name = index.to_string();
        let tree = inner.remove(&name).ok_or_else(|| KeyvalError::Gap(below(&name)))?;
        finish(tree, &below(&name))
    });
    elements.collect::<Result<_, _>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Result<Value, String> {
        let argument = pairs(text, Some("type")).and_then(Argument::from_pairs);
        argument.map(|argument| argument.value).map_err(|error| error.desc().to_owned())
    }

    #[test]
    fn dots_nest_and_numbers_make_lists() {
        let tree = json!({"a": {"b": "1", "c": "2"}, "l": ["x", {"k": "y"}]});
        assert_eq!(parsed("a.b=1,a.c=2,l.1.k=y,l.0=x"), Ok(tree));
    }

    #[test]
    fn the_first_value_may_go_without_its_key() {
        assert_eq!(parsed("nbd,id=x"), Ok(json!({"type": "nbd", "id": "x"})));
        assert_eq!(parsed("id=x,nbd"), Err("Expected '=' after parameter 'nbd'".into()));
    }

    #[test]
    fn a_doubled_comma_is_a_comma() {
        assert_eq!(parsed("file=a,,b,,,id=x=y"), Ok(json!({"file": "a,b,", "id": "x=y"})));
    }

    #[test]
    fn the_last_of_several_values_counts() {
        assert_eq!(parsed("id=a,id=b"), Ok(json!({"id": "b"})));
        assert_eq!(parsed("id="), Ok(json!({"id": ""})));
        assert_eq!(parsed(""), Ok(json!({})));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert_eq!(parsed("=x"), Err("Invalid parameter ''".into()));
        assert_eq!(parsed("a..b=x"), Err("Invalid parameter 'a..b'".into()));
        assert_eq!(parsed("0=x"), Err("Invalid parameter '0'".into()));
        assert_eq!(parsed("a=1,a.b=2"), Err("Parameters 'a.*' used inconsistently".into()));
        assert_eq!(parsed("a.b=2,a=1"), Err("Parameters 'a.*' used inconsistently".into()));
        assert_eq!(parsed("l.0=1,l.x=2"), Err("Parameters 'l.*' used inconsistently".into()));
        assert_eq!(parsed("l.1=1"), Err("Parameter 'l.0' missing".into()));
        assert!(parsed(&format!("{}a=1", "a.".repeat(100_000))).is_err());
    }
}
