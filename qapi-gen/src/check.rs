//! The rules about how definitions fit together: bases, discriminators, branches, clashes, what documentation names.

mod alternate;
mod doc;
mod exchange;
mod object;

pub(crate) use alternate::JsonType;

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::definition::Named;
use crate::diagnostic::Diagnostic;
use crate::name;
use crate::pragma::Pragmas;
use crate::schema::{Definition, DefinitionId, DefinitionKind, Feature, Schema, TypeId};
use crate::source::Span;

/// Refuses a second definition of a name. Returns the definitions by name.
pub fn names(definitions: &[Named], errors: &mut Vec<Diagnostic>) -> HashMap<String, DefinitionId> {
    let mut by_name: HashMap<String, DefinitionId> = HashMap::new();
    for (id, named) in (0..).map(DefinitionId).zip(definitions) {
        let name = named.name();
        if crate::schema::Builtin::from_name(name).is_some() {
            let message = format!("built-in type '{name}' is already defined");
            errors.push(Diagnostic::new(named.span(), message).in_definition(named.to_string()));
        } else if let Some(first) = by_name.get(name).and_then(|first| definitions.get(first.index())) {
            let error = Diagnostic::new(named.span(), format!("'{name}' is already defined"));
            let error = error.note(first.span(), "previous definition");
            errors.push(error.in_definition(named.to_string()));
        } else {
            by_name.insert(name.to_owned(), id);
        }
    }
    by_name
}

/// Checks a schema whose definitions are right each by itself, except for those in `broken`.
pub fn check(schema: &Schema, broken: &HashSet<DefinitionId>, pragmas: &Pragmas) -> Vec<(DefinitionId, Diagnostic)> {
    let mut checker = Checker { schema, broken, pragmas, errors: Vec::new(), objects: HashMap::new() };
    for definition in &schema.definitions {
        checker.definition(definition);
    }
    checker.errors
}

/// Checks what documents members that do not exist, and counts the features.
pub fn documentation(schema: &Schema, broken: &HashSet<DefinitionId>) -> Vec<Diagnostic> {
    let whole = schema.definitions().filter(|definition| !broken.contains(&definition.id));
    let mut errors: Vec<_> = whole.flat_map(doc::superfluous).collect();
    errors.extend(feature_count(schema));
    errors
}

/// Generated C code keeps features in a word of 64 bits, the two special ones included.
fn feature_count(schema: &Schema) -> Option<Diagnostic> {
    let mut seen = HashSet::from(["deprecated", "unstable"]);
    let features =
        schema.definitions().flat_map(|definition| definition.all_features().map(move |feature| (definition, feature)));
    let mut new = features.filter(|(_, feature)| seen.insert(&feature.name));
    let (definition, feature) = new.nth(62)?;
    Some(blame(definition, feature.span, "more than 64 features in one schema"))
}

fn blame(definition: &Definition, place: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::within(definition.span, place, message).in_definition(definition.to_string())
}

struct Checker<'a> {
    schema: &'a Schema,
    broken: &'a HashSet<DefinitionId>,
    pragmas: &'a Pragmas,
    errors: Vec<(DefinitionId, Diagnostic)>,
    /// The members of object types as far as they are known.
    objects: HashMap<DefinitionId, object::State<'a>>,
}

impl<'a> Checker<'a> {
    fn definition(&mut self, definition: &'a Definition) {
        self.features(definition, &definition.features);
        let type_features = match &definition.kind {
            DefinitionKind::Enum(enumeration) => {
                let mut seen = HashMap::new();
                for value in &enumeration.values {
                    if let Some(first) = seen.insert(name::folded(&value.name), value) {
                        let message = format!("value '{}' collides with value '{}'", value.name, first.name);
                        self.error(definition, value.span, message);
                    }
                    self.features(definition, &value.features);
                }
                true
            }
            DefinitionKind::Struct(_) | DefinitionKind::Union(_) => {
                self.object(definition);
                true
            }
            DefinitionKind::Alternate(alternate) => {
                self.alternate(definition, alternate);
                true
            }
            DefinitionKind::Command(command) => {
                self.command(definition, command);
                false
            }
            DefinitionKind::Event(event) => {
                self.event(definition, event);
                false
            }
        };
        let special = |feature: &&Feature| matches!(feature.name.as_str(), "deprecated" | "unstable");
        if let Some(feature) = definition.features.iter().filter(|_| type_features).find(special) {
            self.error(definition, feature.span, format!("feature '{}' is not supported for types", feature.name));
        }
        if !self.broken.contains(&definition.id) {
            self.undocumented_members(definition);
        }
    }

    fn features(&mut self, definition: &Definition, features: &[Feature]) {
        let mut seen = HashMap::new();
        for feature in features {
            if let Some(first) = seen.insert(name::folded(&feature.name), feature) {
                let message = format!("feature '{}' collides with feature '{}'", feature.name, first.name);
                self.error(definition, feature.span, message);
            }
        }
    }

    fn error(&mut self, definition: &Definition, place: Span, message: impl Into<String>) {
        self.errors.push((definition.id, blame(definition, place, message)));
    }

    fn describe(&self, id: TypeId) -> Described<'a> {
        match id {
            TypeId::Builtin(builtin) => Described::Builtin(builtin.name()),
            TypeId::Definition(id) => Described::Definition(self.schema.definition(id)),
        }
    }
}

/// How a type is spoken of: `built-in type 'int'`, `struct type 'Foo'`.
enum Described<'a> {
    Builtin(&'static str),
    Definition(Option<&'a Definition>),
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "built-in type '{name}'"),
            Self::Definition(Some(definition)) => {
                write!(f, "{} type '{}'", definition.kind.keyword(), definition.name)
            }
            Self::Definition(None) => f.write_str("unknown type"),
        }
    }
}
