//! Writes the part of the server that knows the schema: how each type and event is read, and commands that echo.
//!
//! Rust names are looked up in the generated code, so that nothing here depends on how they are made.

use proc_macro2::TokenStream;
use qapi_gen::Schema;
use qapi_gen::schema::{Definition, DefinitionKind, Listed, Module};
use quote::{format_ident, quote};
use syn::{Fields, Ident, Item, ItemMod, TraitItem};

/// The table for the code that was generated from a schema and is the library `library`.
pub fn table(schema: &Schema, library: &Ident, code: &syn::File) -> String {
    let mut generated = code.items.iter().filter_map(as_module);
    let (mut readers, mut items, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for module in schema.modules() {
        let rust = generated.next().expect("a Rust module for each module of the schema");
        let name = &rust.ident;
        for definition in &module.definitions {
            let wire = &definition.name;
            match definition.kind {
                DefinitionKind::Enum(_)
                | DefinitionKind::Struct(_)
                | DefinitionKind::Union(_)
                | DefinitionKind::Alternate(_) => {
                    let (ident, _) = find(content(rust), wire);
                    readers.push(quote!((#wire, crate::of_type::<#name::#ident>)));
                }
                DefinitionKind::Event(_) => {
                    let reader = format_ident!("event_{}", readers.len());
                    items.push(event(schema, definition, rust, &reader));
                    readers.push(quote!((#wire, #reader)));
                }
                DefinitionKind::Command(_) => {}
            }
        }
        if let Some(target) = target(schema, &module, rust) {
            items.push(target);
            targets.push(name);
        }
    }
    let code = quote! {
        use #library::*;

        pub const READERS: &[(&str, crate::Read)] = &[#(#readers),*];

        pub fn commands() -> ::qapi_schema::CommandTable {
            let target = ::std::sync::Arc::new(crate::Echo);
            let mut table = ::qapi_schema::CommandTable::default();
            #(table.extend(#library::#targets::commands(&target));)*
            table
        }

        #(#items)*
    };
    prettyplease::unparse(&syn::parse2(code).expect("the table is Rust"))
}

/// A function that reads the data of an event and writes them again.
fn event(schema: &Schema, definition: &Definition, module: &ItemMod, reader: &Ident) -> TokenStream {
    let (module, events) = (&module.ident, inner(module, "event"));
    let ((ident, fields), wire) = (find(content(events), &definition.name), &definition.name);
    let read = match fields {
        Some(Fields::Named(fields)) => {
            let members = schema.members(definition);
            assert_eq!(fields.named.len(), members.len(), "{wire}");
            let fields = fields.named.iter().zip(&members).map(|(field, listed)| {
                let (field, name, presence) = (&field.ident, &listed.member.name, presence(listed));
                quote!(#field: members.#presence(#name)?)
            });
            quote! {
                let mut members = ::qapi_schema::Members::open(value, &at)?;
                let event = #module::event::#ident { #(#fields),* };
                members.finish()?;
            }
        }
        Some(Fields::Unnamed(_)) => {
            quote!(let event = #module::event::#ident(::qapi_schema::FromValue::from_value(value, &at)?);)
        }
        Some(Fields::Unit) => quote! {
            ::qapi_schema::Members::open(value, &at)?.finish()?;
            let event = #module::event::#ident;
        },
        None => panic!("{wire} is no struct"),
    };
    quote! {
        fn #reader(value: ::serde_json::Value) -> Result<::serde_json::Value, ::qapi_schema::Error> {
            let root = ::qapi_schema::Visitor::json();
            let at = root.member("x");
            #read
            Ok(crate::data(#wire, &event))
        }
    }
}

/// An implementation of the trait `Commands`, in a module from where the paths of its types lead to the same types.
fn target(schema: &Schema, module: &Module<'_>, rust: &ItemMod) -> Option<TokenStream> {
    let item = content(rust).iter().find_map(|item| match item {
        Item::Trait(item) if item.ident == "Commands" => Some(item),
        _ => None,
    })?;
    let methods = item.items.iter().filter_map(|item| match item {
        TraitItem::Fn(method) => Some(&method.sig),
        _ => None,
    });
    let methods: Vec<_> = methods.map(|signature| (&signature.ident, signature)).collect();
    let commands = module.definitions.iter().filter_map(|definition| match &definition.kind {
        DefinitionKind::Command(command) => Some((definition, command.generated)),
        _ => None,
    });
    let mut bodies = Vec::new();
    for (definition, generated) in commands {
        let Some((_, signature)) = named(methods.iter().copied(), &definition.name) else {
            assert!(!generated, "no method for {definition}");
            continue;
        };
        let parameters: Vec<_> = signature.inputs.iter().skip(1).map(parameter).collect();
        let echo = if definition.boxed_data().is_some() || !generated {
            quote!(Arguments::all(#(#parameters),*))
        } else {
            let members = schema.members(definition);
            assert_eq!(parameters.len(), members.len(), "{definition}");
            let put = members.iter().zip(&parameters).map(|(listed, parameter)| {
                let (presence, name) = (presence(listed), &listed.member.name);
                quote!(.#presence(#name, #parameter))
            });
            quote!(Arguments::all(Arguments::default() #(#put)*.0))
        };
        bodies.push(quote!(#signature { Err(#echo) }));
    }
    assert_eq!(bodies.len(), methods.len(), "a command for each method");
    let (name, echo) = (&rust.ident, format_ident!("echo_{}", rust.ident));
    Some(quote! {
        mod #echo {
            use super::#name::*;
            use crate::{Arguments, Echo};

            impl Commands for Echo { #(#bodies)* }
        }
    })
}

fn parameter(input: &syn::FnArg) -> &syn::Pat {
    match input {
        syn::FnArg::Typed(typed) => &typed.pat,
        syn::FnArg::Receiver(_) => panic!("a second receiver"),
    }
}

fn presence(listed: &Listed<'_>) -> Ident {
    format_ident!("{}", if listed.member.optional { "optional" } else { "required" })
}

/// The type for a name of the schema, and the fields if it is a struct.
fn find<'a>(items: &'a [Item], name: &str) -> (&'a Ident, Option<&'a Fields>) {
    let types = items.iter().filter_map(|item| match item {
        Item::Struct(item) => Some((&item.ident, Some(&item.fields))),
        Item::Enum(item) => Some((&item.ident, None)),
        _ => None,
    });
    named(types, name).unwrap_or_else(|| panic!("no Rust type for {name}"))
}

/// What has the Rust name for a name of the schema: of those that differ at most in case and separators, the one
/// without an appended `_`.
fn named<'a, T>(candidates: impl Iterator<Item = (&'a Ident, T)>, name: &str) -> Option<(&'a Ident, T)> {
    let folded = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "").to_lowercase();
    let plain = |ident: &Ident| ident.to_string().trim_start_matches("r#").to_owned();
    let named = candidates.filter(|(ident, _)| folded(&plain(ident)) == folded(name));
    named.min_by_key(|(ident, _)| plain(ident).len())
}

fn as_module(item: &Item) -> Option<&ItemMod> {
    if let Item::Mod(module) = item { Some(module) } else { None }
}

fn content(module: &ItemMod) -> &[Item] {
    module.content.as_ref().map_or(&[], |(_, items)| items)
}

fn inner<'a>(module: &'a ItemMod, name: &str) -> &'a ItemMod {
    let mut modules = content(module).iter().filter_map(as_module);
    modules.find(|inner| inner.ident == name).expect("the inner module")
}
