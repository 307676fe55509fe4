//! Tokens to a value: a stack of the objects and arrays that are open, never recursion.

use std::mem::replace;

use serde_json::{Map, Value};

use super::SyntaxError;
use super::lexer::Shape;

/// A token whose text has been read.
#[derive(Debug)]
pub(super) enum Node {
    Open(Shape),
    Close(Shape),
    Colon,
    Comma,
    Scalar(Value),
}

/// The value that is being built.
#[derive(Debug, Default)]
pub(super) struct Tree {
    open: Vec<Container>,
}

#[derive(Debug)]
enum Container {
    Object(Map<String, Value>, InObject),
    Array(Vec<Value>, InArray),
}

/// What an object waits for.
#[derive(Debug)]
enum InObject {
    FirstKey,
    Key,
    Colon(String),
    Value(String),
    Separator,
}

/// What an array waits for.
#[derive(Debug)]
enum InArray {
    First,
    Element,
    Separator,
}

impl Tree {
    /// Drops what was built, and all but `keep` bytes of the stack.
    pub(super) fn clear(&mut self, keep: usize) {
        self.open.clear();
        self.open.shrink_to(keep / size_of::<Container>());
    }

    /// Adds a token. Returns the value if that completes it.
    pub(super) fn push(&mut self, node: Node) -> Result<Option<Value>, SyntaxError> {
        match node {
            Node::Open(shape) => {
                self.open.push(Container::new(shape));
                Ok(None)
            }
            Node::Close(shape) => {
                let container = self.open.pop().ok_or(SyntaxError::NotAValue)?;
                let value = container.close(shape)?;
                self.place(value)
            }
            Node::Scalar(value) => self.place(value),
            Node::Colon => self.innermost()?.colon(),
            Node::Comma => self.innermost()?.comma(),
        }
    }

    fn place(&mut self, value: Value) -> Result<Option<Value>, SyntaxError> {
        match self.open.last_mut() {
            None => Ok(Some(value)),
            Some(container) => container.put(value),
        }
    }

    fn innermost(&mut self) -> Result<&mut Container, SyntaxError> {
        self.open.last_mut().ok_or(SyntaxError::NotAValue)
    }
}

impl Container {
    fn new(shape: Shape) -> Self {
        match shape {
            Shape::Object => Self::Object(Map::new(), InObject::FirstKey),
            Shape::Array => Self::Array(Vec::new(), InArray::First),
        }
    }

    fn put(&mut self, value: Value) -> Result<Option<Value>, SyntaxError> {
        match self {
            Self::Array(_, InArray::Separator) => return Err(SyntaxError::NoSeparatorInArray),
            Self::Array(elements, state) => {
                elements.push(value);
                *state = InArray::Separator;
            }
            Self::Object(members, state) => match replace(state, InObject::Separator) {
                InObject::FirstKey | InObject::Key => *state = InObject::Colon(new_key(members, value)?),
                InObject::Value(key) => drop(members.insert(key, value)),
                InObject::Colon(_) => return Err(SyntaxError::NoColon),
                InObject::Separator => return Err(SyntaxError::NoSeparatorInObject),
            },
        }
        Ok(None)
    }

    fn colon(&mut self) -> Result<Option<Value>, SyntaxError> {
        match self {
            Self::Object(_, state) => match replace(state, InObject::Separator) {
                InObject::Colon(key) => *state = InObject::Value(key),
                InObject::FirstKey | InObject::Key | InObject::Value(_) => return Err(SyntaxError::NotAValue),
                InObject::Separator => return Err(SyntaxError::NoSeparatorInObject),
            },
            Self::Array(_, InArray::First | InArray::Element) => return Err(SyntaxError::NotAValue),
            Self::Array(_, InArray::Separator) => return Err(SyntaxError::NoSeparatorInArray),
        }
        Ok(None)
    }

