//! `if` conditions as `cfg` predicates of the crate that includes the schema.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::external::Foreign;
use super::layout::Layout;
use crate::diagnostic::{Diagnostic, Errors};
use crate::introspect::Guard;
use crate::schema::{Condition, Definition, DefinitionKind, Module, Schema};
use crate::suggest;

/// What becomes of `if` conditions.
#[derive(Clone, Debug)]
pub enum Conditions {
    /// The symbols that are known, each with its `cfg` predicate, such as `target_os = "linux"`.
    Cfg(BTreeMap<String, TokenStream>),
    /// All conditions hold.
    AllHold,
}

/// No symbol is known.
impl Default for Conditions {
    fn default() -> Self {
        Self::Cfg(BTreeMap::new())
    }
}

impl Conditions {
    /// Makes sure that every symbol which these definitions need is known, and every known one needed.
    ///
    /// # Errors
    /// The unknown symbols, or one that is known but not needed.
    pub fn check<'a>(&self, schema: &Schema, definitions: impl Iterator<Item = &'a Definition>) -> Result<(), Errors> {
        let Self::Cfg(known) = self else {
            return Ok(());
        };
        let mut needed = BTreeSet::new();
        let mut first = None;
        for definition in definitions {
            let conditions = conditions(schema, definition);
            let symbols: BTreeSet<_> = conditions.into_iter().flat_map(Condition::symbols).collect();
            let unknown = symbols.iter().any(|&symbol| !known.contains_key(symbol));
            first = first.or_else(|| unknown.then_some(definition));
            needed.extend(symbols);
        }
        if let Some(first) = first {
            let unknown: Vec<_> = needed.into_iter().filter(|&symbol| !known.contains_key(symbol)).collect();
            let message = format!("'if' conditions on unknown symbols: '{}'", unknown.join("', '"));
            return Err(error(schema, Diagnostic::new(first.span, message).in_definition(first.to_string())));
        }
        match known.keys().find(|known| !needed.contains(known.as_str())) {
            Some(unused) => {
                let message = format!("no 'if' condition has the symbol '{unused}'");
                let help = suggest::nearest(unused, needed);
                Err(error(schema, Diagnostic::global(message).suggest(help)))
            }
            None => Ok(()),
        }
    }

    /// The module with a constant for each symbol.
    pub fn module(&self) -> TokenStream {
        let Self::Cfg(known) = self else {
            return TokenStream::new();
        };
        if known.is_empty() {
            return TokenStream::new();
        }
        let constants = known.iter().map(|(symbol, predicate)| {
            let docs = format!(" Whether `{symbol}` is defined.");
            let ident = Ident::new(symbol, Span::call_site());
            quote!(#[doc = #docs] pub const #ident: bool = cfg!(#predicate);)
        });
        quote! {
            /// The symbols of `if` conditions, as this crate is configured.
            pub mod conditions { #(#constants)* }
        }
    }

    fn predicate(&self, condition: &Condition) -> TokenStream {
        let all = |conditions: &[Condition]| -> Vec<_> {
            conditions.iter().map(|condition| self.predicate(condition)).collect()
        };
        match (condition, self) {
            (_, Self::AllHold) => quote!(true),
            (Condition::Symbol(symbol), Self::Cfg(known)) => known.get(symbol).cloned().unwrap_or_default(),
            (Condition::Not(operand), Self::Cfg(_)) => {
                let operand = self.predicate(operand);
                quote!(not(#operand))
            }
            (Condition::All(operands), Self::Cfg(_)) => {
                let operands = all(operands);
                quote!(all(#(#operands),*))
            }
            (Condition::Any(operands), Self::Cfg(_)) => {
                let operands = all(operands);
                quote!(any(#(#operands),*))
            }
        }
    }
}

impl Layout<'_> {
    /// The attribute for what exists under a condition: `#[cfg(...)]`.
    pub fn cfg(&self, condition: Option<&Condition>) -> Option<TokenStream> {
        self.predicate(condition).map(|predicate| quote!(#[cfg(#predicate)]))
    }

    /// What lets the code of other crates find the constants for the conditions of a file, through whichever crates
    /// its module came to them.
    pub fn constants(&self, module: &Module<'_>) -> TokenStream {
        let conditional = module.definitions.iter().any(|definition| definition.conditions().next().is_some());
        match self.conditions {
            Conditions::Cfg(_) if conditional => quote!(
                #[doc(hidden)]
                pub use super::conditions;
            ),
            Conditions::Cfg(_) | Conditions::AllHold => TokenStream::new(),
        }
    }

    /// Makes sure that the symbols in the conditions of another crate's file mean there what they mean here, where members
    /// are inherited from it.
    pub fn agreement(&self, Foreign { path, module: theirs }: &Foreign<'_>, module: &Module<'_>) -> TokenStream {
        let Conditions::Cfg(known) = self.conditions else {
            return TokenStream::new();
        };
        let conditions = module.definitions.iter().flat_map(|definition| definition.conditions());
        let symbols: BTreeSet<_> = conditions.flat_map(Condition::symbols).collect();
        let shared = symbols.into_iter().filter(|&symbol| known.contains_key(symbol)).map(|symbol| {
            let ident = Ident::new(symbol, Span::call_site());
            let differs = format!("`{symbol}` is not what it is in the other crate");
            quote!(
                const _: () = assert!(conditions::#ident == #path::#theirs::conditions::#ident, #differs);
            )
        });
        shared.collect()
    }

    /// Whether something exists, as a constant expression in the root of the generated code.
    pub fn holds(&self, guard: Option<Guard<'_>>) -> TokenStream {
        match (self.conditions, guard) {
            (Conditions::AllHold, _) | (Conditions::Cfg(_), None) => quote!(true),
            (Conditions::Cfg(_), Some(Guard { condition, file })) => {
                let path = self.foreign.get(&file).map(|Foreign { path, module }| quote!(#path::#module::));
                constant(condition, &path)
            }
        }
    }

    /// The predicate of a condition, unless it holds in any case.
    pub fn predicate(&self, condition: Option<&Condition>) -> Option<TokenStream> {
        match self.conditions {
            Conditions::AllHold => None,
            Conditions::Cfg(_) => condition.map(|condition| self.conditions.predicate(condition)),
        }
    }
}

/// A condition over the constants of the crate that included the file in which it stands.
fn constant(condition: &Condition, path: &Option<TokenStream>) -> TokenStream {
    let operand = |operand: &Condition| {
        let inner = constant(operand, path);
        match operand {
            Condition::Symbol(_) | Condition::Not(_) => inner,
            Condition::All(operands) | Condition::Any(operands) if operands.len() == 1 => inner,
            Condition::All(_) | Condition::Any(_) => quote!((#inner)),
        }
    };
    match condition {
        Condition::Symbol(symbol) => {
            let ident = Ident::new(symbol, Span::call_site());
            quote!(#path conditions::#ident)
        }
        Condition::Not(negated) => {
            let negated = operand(negated);
            quote!(!#negated)
        }
        Condition::All(all) => {
            let operands = all.iter().map(operand);
            quote!(#(#operands)&&*)
        }
        Condition::Any(any) => {
            let operands = any.iter().map(operand);
            quote!(#(#operands)||*)
        }
    }
}

/// The conditions that the code of a definition depends on: besides its own those on inherited members and on the
/// values of a discriminator.
fn conditions<'a>(schema: &'a Schema, definition: &'a Definition) -> Vec<&'a Condition> {
    let members: Vec<_> = schema.members(definition).into_iter().map(|listed| listed.member).collect();
    let features = members.iter().flat_map(|member| &member.features).filter_map(|feature| feature.condition.as_ref());
    let inherited = members.iter().filter_map(|member| member.condition.as_ref()).chain(features);
    let tag = match &definition.kind {
        DefinitionKind::Union(union) => schema.discriminator(definition, union),
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Alternate(_)
        | DefinitionKind::Command(_)
        | DefinitionKind::Event(_) => None,
    };
    let values = tag.map(Definition::values).unwrap_or_default().iter().filter_map(|value| value.condition.as_ref());
    definition.conditions().chain(inherited).chain(values).collect()
}

fn error(schema: &Schema, diagnostic: Diagnostic) -> Errors {
    Errors::new(schema.sources().clone(), vec![diagnostic])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_that_no_condition_has_is_refused() {
        let schema = crate::compile("tests/cases/if-symbol-unknown-to-generator.json").expect("a valid schema");
        let known = |symbols: [&str; 3]| Conditions::Cfg(symbols.map(|name| (name.to_owned(), quote!(unix))).into());
        assert!(crate::generate(&schema, &known(["LINUX", "WINDOWS", "WINDOWS"]).into()).is_ok());
        let error =
            crate::generate(&schema, &known(["LINUX", "WINDOWS", "LINX"]).into()).expect_err("refused").to_string();
        assert_eq!(error, "error: no 'if' condition has the symbol 'LINX'\nhelp: did you mean 'LINUX'?\n");
    }
}
