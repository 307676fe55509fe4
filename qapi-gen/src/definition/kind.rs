//! What each kind of definition consists of.

use super::{Keyword, Reader, Role, Subject};
use crate::name::{self, Licence};
use crate::schema::{Alternate, Branch, Command, DefinitionKind, Enum, EnumValue, Event, Members, Struct, Type, Union};
use crate::value::{Key, Value};

const COMMAND_KEYS: [&str; 10] = [
    "data",
    "returns",
    "boxed",
    "if",
    "features",
    "gen",
    "success-response",
    "allow-oob",
    "allow-preconfig",
    "coroutine",
];

impl<'a> Reader<'a, '_> {
    /// Reads what depends on the keyword.
    pub(super) fn kind(&mut self) -> DefinitionKind {
        let keyword = self.named.keyword;
        let (required, optional): (&[&str], &[&str]) = match keyword {
            Keyword::Enum => (&["enum", "data"], &["if", "features", "prefix"]),
            Keyword::Struct => (&["struct", "data"], &["base", "if", "features"]),
            Keyword::Union => (&["union", "base", "discriminator", "data"], &["if", "features"]),
            Keyword::Alternate => (&["alternate", "data"], &["if", "features"]),
            Keyword::Command => (&["command"], &COMMAND_KEYS),
            Keyword::Event => (&["event"], &["data", "boxed", "if", "features"]),
        };
        let named = self.named;
        self.keys(named.object, named.span, Subject::Definition(keyword), required, optional);
        match keyword {
            Keyword::Enum => DefinitionKind::Enum(self.enumeration()),
            Keyword::Struct => DefinitionKind::Struct(self.structure()),
            Keyword::Union => DefinitionKind::Union(self.union()),
            Keyword::Alternate => DefinitionKind::Alternate(self.alternate()),
            Keyword::Command => DefinitionKind::Command(self.command()),
            Keyword::Event => DefinitionKind::Event(self.event()),
        }
    }

    /// The licence that the pragma `member-name-exceptions` gives to this type.
    fn licence(&self) -> Licence {
        let excepted = self.scope.pragmas.excepts_member_names(self.named.name);
        Licence { uppercase: excepted, underscore: excepted }
    }

    fn key(&self, key: &str) -> Option<&'_ Value> {
        self.named.object.find(key)
    }

    fn enumeration(&mut self) -> Enum {
        let named = self.named;
        let mut values = Vec::new();
        match named.object.find("data").map(|data| (data, data.as_array())) {
            Some((_, Some(elements))) => values.extend(elements.iter().filter_map(|element| self.enum_value(element))),
            Some((data, None)) => self.error(data.span, "'data' must be an array"),
            None => {}
        }
        let prefix = named.object.find("prefix").map(|prefix| (prefix, prefix.as_str()));
        if let Some((prefix, None)) = prefix {
            self.error(prefix.span, "'prefix' must be a string");
        }
        Enum { prefix: prefix.and_then(|(_, prefix)| prefix).map(str::to_owned), values }
    }

    fn enum_value(&mut self, value: &Value) -> Option<EnumValue> {
        let (name, object) = self.named_entry(value, "data", &["if", "features"])?;
        let subject = Subject::Member("data", name);
        self.check_rule(name::value(name, self.licence()), value.span, subject);
        let condition = object.and_then(|object| self.condition(object, subject));
        let features = self.features(object.and_then(|object| object.find("features")));
        Some(EnumValue { name: name.to_owned(), span: value.span, condition, features })
    }

    fn structure(&mut self) -> Struct {
        let named = self.named;
        let licence = self.licence();
        let members = named.object.find("data").map(|data| self.members(data, "data", licence));
        let base = named.object.find("base").and_then(|base| self.type_name(base, Subject::Key("base"), Role::Base));
        Struct { base, members: members.unwrap_or_default() }
    }

    fn union(&mut self) -> Union {
        let named = self.named;
        let licence = self.licence();
        let base = named.object.find("base").map(|base| self.type_or_members(base, "base", Role::Base, licence));
        let discriminator = named.object.find("discriminator").map(|value| (value, value.as_str()));
        if let Some((value, None)) = discriminator {
            self.error(value.span, "'discriminator' requires a string name");
        }
        Union {
            base: base.unwrap_or_else(|| Members::Inline(Vec::new())),
            discriminator: discriminator.and_then(|(_, name)| name).unwrap_or_default().to_owned(),
            branches: self.branches(),
        }
    }

    fn alternate(&mut self) -> Alternate {
        let named = self.named;
        let empty = |data: &&Value| data.as_object().is_some_and(|data| data.members.is_empty());
        if let Some(data) = named.object.find("data").filter(empty) {
            self.error(data.span, "'data' must not be empty");
        }
        Alternate { branches: self.branches() }
    }

    fn branches(&mut self) -> Vec<Branch> {
        let Some(data) = self.named.object.find("data") else {
            return Vec::new();
        };
        let Some(branches) = data.as_object() else {
            self.error(data.span, "'data' must be an object");
            return Vec::new();
        };
        branches.members.iter().filter_map(|(key, value)| self.branch(key, value)).collect()
    }

    fn branch(&mut self, key: &'a Key, value: &'a Value) -> Option<Branch> {
        let subject = Subject::Member("data", &key.name);
        let alternate = self.named.keyword == Keyword::Alternate;
        if alternate {
            self.check_rule(name::lower(&key.name, Licence::default()), key.span, subject);
        }
        let (condition, ty) = match value.as_object() {
            Some(object) => {
                self.keys(object, value.span, subject, &["type"], &["if"]);
                (self.condition(object, subject), object.find("type")?)
            }
            None => (None, value),
        };
        let role = Role::Branch(&key.name);
        let ty = if alternate {
            self.type_or_array(ty, subject, role)?
        } else {
            Type { id: self.type_name(ty, subject, role)?, array: false }
        };
        Some(Branch { name: key.name.clone(), span: key.span, ty, condition })
    }

    /// Reads `data` of a command or an event, and whether it is boxed.
    fn data(&mut self) -> (Option<Members>, bool) {
        let named = self.named;
        let (data, boxed) = (named.object.find("data"), named.object.find("boxed"));
        let is_boxed = boxed.and_then(Value::as_bool).unwrap_or(false);
        if let (true, Some(boxed), None) = (is_boxed, boxed, data) {
            self.error(boxed.span, "'boxed': true requires 'data'");
        }
        let data = data.and_then(|data| {
            if is_boxed && data.as_str().is_none() {
                self.error(data.span, "'data' should be a type name");
                return None;
            }
            Some(self.type_or_members(data, "data", Role::Data(named.keyword), Licence::default()))
        });
        (data, is_boxed)
    }

    fn command(&mut self) -> Command {
        let named = self.named;
        let (data, boxed) = self.data();
        let returns = named.object.find("returns");
        let returns = returns.and_then(|value| self.type_or_array(value, Subject::Key("returns"), Role::Returns));
        let flag = |key: &str, default: bool| self.key(key).and_then(Value::as_bool).unwrap_or(default);
        Command {
            data,
            boxed,
            returns,
            generated: flag("gen", true),
            success_response: flag("success-response", true),
            allow_oob: flag("allow-oob", false),
            allow_preconfig: flag("allow-preconfig", false),
            coroutine: flag("coroutine", false),
        }
    }

    fn event(&mut self) -> Event {
        let (data, boxed) = self.data();
        Event { data, boxed }
    }
}
