//! Enumerations, structs and alternates.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::layout::{Layout, Listed, Place};
use super::names::{self, camel, snake};
use super::recursion::Via;
use super::rustdoc;
use crate::check::JsonType;
use crate::schema::{Alternate, Definition, DefinitionId, Enum, Feature, Member};

/// `#[deprecated]`, where the schema says so.
pub fn deprecated(features: &[Feature]) -> Option<TokenStream> {
    features.iter().any(|feature| feature.name == "deprecated").then(|| quote!(#[deprecated]))
}

/// An enumeration.
pub fn enumeration(layout: &Layout<'_>, id: DefinitionId, definition: &Definition, enumeration: &Enum) -> TokenStream {
    let ident = layout.ident(id);
    let values = &enumeration.values;
    let variants = names::idents(values.iter().map(|value| value.name.as_str()), camel);
    let wire: Vec<_> = values.iter().map(|value| value.name.as_str()).collect();
    let docs = rustdoc::definition(definition);
    let variant_docs = wire.iter().map(|name| rustdoc::member(definition, name));
    let deprecated = values.iter().map(|value| deprecated(&value.features));
    let expected = format!("one of {}", wire.join(", "));
    let deserialize = deserialize(ident);
    quote! {
        #docs
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum #ident { #( #variant_docs #deprecated #variants, )* }

        impl #ident {
            /// Every value, in the order of the schema.
            pub const ALL: &'static [Self] = &[#(Self::#variants),*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { #(Self::#variants => #wire,)* }
            }
        }

        impl ::std::fmt::Display for #ident {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for #ident {
            type Err = ::qapi_schema::Error;

            fn from_str(name: &str) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == name);
                found.ok_or_else(|| ::qapi_schema::Error::generic(::std::format!("Invalid value '{}', expected {}", name, #expected)))
            }
        }

        impl ::qapi_schema::FromValue for #ident {
            fn from_value(value: ::serde_json::Value, at: &::qapi_schema::Visitor<'_>) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                let name = value.as_str().ok_or_else(|| at.invalid_type("string"))?;
                name.parse().map_err(|_| at.invalid_value(name))
            }
        }

        impl ::serde::Serialize for #ident {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #deserialize
    }
}

/// A struct.
pub fn structure(layout: &Layout<'_>, id: DefinitionId, definition: &Definition) -> TokenStream {
    let ident = layout.ident(id);
    let place = Place { file: definition.span.file, event: false };
    let members = layout.members(definition);
    let fields = fields(&members);
    let docs = rustdoc::definition(definition);
    let derives = layout.derives(id);
    let declared = members.iter().zip(&fields).map(|(member, field)| declare(layout, *member, field, id, place));
    let argument = if members.is_empty() { quote!(_) } else { quote!(members) };
    let map = if members.is_empty() { quote!(_) } else { quote!(map) };
    let read = members.iter().zip(&fields).map(|(member, field)| {
        let read = self::read(member.member);
        quote!(#field: #read?)
    });
    let written = members.iter().zip(&fields).map(|(member, field)| self::write(member.member, field));
    let object = object(ident);
    quote! {
        #docs
        #derives
        pub struct #ident { #(#declared,)* }

        impl ::qapi_schema::FromMembers for #ident {
            fn from_members(#argument: &mut ::qapi_schema::Members<'_>) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                Ok(Self { #(#read,)* })
            }
        }

        impl ::qapi_schema::SerializeMembers for #ident {
            fn serialize_members<M: ::serde::ser::SerializeMap>(&self, #map: &mut M) -> ::std::result::Result<(), M::Error> {
                #(#written)*
                Ok(())
            }
        }

        #object
    }
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
    let deprecated = deprecated(&listed.member.features);
    let ty = layout.field(listed.member, owner, place);
    quote!(#docs #deprecated pub #field: #ty)
}

