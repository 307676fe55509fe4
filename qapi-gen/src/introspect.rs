//! What `query-qmp-schema` tells clients of a schema: its commands, its events, and every type these refer to.
//!
//! How a type is called is no part of the protocol, so that enumerations, objects and alternates go by numbers, in the
//! order in which they are first referred to; an array of `x` goes by `[x]`, and built-in types keep their names. What
//! looks the same on the wire is the same: all integers are `int`, and an object has the members of its bases.

mod json;

use std::collections::{HashMap, HashSet};

use crate::schema::{
    Alternate, Branch, Builtin, Command, Condition, Definition, DefinitionId, DefinitionKind, EnumValue, Event,
    Feature, Listed, Members, Schema, Type, TypeId, Union,
};
use crate::source::{FileId, Span};
pub use json::json;

/// Something with the condition under which it exists.
#[derive(Clone, Debug)]
pub struct Conditional<'a, T> {
    /// The condition, if there is any.
    pub guard: Option<Guard<'a>>,
    /// What exists.
    pub item: T,
}

/// A condition and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Guard<'a> {
    /// The condition.
    pub condition: &'a Condition,
    /// The file in which it stands.
    pub file: FileId,
}

/// Things that may each have a condition.
pub type List<'a, T> = Vec<Conditional<'a, T>>;

/// A command, an event or a type.
#[derive(Clone, Debug)]
pub struct Entity<'a> {
    /// The name by which others refer to it.
    pub name: String,
    /// The names of its features.
    pub features: List<'a, &'a str>,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What an [`Entity`] is. Types are referred to by their names.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// A type that the language defines, with what its values are in JSON.
    Builtin(&'static str),
    /// A string out of a list.
    Enum(List<'a, Value<'a>>),
    /// An array of elements of this type.
    Array(String),
    /// An object.
    Object {
        /// The members that it always may have.
        members: List<'a, Member<'a>>,
        /// The further members.
        variants: Option<Variants<'a>>,
    },
    /// One of several types.
    Alternate(List<'a, String>),
    /// What a client may ask.
    Command {
        /// The type of the arguments.
        arg_type: String,
        /// The type of what is returned.
        ret_type: String,
        /// May be executed out-of-band.
        allow_oob: bool,
    },
    /// What a client may be told.
    Event {
        /// The type of the data.
        arg_type: String,
    },
}

/// A value of an enumeration.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    /// The string.
    pub name: &'a str,
    /// The names of its features.
    pub features: List<'a, &'a str>,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub ty: String,
    /// It may be absent.
    pub optional: bool,
    /// The names of its features.
    pub features: List<'a, &'a str>,
}

/// The further members of an object, which depend on one of them.
#[derive(Clone, Debug)]
pub struct Variants<'a> {
    /// The member that decides.
    pub tag: &'a str,
    /// A type for each of its values.
    pub cases: List<'a, Case<'a>>,
}

/// The further members of an object for one value of its tag.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The value.
    pub value: &'a str,
    /// The type that has the members.
    pub ty: String,
}

/// Everything that clients can see of a schema: first the commands and events, then the types.
pub fn introspect(schema: &Schema) -> List<'_, Entity<'_>> {
    let mut walk = Walk { schema, names: HashMap::new(), types: Vec::new(), numbers: 0 };
    let modules = schema.modules();
    let definitions = modules.iter().flat_map(|module| &module.definitions);
    let mut entities: Vec<_> = definitions.filter_map(|definition| walk.exchange(definition)).collect();
    let mut described = 0;
    while let Some(&ty) = walk.types.get(described) {
        entities.extend(walk.describe(ty));
        described += 1;
    }
    entities
}

/// A type that something refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Used {
    /// One that the schema can name.
    Named(Type),
    /// The arguments or the data that a command or an event lists.
    Listed(DefinitionId),
    /// An object without members.
    Empty,
}

struct Walk<'a> {
    schema: &'a Schema,
    names: HashMap<Used, String>,
    /// The types of `names`, in the order in which they were first referred to.
    types: Vec<Used>,
    /// How many of them have a number for a name.
    numbers: usize,
}

