//! The schema's text as a tree: objects, arrays, strings and booleans, each with its place.

use crate::source::Span;

/// A value of the JSON dialect.
#[derive(Clone, Debug)]
pub struct Value {
    /// What it is.
    pub kind: ValueKind,
    /// Where it starts.
    pub span: Span,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum ValueKind {
    /// `{ 'key': value, ... }`
    Object(Object),
    /// `[ value, ... ]`
    Array(Vec<Value>),
    /// `'text'`
    String(String),
    /// `true` or `false`
    Boolean(bool),
}

/// The members of an object, in their order, each key once.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The members.
    pub members: Vec<(Key, Value)>,
}

/// The key of an object's member.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

impl Object {
    /// The value of a key. Objects that are looked into have few keys.
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.members.iter().find_map(|(key, value)| (key.name == name).then_some(value))
    }
}

impl Value {
    /// The text of a string.
    pub const fn as_str(&self) -> Option<&str> {
        if let ValueKind::String(text) = &self.kind { Some(text.as_str()) } else { None }
    }

    /// The elements of an array.
    pub const fn as_array(&self) -> Option<&[Self]> {
        if let ValueKind::Array(elements) = &self.kind { Some(elements.as_slice()) } else { None }
    }

    /// The members of an object.
    pub const fn as_object(&self) -> Option<&Object> {
        if let ValueKind::Object(object) = &self.kind { Some(object) } else { None }
    }

    /// The truth value of a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        if let ValueKind::Boolean(boolean) = self.kind { Some(boolean) } else { None }
    }
}
