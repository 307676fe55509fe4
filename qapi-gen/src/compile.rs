//! The stages in their order, from the first file's path to the checked schema.

use std::path::Path;

use crate::check;
use crate::definition::{Named, Reader, Scope};
use crate::diagnostic::Errors;
use crate::include::{self, Parsed};
use crate::schema::{DefinitionId, Schema};

/// Reads and checks the schema that starts with this file.
///
/// # Errors
/// Everything that is wrong with it: first what cannot be parsed, then what is wrong with single definitions, then
/// what is wrong with how they refer to each other. That is the order in which QEMU's compiler looks, which stops at
/// the first error.
pub fn compile(path: impl AsRef<Path>) -> Result<Schema, Errors> {
    let Parsed { sources, definitions: expressions, free_form, pragmas, complete, mut errors } =
        include::read(path.as_ref());
    let named = || expressions.iter().map(|(expression, documentation)| Named::new(expression, documentation));
    let with_name: Vec<_> = named().filter_map(Result::ok).collect();
    let scope = Scope::new(&with_name, &pragmas, complete);
    let mut definitions = Vec::with_capacity(with_name.len());
    let mut flaws = check::Flaws::default();
    let mut ids = (0..).map(DefinitionId);
    for ((expression, _), named) in expressions.iter().zip(named()) {
        match named {
            Ok(named) => {
                let Some(id) = ids.next() else { break };
                let draft = Reader::read(id, named, &scope, &mut errors);
                definitions.push(flaws.take(draft));
            }
            Err(nameless) => errors.push_with(|| nameless.error(&expression.object)),
        }
    }
    let by_name = check::names(&with_name, &mut errors);
    let schema = Schema { sources, definitions, by_name, free_form };
    check::check(&schema, &scope, &pragmas, flaws, &mut errors);
    if errors.count() == 0 { Ok(schema) } else { Err(Errors::new(schema.sources, errors)) }
}
