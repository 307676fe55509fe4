//! Unions: a struct whose discriminator is an enum that holds the members of the chosen branch.

use std::collections::HashMap;

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::layout::{Layout, Place};
use super::names::{self, camel};
use super::recursion::Via;
use super::{rustdoc, types};
use crate::schema::{Builtin, Definition, Listed, Union};

/// A union.
pub fn union(layout: &Layout<'_>, definition: &Definition, union: &Union) -> Vec<TokenStream> {
    let id = definition.id;
    let (ident, kind) = (layout.ident(id), layout.kind(id));
    let place = Place { file: definition.span.file, event: false };
    let members = layout.schema.members(definition);
    let fields = types::fields(&members);
    let docs = rustdoc::definition(definition);
    let derives = layout.holding.derives(id);
    let decides = |listed: &Listed<'_>| listed.member.name == union.discriminator;
    let declared = members.iter().zip(&fields).map(|(member, field)| {
        if decides(member) {
            let docs = rustdoc::listed(member);
            quote!(#docs pub #field: #kind)
        } else {
            types::declare(layout, *member, field, id, place)
        }
    });
    // A discriminator that is missing has been reported.
    let at = members.iter().position(decides).unwrap_or_default();
    let mut wire = members.iter().zip(&fields).map(|(listed, field)| types::wire(layout, listed.member, field));
    let before: Vec<_> = wire.by_ref().take(at).collect();
    let after = wire.skip(1);
    let (tag, name) = (&fields[at], &union.discriminator);
    let declared = quote! {
        #docs
        #derives
        pub struct #ident { #(#declared,)* }
    };
    let read_and_written =
        quote!(::qapi_schema::qapi_union!(#ident { #(#before),* } #tag #kind #name { #(#after),* }););
    [declared, read_and_written].into_iter().chain(branches(layout, definition, union)).collect()
}

/// The enum of the branches: one variant for each value of the discriminator.
fn branches(layout: &Layout<'_>, definition: &Definition, union: &Union) -> Vec<TokenStream> {
    let id = definition.id;
    let (ident, kind) = (layout.ident(id), layout.kind(id));
    let place = Place { file: definition.span.file, event: false };
    let (path, values): (_, Vec<(&str, _)>) = match layout.schema.discriminator(definition, union) {
        Some(enumeration) => {
            let values = enumeration.values().iter();
            let values = values.map(|value| (value.name.as_str(), layout.predicate(value.condition.as_ref())));
            (layout.path(enumeration.id, place), values.collect())
        }
        // The only enumeration that is no definition.
        None => (quote!(::qapi_schema::QType), Builtin::QTYPES.map(|name| (name, None)).into()),
    };
    let variants = names::idents(values.iter().map(|(name, _)| *name), camel);
    let branches: HashMap<_, _> = union.branches.iter().map(|branch| (branch.name.as_str(), branch)).collect();
    let variants = values.into_iter().zip(&variants).flat_map(|((name, exists), variant)| {
        match branches.get(name) {
            None => vec![Variant { cfg: cfg([exists, None]), name, variant, held: None }],
            Some(branch) => {
                let held = Some(layout.held(branch.ty, id, Via::Union, place));
                let held_if = layout.predicate(branch.condition.as_ref());
                // Without its branch, the value of the discriminator has no further members.
                let without = held_if.as_ref().map(|held_if| {
                    let cfg = cfg([exists.clone(), Some(quote!(not(#held_if)))]);
                    Variant { cfg, name, variant, held: None }
                });
                let with = Variant { cfg: cfg([exists, held_if]), name, variant, held };
                [Some(with), without].into_iter().flatten().collect()
            }
        }
    });
    let variants: Vec<_> = variants.collect();
    let docs = format!(" What `{}` of [`{ident}`] decides.", union.discriminator);
    let derives = layout.holding.derives(id);
    let declared = variants.iter().map(|Variant { cfg, name, variant, held }| {
        let docs = format!(" `{name}`");
        let held = held.as_ref().map(|held| quote!((#held)));
        quote!(#[doc = #docs] #cfg #variant #held)
    });
    let declared = quote! {
        #[doc = #docs]
        #derives
        pub enum #kind { #(#declared,)* }
    };
    let listed = variants.iter().map(|Variant { cfg, variant, held, .. }| {
        let held = held.as_ref().map(|_| quote!((branch)));
        quote!(#cfg #variant #held)
    });
    vec![declared, quote!(::qapi_schema::qapi_branches!(#kind #path { #(#listed),* });)]
}

struct Variant<'a> {
    cfg: Option<TokenStream>,
    name: &'a str,
    variant: &'a Ident,
    held: Option<TokenStream>,
}

/// The attribute for what exists if all of the predicates hold that there are.
fn cfg(predicates: [Option<TokenStream>; 2]) -> Option<TokenStream> {
    let predicates: Vec<_> = predicates.into_iter().flatten().collect();
    match predicates.as_slice() {
        [] => None,
        [predicate] => Some(quote!(#[cfg(#predicate)])),
        _ => Some(quote!(#[cfg(all(#(#predicates),*))])),
    }
}
