//! Unions: a struct whose discriminator is an enum that holds the members of the chosen branch.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::quote;

use super::layout::{Layout, Place};
use super::names::{self, camel};
use super::recursion::Via;
use super::{rustdoc, types};
use crate::schema::{Definition, Listed, Union};

/// A union.
pub fn union(layout: &Layout<'_>, definition: &Definition, union: &Union) -> TokenStream {
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
    let mut wire = members.iter().zip(&fields).map(|(listed, field)| types::wire(listed.member, field));
    let before: Vec<_> = wire.by_ref().take(at).collect();
    let after = wire.skip(1);
    let (tag, name) = (&fields[at], &union.discriminator);
    let branches = branches(layout, definition, union, members[at]);
    quote! {
        #docs
        #derives
        pub struct #ident { #(#declared,)* }

        ::qapi_schema::qapi_union!(#ident { #(#before),* } #tag #kind #name { #(#after),* });
        #branches
    }
}

/// The enum of the branches: one variant for each value of the discriminator.
fn branches(layout: &Layout<'_>, definition: &Definition, union: &Union, tag: Listed<'_>) -> TokenStream {
    let id = definition.id;
    let (ident, kind) = (layout.ident(id), layout.kind(id));
    let place = Place { file: definition.span.file, event: false };
    let enumeration = tag.member.ty.id.definition().and_then(|id| layout.schema.definition(id));
    let Some(enumeration) = enumeration else {
        return TokenStream::new();
    };
    let path = layout.path(enumeration.id, place);
    let wire: Vec<_> = enumeration.values().iter().map(|value| value.name.as_str()).collect();
    let variants = names::idents(wire.iter().copied(), camel);
    let branches: HashMap<_, _> = union.branches.iter().map(|branch| (branch.name.as_str(), branch)).collect();
    let docs = format!(" What `{}` of [`{ident}`] decides.", union.discriminator);
    let derives = layout.holding.derives(id);
    let declared = wire.iter().zip(&variants).map(|(name, variant)| {
        let docs = format!(" `{name}`");
        let branch = branches.get(name);
        let held = branch.map(|branch| layout.held(branch.ty, id, Via::Union, place)).map(|held| quote!((#held)));
        quote!(#[doc = #docs] #variant #held)
    });
    let listed = wire.iter().zip(&variants).map(|(name, variant)| {
        let held = branches.contains_key(name).then(|| quote!((branch)));
        quote!(#variant #held)
    });
    quote! {
        #[doc = #docs]
        #derives
        pub enum #kind { #(#declared,)* }

        ::qapi_schema::qapi_branches!(#kind #path { #(#listed),* });
    }
}
