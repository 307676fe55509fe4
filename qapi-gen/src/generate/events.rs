//! The events of a file: one struct each, whose fields are the data.

use proc_macro2::TokenStream;
use quote::quote;

use super::layout::{Layout, Place};
use super::{rustdoc, types};
use crate::schema::{Definition, DefinitionKind, Module};

/// The module `event` of a module, if it has any events.
pub fn events(layout: &Layout<'_>, module: &Module<'_>) -> TokenStream {
    let events = module.definitions.iter().filter_map(|definition| match &definition.kind {
        DefinitionKind::Event(_) => Some(event(layout, definition)),
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_)
        | DefinitionKind::Command(_) => None,
    });
    let events: Vec<_> = events.collect();
    if events.is_empty() {
        return TokenStream::new();
    }
    let file = layout.schema.sources().path(module.file).file_name().unwrap_or_default().to_string_lossy();
    let docs = format!(" The events of `{file}`.");
    quote! {
        #[doc = #docs]
        pub mod event { #(#events)* }
    }
}

fn event(layout: &Layout<'_>, definition: &Definition) -> TokenStream {
    let ident = layout.ident(definition.id);
    let place = Place { file: definition.span.file, event: true };
    let name = &definition.name;
    let docs = rustdoc::definition(definition);
    let deprecated = types::deprecated(layout, &definition.features);
    let derives = layout.holding.derives(definition.id);
    let members = layout.schema.members(definition);
    let (declared, data) = if let Some(boxed) = definition.boxed_data() {
        let ty = layout.ty(boxed, place);
        (quote!((#[doc = " The data."] pub #ty);), quote!(boxed))
    } else if members.is_empty() {
        (quote!(;), TokenStream::new())
    } else {
        let fields = types::fields(&members);
        let listed = || members.iter().zip(&fields);
        let declared = listed().map(|(listed, field)| types::declare(layout, *listed, field, definition.id, place));
        let wire = listed().map(|(listed, field)| types::wire(layout, listed.member, field));
        (quote!({ #(#declared,)* }), quote!({ #(#wire),* }))
    };
    let cfg = layout.cfg(definition.condition.as_ref());
    quote! {
        #docs
        #cfg
        #deprecated
        #derives
        pub struct #ident #declared

        #cfg
        ::qapi_schema::qapi_event!(#ident #name #data);
    }
}