impl<'a> Walk<'a> {
    fn exchange(&mut self, definition: &'a Definition) -> Option<Conditional<'a, Entity<'a>>> {
        let kind = match &definition.kind {
            DefinitionKind::Command(Command { data, returns, allow_oob, .. }) => Kind::Command {
                arg_type: self.data(definition, data.as_ref()),
                ret_type: self.refer(returns.map_or(Used::Empty, plain)),
                allow_oob: *allow_oob,
            },
            DefinitionKind::Event(Event { data, .. }) => Kind::Event { arg_type: self.data(definition, data.as_ref()) },
            DefinitionKind::Enum(_)
            | DefinitionKind::Struct(_)
            | DefinitionKind::Union(_)
            | DefinitionKind::Alternate(_) => return None,
        };
        Some(entity(definition, definition.name.clone(), kind))
    }

    /// The name of the type that has the arguments of a command or the data of an event.
    fn data(&mut self, definition: &Definition, data: Option<&Members>) -> String {
        self.refer(match data {
            Some(Members::Of(id)) => plain(Type { id: *id, array: false }),
            Some(Members::Inline(members)) if !members.is_empty() => Used::Listed(definition.id),
            Some(Members::Inline(_)) | None => Used::Empty,
        })
    }

    /// The name of a type, which is described later if this is the first time.
    fn refer(&mut self, used: Used) -> String {
        if let Some(name) = self.names.get(&used) {
            return name.clone();
        }
        self.types.push(used);
        let name = match used {
            Used::Named(Type { id, array: true }) => format!("[{}]", self.refer(plain(Type { id, array: false }))),
            Used::Named(Type { id: TypeId::Builtin(builtin), .. }) if builtin != Builtin::QType => {
                builtin.name().to_owned()
            }
            Used::Named(_) | Used::Listed(_) | Used::Empty => {
                self.numbers += 1;
                (self.numbers - 1).to_string()
            }
        };
        self.names.insert(used, name.clone());
        name
    }

    fn describe(&mut self, used: Used) -> Option<Conditional<'a, Entity<'a>>> {
        let name = self.refer(used);
        match used {
            Used::Named(Type { id, array: true }) => {
                let element = self.refer(plain(Type { id, array: false }));
                let definition = id.definition().and_then(|id| self.schema.definition(id));
                let guard = definition.and_then(|definition| guard(&definition.condition, definition.span));
                Some(Conditional { guard, ..always(name, Kind::Array(element)) })
            }
            Used::Named(Type { id: TypeId::Builtin(builtin), .. }) => Some(always(name, self::builtin(builtin))),
            Used::Named(Type { id: TypeId::Definition(id), .. }) => {
                let definition = self.schema.definition(id)?;
                let kind = self.ty(definition)?;
                Some(entity(definition, name, kind))
            }
            Used::Listed(id) => {
                let definition = self.schema.definition(id)?;
                let guard = guard(&definition.condition, definition.span);
                // The features are those of the command or the event.
                Some(Conditional { guard, ..always(name, self.object(definition, None)) })
            }
            Used::Empty => Some(always(name, Kind::Object { members: Vec::new(), variants: None })),
        }
    }

    fn ty(&mut self, definition: &'a Definition) -> Option<Kind<'a>> {
        Some(match &definition.kind {
            DefinitionKind::Enum(enumeration) => Kind::Enum(enumeration.values.iter().map(value).collect()),
            DefinitionKind::Struct(_) => self.object(definition, None),
            DefinitionKind::Union(union) => self.object(definition, Some(union)),
            DefinitionKind::Alternate(Alternate { branches }) => {
                Kind::Alternate(branches.iter().map(|branch| self.branch(branch, |ty| ty)).collect())
            }
            DefinitionKind::Command(_) | DefinitionKind::Event(_) => return None,
        })
    }

    fn object(&mut self, definition: &'a Definition, union: Option<&'a Union>) -> Kind<'a> {
        let listed = self.schema.members(definition);
        let members = listed.iter().map(|Listed { member, .. }| {
            let (ty, features) = (self.refer(plain(member.ty)), features(&member.features));
            let item = Member { name: &member.name, ty, optional: member.optional, features };
            conditional(&member.condition, member.span, item)
        });
        let members = members.collect();
        let variants = union.map(|union| self.variants(definition, union));
        Kind::Object { members, variants }
    }

