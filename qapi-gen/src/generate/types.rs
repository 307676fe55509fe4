//! Enumerations, structs and alternates.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::layout::{Layout, Place};
use super::names::{self, camel, snake};
use super::recursion::Via;
use super::rustdoc;
use crate::check::JsonType;
use crate::schema::{Alternate, Definition, DefinitionId, Enum, Feature, Listed, Member};

/// `#[deprecated]`, where the schema says so.
pub fn deprecated(layout: &Layout<'_>, features: &[Feature]) -> Option<TokenStream> {
    let feature = features.iter().find(|feature| feature.name == "deprecated")?;
    Some(match layout.predicate(feature.condition.as_ref()) {
        Some(predicate) => quote!(#[cfg_attr(#predicate, deprecated)]),
        None => quote!(#[deprecated]),
    })
}

/// An enumeration.
pub fn enumeration(layout: &Layout<'_>, definition: &Definition, enumeration: &Enum) -> Vec<TokenStream> {
    let ident = layout.ident(definition.id);
    let values = &enumeration.values;
    let variants = names::idents(values.iter().map(|value| value.name.as_str()), camel);
    let wire: Vec<_> = values.iter().map(|value| value.name.as_str()).collect();
    let docs = rustdoc::definition(definition);
    let variant_docs = wire.iter().map(|name| rustdoc::member(definition, name));
    let deprecated = values.iter().map(|value| deprecated(layout, &value.features));
    let cfgs: Vec<_> = values.iter().map(|value| layout.cfg(value.condition.as_ref())).collect();
    let declared = quote! {
        #docs
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum #ident { #( #variant_docs #cfgs #deprecated #variants, )* }
    };
    vec![declared, quote!(::qapi_schema::qapi_enum!(#ident { #(#cfgs #variants #wire),* });)]
}

/// A struct.
pub fn structure(layout: &Layout<'_>, definition: &Definition) -> Vec<TokenStream> {
    let ident = layout.ident(definition.id);
    let place = Place { file: definition.span.file, event: false };
    let members = layout.schema.members(definition);
    let fields = fields(&members);
    let docs = rustdoc::definition(definition);
    let derives = layout.holding.derives(definition.id);
    let listed = || members.iter().zip(&fields);
    let declared = listed().map(|(listed, field)| declare(layout, *listed, field, definition.id, place));
    let wire = listed().map(|(listed, field)| wire(layout, listed.member, field));
    let declared = quote! {
        #docs
        #derives
        pub struct #ident { #(#declared,)* }
    };
    vec![declared, quote!(::qapi_schema::qapi_object!(#ident { #(#wire),* });)]
}

/// A field with its presence and its name on the wire, as the macros of `qapi_schema` take it.
pub fn wire(layout: &Layout<'_>, member: &Member, field: &Ident) -> TokenStream {
    let (cfg, presence, name) = (layout.cfg(member.condition.as_ref()), presence(member), &member.name);
    quote!(#cfg #field #presence #name)
}

/// Whether a member must be there. These are also the names of the methods that take it out of `Members`.
pub fn presence(member: &Member) -> Ident {
    Ident::new(if member.optional { "optional" } else { "required" }, Span::call_site())
}

/// The names of the fields for these members.
pub fn fields(members: &[Listed<'_>]) -> Vec<Ident> {
    names::idents(members.iter().map(|listed| listed.member.name.as_str()), snake)
}

/// A documented public field.
pub fn declare(
    layout: &Layout<'_>,
    listed: Listed<'_>,
    field: &Ident,
    owner: DefinitionId,
    place: Place,
) -> TokenStream {
    let docs = rustdoc::listed(&listed);
    let cfg = layout.cfg(listed.member.condition.as_ref());
    let deprecated = deprecated(layout, &listed.member.features);
    let ty = layout.field(listed.member, owner, place);
    quote!(#docs #cfg #deprecated pub #field: #ty)
}

/// An alternate.
pub fn alternate(layout: &Layout<'_>, definition: &Definition, alternate: &Alternate) -> Vec<TokenStream> {
    let ident = layout.ident(definition.id);
    let place = Place { file: definition.span.file, event: false };
    let branches = &alternate.branches;
    let variants = names::idents(branches.iter().map(|branch| branch.name.as_str()), camel);
    let docs = rustdoc::definition(definition);
    let derives = layout.holding.derives(definition.id);
    let variant_docs = branches.iter().map(|branch| rustdoc::member(definition, &branch.name));
    let types = branches.iter().map(|branch| layout.held(branch.ty, definition.id, Via::Alternate, place));
    let cfgs: Vec<_> = branches.iter().map(|branch| layout.cfg(branch.condition.as_ref())).collect();
    let told = branches.iter().zip(&variants).zip(&cfgs);
    let mut told: Vec<_> =
        told.map(|((branch, variant), cfg)| (layout.schema.json_type(branch.ty), variant, cfg)).collect();
    // Errors name the types in this order.
    told.sort_by_key(|&(json, _, _)| json);
    let arms = told.into_iter().filter_map(|(json, variant, cfg)| {
        let ty = qtype(json?);
        Some(quote!(#cfg #variant #ty))
    });
    let declared = quote! {
        #docs
        #derives
        pub enum #ident { #( #variant_docs #cfgs #variants(#types), )* }
    };
    vec![declared, quote!(::qapi_schema::qapi_alternate!(#ident { #(#arms),* });)]
}

/// The variant of `QType`.
fn qtype(json: JsonType) -> TokenStream {
    match json {
        JsonType::Null => quote!(Qnull),
        JsonType::Boolean => quote!(Qbool),
        JsonType::Number => quote!(Qnum),
        JsonType::String => quote!(Qstring),
        JsonType::Object => quote!(Qdict),
        JsonType::Array => quote!(Qlist),
    }
}