/// Takes a member out of `members`.
pub fn read(member: &Member) -> TokenStream {
    let name = &member.name;
    if member.optional { quote!(members.optional(#name)) } else { quote!(members.required(#name)) }
}

/// Writes the field of a member to `map`.
pub fn write(member: &Member, field: &Ident) -> TokenStream {
    let name = &member.name;
    if member.optional {
        quote!(if let ::std::option::Option::Some(value) = &self.#field { map.serialize_entry(#name, value)?; })
    } else {
        quote!(map.serialize_entry(#name, &self.#field)?;)
    }
}

/// What is the same for all objects, on top of how their members are read and written.
pub fn object(ident: &Ident) -> TokenStream {
    let deserialize = deserialize(ident);
    quote! {
        impl ::qapi_schema::FromValue for #ident {
            fn from_value(value: ::serde_json::Value, at: &::qapi_schema::Visitor<'_>) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                ::qapi_schema::Command::arguments(&mut ::qapi_schema::Members::open(value, at)?)
            }
        }

        impl ::serde::Serialize for #ident {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(::std::option::Option::None)?;
                ::qapi_schema::SerializeMembers::serialize_members(self, &mut map)?;
                ::serde::ser::SerializeMap::end(map)
            }
        }

        #deserialize
    }
}

/// `Deserialize` through a tree, so that there is one reader, which is strict.
pub fn deserialize(ident: &Ident) -> TokenStream {
    quote! {
        impl<'de> ::serde::Deserialize<'de> for #ident {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                let value = ::serde::Deserialize::deserialize(deserializer)?;
                let read = ::qapi_schema::FromValue::from_value(value, &::qapi_schema::Visitor::json());
                read.map_err(::serde::de::Error::custom)
            }
        }
    }
}

/// An alternate.
pub fn alternate(layout: &Layout<'_>, id: DefinitionId, definition: &Definition, alternate: &Alternate) -> TokenStream {
    let ident = layout.ident(id);
    let place = Place { file: definition.span.file, event: false };
    let branches = &alternate.branches;
    let variants = names::idents(branches.iter().map(|branch| branch.name.as_str()), camel);
    let docs = rustdoc::definition(definition);
    let derives = layout.derives(id);
    let variant_docs = branches.iter().map(|branch| rustdoc::member(definition, &branch.name));
    let types = branches.iter().map(|branch| layout.held(branch.ty, id, Via::Alternate, place));
    let json: Vec<_> = branches.iter().map(|branch| layout.schema.json_type(branch)).collect();
    let arms = JsonType::ALL.into_iter().filter_map(|ty| {
        let at = json.iter().position(|&branch| branch == Some(ty))?;
        let (variant, pattern) = (variants.get(at)?, pattern(ty));
        Some(quote!(#pattern => ::qapi_schema::FromValue::from_value(value, at).map(Self::#variant)))
    });
    let (taken, left): (Vec<_>, Vec<_>) = JsonType::ALL.into_iter().partition(|&ty| json.contains(&Some(ty)));
    let expected = taken.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" or ");
    let left = left.into_iter().map(pattern);
    let deserialize = deserialize(ident);
    quote! {
        #docs
        #derives
        pub enum #ident { #( #variant_docs #variants(#types), )* }

        impl ::qapi_schema::FromValue for #ident {
            fn from_value(value: ::serde_json::Value, at: &::qapi_schema::Visitor<'_>) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                match &value {
                    #(#arms,)*
                    #(#left)|* => Err(at.invalid_type(#expected)),
                }
            }
        }

        impl ::serde::Serialize for #ident {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                match self { #(Self::#variants(value) => ::serde::Serialize::serialize(value, serializer),)* }
            }
        }

        #deserialize
    }
}

fn pattern(ty: JsonType) -> TokenStream {
    match ty {
        JsonType::Null => quote!(::serde_json::Value::Null),
        JsonType::Boolean => quote!(::serde_json::Value::Bool(_)),
        JsonType::Number => quote!(::serde_json::Value::Number(_)),
        JsonType::String => quote!(::serde_json::Value::String(_)),
        JsonType::Object => quote!(::serde_json::Value::Object(_)),
        JsonType::Array => quote!(::serde_json::Value::Array(_)),
    }
}
