//! The schema as Rust: one module per file that defines something, with its types, commands and events.

mod commands;
mod events;
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
use crate::schema::{Condition, DefinitionKind, Module, Schema};
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
    let types = module.definitions.iter().map(|&(id, definition)| match &definition.kind {
        DefinitionKind::Enum(enumeration) => types::enumeration(layout, id, definition, enumeration),
        DefinitionKind::Struct(_) => types::structure(layout, id, definition),
        DefinitionKind::Union(union) => unions::union(layout, id, definition, union),
        DefinitionKind::Alternate(alternate) => types::alternate(layout, id, definition, alternate),
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
    let mut errors = Vec::new();
    for definition in schema.definitions() {
        let mut symbols = BTreeSet::new();
        definition.conditions().for_each(|condition| collect(condition, &mut symbols));
        if !symbols.is_empty() {
            let symbols: Vec<_> = symbols.into_iter().collect();
            let message = format!("nothing is known about the condition '{}'", symbols.join("', '"));
            errors.push(Diagnostic::new(definition.span, message).in_definition(definition.to_string()));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Errors::new(schema.sources().clone(), errors)) }
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