    /// The branches, and then the values of the tag that have none.
    fn variants(&mut self, definition: &'a Definition, union: &'a Union) -> Variants<'a> {
        let case = |branch: &'a Branch| self.branch(branch, |ty| Case { value: &branch.name, ty });
        let mut cases: Vec<_> = union.branches.iter().map(case).collect();
        let with_branch: HashSet<_> = union.branches.iter().map(|branch| branch.name.as_str()).collect();
        let values: Vec<_> = match self.schema.discriminator(definition, union) {
            Some(enumeration) => {
                let values = enumeration.values().iter();
                values.map(|value| (value.name.as_str(), guard(&value.condition, value.span))).collect()
            }
            // The only enumeration that is no definition.
            None => Builtin::QTYPES.map(|name| (name, None)).into(),
        };
        let without_branch = values.into_iter().filter(|(name, _)| !with_branch.contains(name));
        cases.extend(without_branch.map(|(value, guard)| {
            let item = Case { value, ty: self.refer(Used::Empty) };
            Conditional { guard, item }
        }));
        Variants { tag: &union.discriminator, cases }
    }

    fn branch<T>(&mut self, branch: &'a Branch, item: impl FnOnce(String) -> T) -> Conditional<'a, T> {
        conditional(&branch.condition, branch.span, item(self.refer(plain(branch.ty))))
    }
}

/// A type as it is on the wire, where integers are just that.
fn plain(ty: Type) -> Used {
    let id = match ty.id {
        TypeId::Builtin(builtin) if matches!(self::builtin(builtin), Kind::Builtin("int")) => {
            TypeId::Builtin(Builtin::Int)
        }
        TypeId::Builtin(_) | TypeId::Definition(_) => ty.id,
    };
    Used::Named(Type { id, ..ty })
}

fn builtin(builtin: Builtin) -> Kind<'static> {
    Kind::Builtin(match builtin {
        Builtin::Str => "string",
        Builtin::Number => "number",
        Builtin::Int
        | Builtin::Int8
        | Builtin::Int16
        | Builtin::Int32
        | Builtin::Int64
        | Builtin::Uint8
        | Builtin::Uint16
        | Builtin::Uint32
        | Builtin::Uint64
        | Builtin::Size => "int",
        Builtin::Bool => "boolean",
        Builtin::Null => "null",
        Builtin::Any => "value",
        Builtin::QType => {
            let values =
                Builtin::QTYPES.map(|name| Conditional { guard: None, item: Value { name, features: Vec::new() } });
            return Kind::Enum(Vec::from(values));
        }
    })
}

fn value(value: &EnumValue) -> Conditional<'_, Value<'_>> {
    let item = Value { name: &value.name, features: features(&value.features) };
    conditional(&value.condition, value.span, item)
}

fn features(features: &[Feature]) -> List<'_, &str> {
    features.iter().map(|Feature { name, span, condition }| conditional(condition, *span, name.as_str())).collect()
}

fn entity<'a>(definition: &'a Definition, name: String, kind: Kind<'a>) -> Conditional<'a, Entity<'a>> {
    let item = Entity { name, features: features(&definition.features), kind };
    conditional(&definition.condition, definition.span, item)
}

fn always(name: String, kind: Kind<'_>) -> Conditional<'_, Entity<'_>> {
    Conditional { guard: None, item: Entity { name, features: Vec::new(), kind } }
}

fn conditional<T>(condition: &Option<Condition>, at: Span, item: T) -> Conditional<'_, T> {
    Conditional { guard: guard(condition, at), item }
}

fn guard(condition: &Option<Condition>, at: Span) -> Option<Guard<'_>> {
    condition.as_ref().map(|condition| Guard { condition, file: at.file })
}
