//! The rules about how definitions fit together: bases, discriminators, branches, clashes, what documentation names.

mod alternate;
mod doc;
mod exchange;
mod object;

pub(crate) use alternate::JsonType;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;

use crate::definition::{Draft, Named, Scope, Unresolved};
use crate::diagnostic::{Diagnostic, Report};
use crate::name;
use crate::pragma::Pragmas;
use crate::schema::{Builtin, Definition, DefinitionId, DefinitionKind, Feature, Schema, TypeId};
use crate::source::Span;

/// What is not right with definitions each by itself.
#[derive(Debug, Default)]
pub struct Flaws<'a> {
    /// Those that lack something that was wrong.
    broken: HashSet<DefinitionId>,
    /// Those of them that may lack a member or a base.
    partial: HashSet<DefinitionId>,
    /// The uses of types that do not exist, in the order of their stages.
    unresolved: HashMap<DefinitionId, Vec<Unresolved<'a>>>,
}

impl<'a> Flaws<'a> {
    /// Takes note of those of a definition.
    pub fn take(&mut self, draft: Draft<'a>) -> Definition {
        let id = draft.definition.id;
        if !draft.whole {
            self.broken.insert(id);
        }
        if !draft.members_whole {
            self.partial.insert(id);
        }
        if !draft.unresolved.is_empty() {
            self.unresolved.insert(id, draft.unresolved);
        }
        draft.definition
    }
}

/// Refuses a second definition of a name. Returns the definitions by name.
pub fn names(definitions: &[Named<'_>], errors: &mut Report) -> HashMap<String, DefinitionId> {
    let mut by_name: HashMap<String, DefinitionId> = HashMap::new();
    for (id, named) in (0..).map(DefinitionId).zip(definitions) {
        let name = named.name();
        if Builtin::from_name(name).is_some() {
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

/// Checks a schema whose definitions have these flaws each by itself.
pub fn check(schema: &Schema, scope: &Scope<'_>, pragmas: &Pragmas, flaws: Flaws<'_>, errors: &mut Report) {
    let mut checker = Checker { schema, scope, pragmas, flaws, errors, objects: HashMap::new() };
    for definition in schema.definitions() {
        checker.definition(definition);
    }
    for definition in schema.definitions() {
        checker.superfluous_documentation(definition);
    }
    errors_of_features(schema).into_iter().for_each(|error| errors.push(error));
}

/// Generated C code keeps features in a word of 64 bits, the two special ones included.
fn errors_of_features(schema: &Schema) -> Option<Diagnostic> {
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

struct Checker<'a, 'c> {
    schema: &'a Schema,
    scope: &'c Scope<'c>,
    pragmas: &'c Pragmas,
    flaws: Flaws<'c>,
    errors: &'c mut Report,
    /// The members of object types as far as they are known.
    objects: HashMap<DefinitionId, object::State<'a>>,
}

impl<'a> Checker<'a, '_> {
    fn definition(&mut self, definition: &'a Definition) {
        self.unresolved(definition, Unresolved::ARRAYS..=Unresolved::ARRAYS);
        match &definition.kind {
            DefinitionKind::Enum(enumeration) => {
                self.type_features(definition);
                let mut seen = HashMap::new();
                for value in &enumeration.values {
                    if let Some(first) = seen.insert(name::folded(&value.name), value) {
                        let message = format!("value '{}' collides with value '{}'", value.name, first.name);
                        self.errors.push(blame(definition, value.span, message).after(first.span));
                    }
                }
            }
            DefinitionKind::Struct(_) | DefinitionKind::Union(_) => self.object(definition),
            DefinitionKind::Alternate(alternate) => {
                self.type_features(definition);
                self.alternate(definition, alternate);
            }
            DefinitionKind::Command(command) => {
                self.features(definition, &definition.features);
                self.command(definition, command);
            }
            DefinitionKind::Event(event) => {
                self.features(definition, &definition.features);
                self.event(definition, event);
            }
        }
        self.unresolved(definition, Unresolved::BASE..=usize::MAX);
        if !self.is_broken(definition) {
            self.undocumented_members(definition);
        }
    }

    /// Reports the uses of types that do not exist, if their stages are among these.
    fn unresolved(&mut self, definition: &Definition, stages: RangeInclusive<usize>) {
        let Some(uses) = self.flaws.unresolved.get_mut(&definition.id) else {
            return;
        };
        let start = uses.partition_point(|unresolved| unresolved.stage() < *stages.start());
        let end = uses.partition_point(|unresolved| unresolved.stage() <= *stages.end());
        for unresolved in uses.drain(start..end) {
            self.errors.push_with(|| self.scope.unknown(definition, &unresolved));
        }
    }

    fn is_broken(&self, definition: &Definition) -> bool {
        self.flaws.broken.contains(&definition.id)
    }

    /// Checks the features of a type, which cannot be special ones.
    fn type_features(&mut self, definition: &Definition) {
        self.features(definition, &definition.features);
        let special = |feature: &&Feature| matches!(feature.name.as_str(), "deprecated" | "unstable");
        if let Some(feature) = definition.features.iter().find(special) {
            self.error(definition, feature.span, format!("feature '{}' is not supported for types", feature.name));
        }
    }

    fn features(&mut self, definition: &Definition, features: &[Feature]) {
        let mut seen = HashMap::new();
        for feature in features {
            if let Some(first) = seen.insert(name::folded(&feature.name), feature) {
                let message = format!("feature '{}' collides with feature '{}'", feature.name, first.name);
                self.errors.push(blame(definition, feature.span, message).after(first.span));
            }
        }
    }

    fn error(&mut self, definition: &Definition, place: Span, message: impl Into<String>) {
        self.errors.push(blame(definition, place, message));
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
