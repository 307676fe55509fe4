//! The events of a file: one struct each, whose fields are the data.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::layout::{Layout, Place};
use super::names::{Scope, camel};
use super::{rustdoc, types};
use crate::schema::{Definition, DefinitionId, DefinitionKind, Module};

/// The module `event` of a module, if it has any events.
pub fn events(layout: &Layout<'_>, module: &Module<'_>) -> TokenStream {
    let mut scope = Scope::default();
    let events = module.definitions.iter().filter_map(|(id, definition)| match &definition.kind {
        DefinitionKind::Event(_) => Some((*id, *definition)),
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_)
        | DefinitionKind::Command(_) => None,
    });
    let events: Vec<_> = events
        .map(|(id, definition)| self::event(layout, id, definition, &scope.claim(camel(&definition.name))))
        .collect();
    if events.is_empty() {
        return TokenStream::new();
    }
    let file = layout.schema.sources().path(module.file).file_name().unwrap_or_default().to_string_lossy();
    let docs = format!("The events of `{file}`.");
    quote! {
        #[doc = #docs]
        pub mod event { #(#events)* }
    }
}

fn event(layout: &Layout<'_>, id: DefinitionId, definition: &Definition, ident: &Ident) -> TokenStream {
    let place = Place { file: definition.span.file, event: true };
    let name = &definition.name;
    let docs = rustdoc::definition(definition);
    let deprecated = types::deprecated(&definition.features);
    let derives = layout.derives(id);
    let members = layout.members(definition);
    let (declared, data, serialize) = if let Some(boxed) = definition.boxed_data() {
        let ty = layout.ty(boxed, place);
        (quote!((#[doc = "The data."] pub #ty);), quote!(Some(&self.0)), None)
    } else if members.is_empty() {
        (quote!(;), quote!(None), None)
    } else {
        let fields = types::fields(&members);
        let listed = || members.iter().zip(&fields);
        let declared = listed().map(|(listed, field)| types::declare(layout, *listed, field, id, place));
        let written = listed().map(|(listed, field)| types::write(listed.member, field));
        let serialize = quote! {
            impl ::serde::Serialize for #ident {
                fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                    use ::serde::ser::SerializeMap as _;
                    let mut map = serializer.serialize_map(::std::option::Option::None)?;
                    #(#written)*
                    map.end()
                }
            }
        };
        (quote!({ #(#declared,)* }), quote!(Some(self)), Some(serialize))
    };
    quote! {
        #docs
        #deprecated
        #derives
        pub struct #ident #declared

        impl ::qapi_schema::Event for #ident {
            fn name(&self) -> &'static str { #name }
            fn data(&self) -> ::std::option::Option<&dyn ::qapi_schema::Wire> { ::std::option::Option::#data }
        }

        #serialize
    }
}
