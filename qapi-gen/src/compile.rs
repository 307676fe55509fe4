//! The stages in their order, from the first file's path to the checked schema.

use std::collections::HashSet;
use std::path::Path;

use crate::check;
use crate::definition::{Findings, Named, Reader, Scope};
use crate::diagnostic::Errors;
use crate::include::{self, Parsed};
use crate::schema::{DefinitionId, Schema};

/// Reads and checks the schema that starts with this file.
///
/// # Errors
/// Everything that is wrong with it: first what cannot be parsed, then what is wrong with single definitions, then
/// what is wrong with how they refer to each other.
pub fn compile(path: impl AsRef<Path>) -> Result<Schema, Errors> {
    let Parsed { sources, definitions, free_form, pragmas, errors } = include::read(path.as_ref());
    if !errors.is_empty() {
        return Err(Errors::new(sources, errors));
    }
    let mut findings = Findings::default();
    let mut named = Vec::with_capacity(definitions.len());
    for (expression, doc) in definitions {
        match Named::new(expression, doc) {
            Ok(definition) => named.push(definition),
            Err(error) => findings.structure.push(error),
        }
    }
    let mut errors = Vec::new();
    let by_name = check::names(&named, &mut errors);
    let scope = Scope::new(&named, &pragmas);
    let mut definitions = Vec::with_capacity(named.len());
    let mut broken = HashSet::new();
    for (id, named) in (0..).map(DefinitionId).zip(&named) {
        let (definition, whole) = Reader::read(id, named, &scope, &mut findings);
        definitions.push(definition);
        if !whole {
            broken.insert(id);
        }
    }
    let schema = Schema { sources, definitions, by_name, free_form };
    let Findings { structure, mut meaning } = findings;
    meaning.extend(check::check(&schema, &broken, &pragmas));
    meaning.sort_by_key(|(id, _)| *id);
    errors.splice(..0, structure);
    errors.extend(meaning.into_iter().map(|(_, error)| error));
    errors.extend(check::documentation(&schema, &broken));
    if errors.is_empty() { Ok(schema) } else { Err(Errors::new(schema.sources, errors)) }
}
