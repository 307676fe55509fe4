//! Tokens to a value: a stack of the objects and arrays that are open, never recursion.

use std::mem::replace;

use serde_json::{Map, Value};

use super::SyntaxError;
use super::lexer::{Shape, Token};
use super::scalar;

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

    /// Adds a token of this text. Returns the value if that completes it.
    pub(super) fn push(&mut self, token: Token, text: &[u8]) -> Result<Option<Value>, SyntaxError> {
        // That a value may stand here matters before what it is.
        match token {
            Token::Open(_) | Token::String | Token::Number | Token::Keyword => {
                self.open.last().map_or(Ok(()), Container::expect_value)?;
            }
            Token::Close(_) | Token::Colon | Token::Comma => {}
        }
        match token {
            Token::Open(shape) => {
                self.open.push(Container::new(shape));
                Ok(None)
            }
            Token::Close(shape) => {
                let container = self.open.pop().ok_or(SyntaxError::NotAValue)?;
                let value = container.close(shape)?;
                self.place(value)
            }
            Token::Colon => self.innermost()?.colon(),
            Token::Comma => self.innermost()?.comma(),
            Token::String => self.place(Value::String(scalar::string(text)?)),
            Token::Number => self.place(scalar::number(text)?),
            Token::Keyword => self.place(scalar::keyword(text)?),
        }
    }

    fn place(&mut self, value: Value) -> Result<Option<Value>, SyntaxError> {
        match self.open.last_mut() {
            None => Ok(Some(value)),
            Some(container) => container.put(value).map(|()| None),
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

    fn expect_value(&self) -> Result<(), SyntaxError> {
        match self {
            Self::Array(_, InArray::Separator) => Err(SyntaxError::NoSeparatorInArray),
            Self::Object(_, InObject::Colon(_)) => Err(SyntaxError::NoColon),
            Self::Object(_, InObject::Separator) => Err(SyntaxError::NoSeparatorInObject),
            Self::Array(_, InArray::First | InArray::Element)
            | Self::Object(_, InObject::FirstKey | InObject::Key | InObject::Value(_)) => Ok(()),
        }
    }

    /// Takes a value that was expected.
    fn put(&mut self, value: Value) -> Result<(), SyntaxError> {
        match self {
            Self::Array(elements, state) => {
                elements.push(value);
                *state = InArray::Separator;
            }
            Self::Object(members, state) => match (replace(state, InObject::Separator), value) {
                (InObject::Value(key), value) => {
                    if members.insert(key, value).is_some() {
                        return Err(SyntaxError::DuplicateKey);
                    }
                }
                (_, Value::String(key)) => *state = InObject::Colon(key),
                (_, _) => return Err(SyntaxError::KeyNotAString),
            },
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// One letter per token: brackets, `:`, `,`, and `?` as a word that is none, and anything else as a string.
    fn build(tokens: &str) -> Result<Option<Value>, SyntaxError> {
        let mut tree = Tree::default();
        let mut value = None;
        for token in tokens.chars() {
            let quoted = format!("'{token}'");
            let (token, text) = match token {
                '{' => (Token::Open(Shape::Object), "{"),
                '}' => (Token::Close(Shape::Object), "}"),
                '[' => (Token::Open(Shape::Array), "["),
                ']' => (Token::Close(Shape::Array), "]"),
                ':' => (Token::Colon, ":"),
                ',' => (Token::Comma, ","),
                '1' => (Token::Number, "1"),
                '?' => (Token::Keyword, "nonsense"),
                _ => (Token::String, quoted.as_str()),
            };
            value = tree.push(token, text.as_bytes())?;
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
        for tokens in ["{a}", "{a,", "{ab", "{a]", "{a?", "{a[?"] {
            assert_eq!(build(tokens), Err(SyntaxError::NoColon), "{tokens}");
        }
        for tokens in ["{a:1b", "{a:1]", "{a:1:", "{a:1[", "{a:1?"] {
            assert_eq!(build(tokens), Err(SyntaxError::NoSeparatorInObject), "{tokens}");
        }
        for tokens in ["[11", "[1}", "[1:", "[1{", "[1?"] {
            assert_eq!(build(tokens), Err(SyntaxError::NoSeparatorInArray), "{tokens}");
        }
        for tokens in ["{a:1,a:1", "{a:1,a:[]", "[{a:1,a:1"] {
            assert_eq!(build(tokens), Err(SyntaxError::DuplicateKey), "{tokens}");
        }
        assert_eq!(build("{a:1,a:?"), Err(SyntaxError::Keyword("nonsense".into())));
    }
}
