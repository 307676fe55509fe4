//! What `query-qmp-schema` answers: a schema's commands, events and types as constants, which generated code fills in.
//!
//! The names are those of `introspect.json`. What does not hold, because of a condition in the schema, is left out when
//! the answer is written.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// What clients are told of a schema.
#[derive(Debug)]
pub struct Introspection(pub List<Entity>);

/// Things that may each have a condition.
pub type List<T> = &'static [When<T>];

/// Something, and whether it exists.
#[derive(Debug)]
pub struct When<T>(pub bool, pub T);

/// A command, an event or a type: the name by which others refer to it, the names of its features, and what it is.
#[derive(Debug)]
pub struct Entity(pub &'static str, pub List<&'static str>, pub Kind);

/// What an [`Entity`] is. Types are referred to by their names.
#[derive(Debug)]
pub enum Kind {
    /// A type that the language defines, with what its values are in JSON.
    Builtin(&'static str),
    /// A string out of a list.
    Enum(List<Value>),
    /// An array of elements of this type.
    Array(&'static str),
    /// An object, with the members that it always may have and the further ones.
    Object(List<Member>, Option<Variants>),
    /// One of several types.
    Alternate(List<Alternative>),
    /// What a client may ask: the types of the arguments and of what is returned, and whether it may be executed
    /// out-of-band.
    Command(&'static str, &'static str, bool),
    /// What a client may be told, with the type of the data.
    Event(&'static str),
}

/// A value of an enumeration: the string, and the names of its features.
#[derive(Debug)]
pub struct Value(pub &'static str, pub List<&'static str>);

/// A member of an object: its name, its type, whether it may be absent, and the names of its features.
#[derive(Debug)]
pub struct Member(pub &'static str, pub &'static str, pub bool, pub List<&'static str>);

/// The further members of an object: the name of the member that decides, and the types for each of its values.
#[derive(Debug)]
pub struct Variants(pub &'static str, pub List<Case>);

/// The further members of an object for one value of its tag: the value, and the type that has the members.
#[derive(Debug)]
pub struct Case(pub &'static str, pub &'static str);

/// A type that an alternate may take.
#[derive(Debug)]
pub struct Alternative(pub &'static str);

impl Serialize for Introspection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Each(self.0, |entity| entity).serialize(serializer)
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(name, features, kind) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("meta-type", kind.meta_type())?;
        serialize_features(&mut map, features)?;
        match kind {
            Kind::Builtin(json_type) => map.serialize_entry("json-type", json_type)?,
            Kind::Enum(values) => {
                map.serialize_entry("members", &Each(values, |value| value))?;
                map.serialize_entry("values", &Each(values, |Value(name, _)| name))?;
            }
            Kind::Array(element_type) => map.serialize_entry("element-type", element_type)?,
            Kind::Object(members, variants) => {
                map.serialize_entry("members", &Each(members, |member| member))?;
                if let Some(Variants(tag, cases)) = variants {
                    map.serialize_entry("tag", tag)?;
                    map.serialize_entry("variants", &Each(cases, |case| case))?;
                }
            }
            Kind::Alternate(types) => map.serialize_entry("members", &Each(types, |alternative| alternative))?,
            Kind::Command(arg_type, ret_type, allow_oob) => {
                map.serialize_entry("arg-type", arg_type)?;
                map.serialize_entry("ret-type", ret_type)?;
                if *allow_oob {
                    map.serialize_entry("allow-oob", allow_oob)?;
                }
            }
            Kind::Event(arg_type) => map.serialize_entry("arg-type", arg_type)?,
        }
        map.end()
    }
}

impl Kind {
    const fn meta_type(&self) -> &'static str {
        match self {
            Self::Builtin(_) => "builtin",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Object(..) => "object",
            Self::Alternate(_) => "alternate",
            Self::Command(..) => "command",
            Self::Event(_) => "event",
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(name, features) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        serialize_features(&mut map, features)?;
        map.end()
    }
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(name, ty, optional, features) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("type", ty)?;
        if *optional {
            map.serialize_entry("default", &())?;
        }
        serialize_features(&mut map, features)?;
        map.end()
    }
}

impl Serialize for Case {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(value, ty) = self;
        serializer.collect_map([("case", value), ("type", ty)])
    }
}

impl Serialize for Alternative {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("type", self.0)])
    }
}

fn serialize_features<M: SerializeMap>(map: &mut M, features: List<&'static str>) -> Result<(), M::Error> {
    if features.is_empty() { Ok(()) } else { map.serialize_entry("features", &Each(features, |name| name)) }
}

/// What exists of a list, or a part of each.
struct Each<T: 'static, U: 'static>(List<T>, fn(&'static T) -> &'static U);

impl<T, U: Serialize> Serialize for Each<T, U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let exist = self.0.iter().filter(|When(exists, _)| *exists);
        serializer.collect_seq(exist.map(|When(_, item)| (self.1)(item)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_value};

    const FEATURES: List<&str> = &[When(false, "absent"), When(true, "deprecated")];

    #[test]
    fn what_does_not_exist_is_left_out() {
        let values = &[When(true, Value("a", FEATURES)), When(false, Value("b", &[]))];
        let members = &[When(true, Member("x", "int", true, FEATURES)), When(false, Member("y", "int", false, &[]))];
        let variants = Variants("x", &[When(true, Case("a", "3")), When(false, Case("b", "4"))]);
        let types = &[When(false, Alternative("int")), When(true, Alternative("str"))];
        let entities = [
            When(false, Entity("0", &[], Kind::Array("int"))),
            When(true, Entity("1", FEATURES, Kind::Enum(values))),
            When(true, Entity("2", &[], Kind::Object(members, Some(variants)))),
            When(true, Entity("3", &[], Kind::Alternate(types))),
        ];
        let introspection = Introspection(Box::leak(Box::new(entities)));
        assert_eq!(
            to_value(&introspection).expect("serialisable"),
            json!([
                {
                    "name": "1", "meta-type": "enum", "features": ["deprecated"],
                    "members": [{ "name": "a", "features": ["deprecated"] }], "values": ["a"],
                },
                {
                    "name": "2", "meta-type": "object",
                    "members": [{ "name": "x", "type": "int", "default": null, "features": ["deprecated"] }],
                    "tag": "x", "variants": [{ "case": "a", "type": "3" }],
                },
                { "name": "3", "meta-type": "alternate", "members": [{ "type": "str" }] },
            ])
        );
    }
}
