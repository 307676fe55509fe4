//! What `query-qmp-schema` answers, as a constant whose parts say whether they exist.

use proc_macro2::TokenStream;
use quote::quote;

use super::layout::Layout;
use crate::introspect::{Case, Conditional, Entity, Kind, Member, Value, Variants, introspect};

/// The constant, if the schema has anything that clients can see.
pub fn introspection(layout: &Layout<'_>) -> TokenStream {
    let entities = introspect(layout.schema);
    if entities.is_empty() {
        return TokenStream::new();
    }
    let entities = list(layout, &entities, |item| entity(layout, item));
    quote! {
        /// What `query-qmp-schema` tells clients of this schema.
        pub static INTROSPECTION: ::qapi_schema::Introspection = {
            use ::qapi_schema::introspection::*;
            Introspection(#entities)
        };
    }
}

fn entity(layout: &Layout<'_>, Entity { name, features, kind }: &Entity<'_>) -> TokenStream {
    let features = self::features(layout, features);
    let kind = match kind {
        Kind::Builtin(json_type) => quote!(Builtin(#json_type)),
        Kind::Enum(values) => {
            let values = list(layout, values, |Value { name, features }| {
                let features = self::features(layout, features);
                quote!(Value(#name, #features))
            });
            quote!(Enum(#values))
        }
        Kind::Array(element_type) => quote!(Array(#element_type)),
        Kind::Object { members, variants } => {
            let members = list(layout, members, |Member { name, ty, optional, features }| {
                let features = self::features(layout, features);
                quote!(Member(#name, #ty, #optional, #features))
            });
            let variants = match variants {
                None => quote!(None),
                Some(Variants { tag, cases }) => {
                    let cases = list(layout, cases, |Case { value, ty }| quote!(Case(#value, #ty)));
                    quote!(Some(Variants(#tag, #cases)))
                }
            };
            quote!(Object(#members, #variants))
        }
        Kind::Alternate(types) => {
            let types = list(layout, types, |ty| quote!(Alternative(#ty)));
            quote!(Alternate(#types))
        }
        Kind::Command { arg_type, ret_type, allow_oob } => {
            quote!(Command(#arg_type, #ret_type, #allow_oob))
        }
        Kind::Event { arg_type } => quote!(Event(#arg_type)),
    };
    quote!(Entity(#name, #features, Kind::#kind))
}

fn features(layout: &Layout<'_>, features: &[Conditional<'_, &str>]) -> TokenStream {
    list(layout, features, |name| quote!(#name))
}

fn list<T>(layout: &Layout<'_>, list: &[Conditional<'_, T>], item: impl Fn(&T) -> TokenStream) -> TokenStream {
    let items = list.iter().map(|Conditional { guard, item: found }| {
        let (holds, item) = (layout.holds(*guard), item(found));
        quote!(When(#holds, #item))
    });
    quote!(&[#(#items),*])
}
