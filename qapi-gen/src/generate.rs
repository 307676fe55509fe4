//! The schema as Rust: one module per file that defines something, with its types, commands and events, and what clients
//! are told of it all.

mod commands;
mod conditions;
mod events;
mod external;
mod holding;
mod introspection;
mod layout;
mod names;
mod recursion;
mod rustdoc;
mod types;
mod unions;

use proc_macro2::TokenStream;
use quote::quote;

use crate::diagnostic::Errors;
use crate::schema::{DefinitionKind, Module, Schema};
pub use conditions::Conditions;
pub use external::External;
use layout::Layout;

/// What the generated code has to fit in with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What becomes of `if` conditions.
    pub conditions: Conditions,
    /// The parts of the schema that other crates have included.
    pub externals: Vec<External>,
}

impl From<Conditions> for Options {
    fn from(conditions: Conditions) -> Self {
        Self { conditions, ..Self::default() }
    }
}

/// Generates the code for a schema.
///
/// # Errors
/// The schema has conditions on symbols that are not known, or has none on one that is; or it does not include what
/// another crate is said to have included.
pub fn generate(schema: &Schema, options: &Options) -> Result<TokenStream, Errors> {
    let Options { conditions, externals } = options;
    let foreign = external::modules(schema, externals)?;
    let modules = schema.modules();
    let own = modules.iter().filter(|module| !foreign.contains_key(&module.file));
    conditions.check(schema, own.flat_map(|module| module.definitions.iter().copied()))?;
    let layout = Layout::new(schema, conditions, &foreign);
    let mut code = conditions.module();
    code.extend(modules.iter().map(|module| match foreign.get(&module.file) {
        Some(foreign) => {
            let agreement = layout.agreement(foreign, module);
            let reexport = foreign.reexport(layout.module(module.file));
            quote!(#reexport #agreement)
        }
        None => self::module(&layout, module),
    }));
    code.extend(introspection::introspection(&layout));
    Ok(code)
}

fn module(layout: &Layout<'_>, module: &Module<'_>) -> TokenStream {
    let ident = layout.module(module.file);
    let docs = rustdoc::module(layout.schema, module.file);
    let types = module.definitions.iter().flat_map(|definition| {
        let items = match &definition.kind {
            DefinitionKind::Enum(enumeration) => types::enumeration(layout, definition, enumeration),
            DefinitionKind::Struct(_) => types::structure(layout, definition),
            DefinitionKind::Union(union) => unions::union(layout, definition, union),
            DefinitionKind::Alternate(alternate) => types::alternate(layout, definition, alternate),
            DefinitionKind::Command(_) | DefinitionKind::Event(_) => Vec::new(),
        };
        let cfg = layout.cfg(definition.condition.as_ref());
        items.into_iter().map(move |item| quote!(#cfg #item))
    });
    let commands = commands::commands(layout, module);
    let events = events::events(layout, module);
    let conditions = layout.constants(module);
    quote! {
        #docs
        #[allow(deprecated, unused_variables, clippy::large_enum_variant, clippy::too_many_arguments)]
        pub mod #ident {
            #conditions
            #(#types)*
            #commands
            #events
        }
    }
}
