//! Unions: a struct whose discriminator is an enum that holds the members of the chosen branch.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::quote;

use super::layout::{Layout, Place};
use super::names::{self, camel};
use super::recursion::Via;
use super::{rustdoc, types};
use crate::schema::{Branch, Definition, DefinitionKind, Listed, TypeId, Union};

/// A union.
pub fn union(layout: &Layout<'_>, definition: &Definition, union: &Union) -> TokenStream {
    let id = definition.id;
    let (ident, kind) = (layout.ident(id), layout.kind(id));
    let place = Place { file: definition.span.file, event: false };
    let members = layout.schema.members(definition);
    let fields = types::fields(&members);
    let decides = |listed: &Listed<'_>| listed.member.name == union.discriminator;
    let docs = rustdoc::definition(definition);
    let derives = layout.holding.derives(id);
    let named = || members.iter().zip(&fields);
    let declared = named().map(|(member, field)| {
        if decides(member) {
            let docs = rustdoc::listed(member);
            quote!(#docs pub #field: #kind)
        } else {
            types::declare(layout, *member, field, id, place)
        }
    });
    // The branch comes last: errors name the first member that is wrong in the order of the schema.
    let common = named().filter(|(member, _)| !decides(member)).map(|(member, field)| {
        let (presence, name) = (types::presence(member.member), &member.member.name);
        quote!(#field: members.#presence(#name)?)
    });
    let branch = named().find(|(member, _)| decides(member)).map(|(member, field)| {
        let name = &member.member.name;
        quote!(#field: #kind::from_members(members.required(#name)?, members)?)
    });
    let written = named().map(|(member, field)| {
        if decides(member) {
            let name = &member.member.name;
            quote!(map.serialize_entry(#name, &self.#field.discriminator())?;)
        } else {
            let (presence, name) = (types::presence(member.member), &member.member.name);
            quote!(qapi_write!(map, #presence #name, self.#field);)
        }
    });
    let written_branch =
        named().find(|(member, _)| decides(member)).map(|(_, field)| quote!(self.#field.serialize_members(map)));
    let branches = branches(layout, definition, union, &members);
    quote! {
        #docs
        #derives
        pub struct #ident { #(#declared,)* }

        impl ::qapi_schema::FromMembers for #ident {
            fn from_members(members: &mut ::qapi_schema::Members<'_>) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                Ok(Self { #(#common,)* #branch })
            }
        }

        impl ::qapi_schema::SerializeMembers for #ident {
            fn serialize_members<M: ::serde::ser::SerializeMap>(&self, map: &mut M) -> ::std::result::Result<(), M::Error> {
                #(#written)*
                #written_branch
            }
        }

        qapi_whole_object!(#ident);
        #branches
    }
}

/// The enum of the branches: one variant for each value of the discriminator.
fn branches(layout: &Layout<'_>, definition: &Definition, union: &Union, members: &[Listed<'_>]) -> TokenStream {
    let id = definition.id;
    let (ident, kind) = (layout.ident(id), layout.kind(id));
    let place = Place { file: definition.span.file, event: false };
    let discriminator =
        members.iter().find(|listed| listed.member.name == union.discriminator).map(|listed| listed.member.ty.id);
    let enumeration = match discriminator {
        Some(TypeId::Definition(id)) => layout.schema.definition(id).map(|definition| (id, &definition.kind)),
        Some(TypeId::Builtin(_)) | None => None,
    };
    let Some((enum_id, DefinitionKind::Enum(enumeration))) = enumeration else {
        return TokenStream::new();
    };
    let enum_path = layout.path(enum_id, place);
    let wire: Vec<_> = enumeration.values.iter().map(|value| value.name.as_str()).collect();
    let variants = names::idents(wire.iter().copied(), camel);
    let branches: HashMap<_, _> = union.branches.iter().map(|branch| (branch.name.as_str(), branch)).collect();
    let found: Vec<Option<&Branch>> = wire.iter().map(|name| branches.get(name).copied()).collect();
    let boxed = |branch: &Branch| layout.holding.is_boxed(id, branch.ty, Via::Union);

    let docs = format!(" What `{}` of [`{ident}`] decides.", union.discriminator);
    let derives = layout.holding.derives(id);
    let declared = found.iter().zip(&wire).zip(&variants).map(|((branch, name), variant)| {
        let docs = format!(" `{name}`");
        let held = branch.map(|branch| layout.held(branch.ty, id, Via::Union, place)).map(|held| quote!((#held)));
        quote!(#[doc = #docs] #variant #held)
    });
    let decided = found.iter().zip(&variants).map(|(branch, variant)| {
        let held = branch.map(|_| quote!((_)));
        quote!(Self::#variant #held => #enum_path::#variant)
    });
    let read = found.iter().zip(&variants).map(|(branch, variant)| {
        let held = branch.map(|branch| {
            let read = quote!(::qapi_schema::FromMembers::from_members(members)?);
            if boxed(branch) { quote!((::std::boxed::Box::new(#read))) } else { quote!((#read)) }
        });
        quote!(#enum_path::#variant => Self::#variant #held)
    });
    let written = found.iter().zip(&variants).map(|(branch, variant)| match branch {
        Some(branch) if boxed(branch) => {
            quote!(Self::#variant(branch) => ::qapi_schema::SerializeMembers::serialize_members(&**branch, map))
        }
        Some(_) => quote!(Self::#variant(branch) => ::qapi_schema::SerializeMembers::serialize_members(branch, map)),
        None => quote!(Self::#variant => Ok(())),
    });
    let any = found.iter().any(Option::is_some);
    let (members, map) = if any { (quote!(members), quote!(map)) } else { (quote!(_), quote!(_)) };
    quote! {
        #[doc = #docs]
        #derives
        pub enum #kind { #(#declared,)* }

        impl #kind {
            /// The value that decides for this branch.
            pub const fn discriminator(&self) -> #enum_path {
                match self { #(#decided,)* }
            }

            fn from_members(discriminator: #enum_path, #members: &mut ::qapi_schema::Members<'_>) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                Ok(match discriminator { #(#read,)* })
            }

            fn serialize_members<M: ::serde::ser::SerializeMap>(&self, #map: &mut M) -> ::std::result::Result<(), M::Error> {
                match self { #(#written,)* }
            }
        }
    }
}
