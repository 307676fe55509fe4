//! The schema as Rust: one module per file that defines something, with its types, commands and events.

mod commands;
mod events;
mod holding;
mod layout;
mod markdown;
mod names;
mod recursion;
mod rustdoc;
mod types;
mod unions;

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote;

use crate::diagnostic::{Diagnostic, Errors};
use crate::schema::{Condition, Definition, DefinitionKind, Module, Schema};
use layout::Layout;

/// What becomes of `if` conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// No symbol is known, hence a condition is an error.
    Refuse,
    /// All conditions hold.
    AllHold,
}

/// Generates the code for a schema.
///
/// # Errors
/// The schema has conditions, and they are to be refused.
pub fn generate(schema: &Schema, conditions: Conditions) -> Result<TokenStream, Errors> {
    if conditions == Conditions::Refuse {
        refuse_conditions(schema)?;
    }
    let modules = schema.modules();
    let layout = Layout::new(schema, &modules);
    Ok(modules.iter().map(|module| self::module(&layout, module)).collect())
}

fn module(layout: &Layout<'_>, module: &Module<'_>) -> TokenStream {
    let ident = layout.module(module.file);
    let docs = rustdoc::module(layout.schema, module.file);
    let types = module.definitions.iter().map(|definition| match &definition.kind {
        DefinitionKind::Enum(enumeration) => types::enumeration(layout, definition, enumeration),
        DefinitionKind::Struct(_) => types::structure(layout, definition),
        DefinitionKind::Union(union) => unions::union(layout, definition, union),
        DefinitionKind::Alternate(alternate) => types::alternate(layout, definition, alternate),
        DefinitionKind::Command(_) | DefinitionKind::Event(_) => TokenStream::new(),
    });
    let commands = commands::commands(layout, module);
    let events = events::events(layout, module);
    quote! {
        #docs
        #[allow(deprecated, clippy::large_enum_variant, clippy::too_many_arguments)]
        pub mod #ident {
            #(#types)*
            #commands
            #events
        }
    }
}

fn refuse_conditions(schema: &Schema) -> Result<(), Errors> {
    let conditional = |definition: &&Definition| definition.conditions().next().is_some();
    let Some(first) = schema.definitions().find(conditional) else {
        return Ok(());
    };
    let mut symbols = BTreeSet::new();
    schema.definitions().flat_map(Definition::conditions).for_each(|condition| collect(condition, &mut symbols));
    let symbols = symbols.into_iter().collect::<Vec<_>>().join("', '");
    let error = Diagnostic::new(first.span, format!("'if' conditions on unknown symbols: '{symbols}'"));
    let error = error.in_definition(first.to_string());
    Err(Errors::new(schema.sources().clone(), vec![error]))
}

fn collect<'a>(condition: &'a Condition, symbols: &mut BTreeSet<&'a str>) {
    match condition {
        Condition::Symbol(symbol) => {
            symbols.insert(symbol);
        }
        Condition::Not(operand) => collect(operand, symbols),
        Condition::All(operands) | Condition::Any(operands) => {
            operands.iter().for_each(|operand| collect(operand, symbols));
        }
    }
}
