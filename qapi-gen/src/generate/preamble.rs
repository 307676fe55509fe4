//! Macros that the generated code starts with: what would be the same for every enumeration, object and event.
//!
//! They keep the generated code to what the schema says, which is less to read and less to compile.

use proc_macro2::TokenStream;
use quote::quote;

/// The macros.
pub fn preamble() -> TokenStream {
    let (enumerations, objects, events) = (enumerations(), objects(), events());
    quote!(#enumerations #objects #events)
}

fn enumerations() -> TokenStream {
    quote! {
        /// The values of an enumeration: its variants, each with its name on the wire.
        #[allow(unused_macros)]
        macro_rules! qapi_enum {
            ($name:ident { $($variant:ident $wire:literal),* }) => {
                impl $name {
                    /// Every value, in the order of the schema.
                    pub const ALL: &'static [Self] = &[$(Self::$variant),*];

                    /// The name on the wire.
                    pub const fn as_str(self) -> &'static str {
                        match self { $(Self::$variant => $wire,)* }
                    }
                }

                impl ::std::fmt::Display for $name {
                    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.pad(self.as_str())
                    }
                }

                impl ::std::str::FromStr for $name {
                    type Err = ::qapi_schema::Error;

                    fn from_str(name: &str) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                        let found = Self::ALL.iter().copied().find(|value| value.as_str() == name);
                        found.ok_or_else(|| {
                            let valid: ::std::vec::Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
                            let valid = valid.join(", ");
                            ::qapi_schema::Error::generic(::std::format!("Invalid value '{name}', expected one of {valid}"))
                        })
                    }
                }

                impl ::qapi_schema::FromValue for $name {
                    fn from_value(
                        value: ::serde_json::Value,
                        at: &::qapi_schema::Visitor<'_>,
                    ) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                        let name = value.as_str().ok_or_else(|| at.invalid_type("string"))?;
                        name.parse().map_err(|_| at.invalid_value(name))
                    }
                }

                impl ::serde::Serialize for $name {
                    fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                        serializer.serialize_str(self.as_str())
                    }
                }

                qapi_deserialize!($name);
            };
        }

        /// `Deserialize` through a tree, so that there is one reader, which is strict.
        #[allow(unused_macros)]
        macro_rules! qapi_deserialize {
            ($name:ident) => {
                impl<'de> ::serde::Deserialize<'de> for $name {
                    fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                        let value = ::serde::Deserialize::deserialize(deserializer)?;
                        let read = ::qapi_schema::FromValue::from_value(value, &::qapi_schema::Visitor::json());
                        read.map_err(::serde::de::Error::custom)
                    }
                }
            };
        }
    }
}

fn objects() -> TokenStream {
    quote! {
        /// The members of an object: its fields, each with whether it is required and its name on the wire.
        #[allow(unused_macros)]
        macro_rules! qapi_object {
            ($name:ident { $($field:ident $presence:ident $wire:literal),* }) => {
                impl ::qapi_schema::FromMembers for $name {
                    #[allow(unused_variables)]
                    fn from_members(
                        members: &mut ::qapi_schema::Members<'_>,
                    ) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                        ::std::result::Result::Ok(Self { $($field: members.$presence($wire)?),* })
                    }
                }

                impl ::qapi_schema::SerializeMembers for $name {
                    #[allow(unused_variables)]
                    fn serialize_members<M: ::serde::ser::SerializeMap>(
                        &self,
                        map: &mut M,
                    ) -> ::std::result::Result<(), M::Error> {
                        $(qapi_write!(map, $presence $wire, self.$field);)*
                        ::std::result::Result::Ok(())
                    }
                }

                qapi_whole_object!($name);
            };
        }

        /// An object of its own, on top of how its members are read and written among others.
        #[allow(unused_macros)]
        macro_rules! qapi_whole_object {
            ($name:ident) => {
                impl ::qapi_schema::FromValue for $name {
                    fn from_value(
                        value: ::serde_json::Value,
                        at: &::qapi_schema::Visitor<'_>,
                    ) -> ::std::result::Result<Self, ::qapi_schema::Error> {
                        ::qapi_schema::Command::arguments(&mut ::qapi_schema::Members::open(value, at)?)
                    }
                }

                impl ::serde::Serialize for $name {
                    fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                        let mut map = serializer.serialize_map(::std::option::Option::None)?;
                        ::qapi_schema::SerializeMembers::serialize_members(self, &mut map)?;
                        ::serde::ser::SerializeMap::end(map)
                    }
                }

                qapi_deserialize!($name);
            };
        }

        /// Writes one member.
        #[allow(unused_macros)]
        macro_rules! qapi_write {
            ($map:ident, required $wire:literal, $value:expr) => {
                $map.serialize_entry($wire, &$value)?
            };
            ($map:ident, optional $wire:literal, $value:expr) => {
                if let ::std::option::Option::Some(value) = &$value {
                    $map.serialize_entry($wire, value)?;
                }
            };
        }
    }
}

fn events() -> TokenStream {
    quote! {
        /// The data of an event: none, its fields, or all of a type.
        #[allow(unused_macros)]
        macro_rules! qapi_event {
            ($name:ident $wire:literal) => {
                impl ::qapi_schema::Event for $name {
                    fn name(&self) -> &'static str {
                        $wire
                    }

                    fn data(&self) -> ::std::option::Option<&dyn ::qapi_schema::Wire> {
                        ::std::option::Option::None
                    }
                }
            };
            ($name:ident $wire:literal boxed) => {
                impl ::qapi_schema::Event for $name {
                    fn name(&self) -> &'static str {
                        $wire
                    }

                    fn data(&self) -> ::std::option::Option<&dyn ::qapi_schema::Wire> {
                        ::std::option::Option::Some(&self.0)
                    }
                }
            };
            ($name:ident $wire:literal { $($field:ident $presence:ident $member:literal),* }) => {
                impl ::qapi_schema::Event for $name {
                    fn name(&self) -> &'static str {
                        $wire
                    }

                    fn data(&self) -> ::std::option::Option<&dyn ::qapi_schema::Wire> {
                        ::std::option::Option::Some(self)
                    }
                }

                impl ::serde::Serialize for $name {
                    fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                        use ::serde::ser::SerializeMap as _;
                        let mut map = serializer.serialize_map(::std::option::Option::None)?;
                        $(qapi_write!(map, $presence $member, self.$field);)*
                        map.end()
                    }
                }
            };
        }
    }
}