    fn comma(&mut self) -> Result<Option<Value>, SyntaxError> {
        match self {
            Self::Object(_, state @ InObject::Separator) => *state = InObject::Key,
            Self::Array(_, state @ InArray::Separator) => *state = InArray::Element,
            Self::Object(_, InObject::Colon(_)) => return Err(SyntaxError::NoColon),
            Self::Object(_, InObject::FirstKey | InObject::Key | InObject::Value(_))
            | Self::Array(_, InArray::First | InArray::Element) => return Err(SyntaxError::NotAValue),
        }
        Ok(None)
    }

    fn close(self, shape: Shape) -> Result<Value, SyntaxError> {
        match (self, shape) {
            (Self::Object(members, InObject::FirstKey | InObject::Separator), Shape::Object) => {
                Ok(Value::Object(members))
            }
            (Self::Array(elements, InArray::First | InArray::Separator), Shape::Array) => Ok(Value::Array(elements)),
            (Self::Object(_, InObject::Colon(_)), _) => Err(SyntaxError::NoColon),
            (Self::Object(_, InObject::Separator), Shape::Array) => Err(SyntaxError::NoSeparatorInObject),
            (Self::Array(_, InArray::Separator), Shape::Object) => Err(SyntaxError::NoSeparatorInArray),
            (Self::Object(_, InObject::FirstKey | InObject::Key | InObject::Value(_)), _)
            | (Self::Array(_, InArray::First | InArray::Element), _) => Err(SyntaxError::NotAValue),
        }
    }
}

fn new_key(members: &Map<String, Value>, value: Value) -> Result<String, SyntaxError> {
    let Value::String(key) = value else {
        return Err(SyntaxError::KeyNotAString);
    };
    if members.contains_key(&key) { Err(SyntaxError::DuplicateKey) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// One letter per token: brackets, `:`, `,`, and anything else as a string.
    fn build(tokens: &str) -> Result<Option<Value>, SyntaxError> {
        let mut tree = Tree::default();
        let mut value = None;
        for token in tokens.chars() {
            value = tree.push(match token {
                '{' => Node::Open(Shape::Object),
                '}' => Node::Close(Shape::Object),
                '[' => Node::Open(Shape::Array),
                ']' => Node::Close(Shape::Array),
                ':' => Node::Colon,
                ',' => Node::Comma,
                '1' => Node::Scalar(json!(1)),
                letter => Node::Scalar(json!(letter.to_string())),
            })?;
        }
        Ok(value)
    }

    #[test]
    fn values_nest() {
        assert_eq!(build("{a:[],b:{},c:[1,[1]]}"), Ok(Some(json!({"a": [], "b": {}, "c": [1, [1]]}))));
        assert_eq!(build("1"), Ok(Some(json!(1))));
        assert_eq!(build("[1,{a:1}"), Ok(None));
    }

    #[test]
    fn each_token_out_of_order_has_its_error() {
        for tokens in ["}", "]", ":", ",", "{]", "[}", "{,", "[,", "{a:}", "{a:,", "{a::", "{:", "[:", "{a:1,}", "[1,]"]
        {
            assert_eq!(build(tokens), Err(SyntaxError::NotAValue), "{tokens}");
        }
        for tokens in ["{1", "{[]", "{{}"] {
            assert_eq!(build(tokens), Err(SyntaxError::KeyNotAString), "{tokens}");
        }
        for tokens in ["{a}", "{a,", "{ab", "{a]"] {
            assert_eq!(build(tokens), Err(SyntaxError::NoColon), "{tokens}");
        }
        for tokens in ["{a:1b", "{a:1]", "{a:1:", "{a:1[]"] {
            assert_eq!(build(tokens), Err(SyntaxError::NoSeparatorInObject), "{tokens}");
        }
        for tokens in ["[11", "[1}", "[1:", "[1{}"] {
            assert_eq!(build(tokens), Err(SyntaxError::NoSeparatorInArray), "{tokens}");
        }
        assert_eq!(build("{a:1,a"), Err(SyntaxError::DuplicateKey));
    }
}
