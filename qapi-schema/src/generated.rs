//! What generated code says in one line: how enumerations, objects and events are read and written.
//!
//! Each part may carry attributes, which are conditions: `#[cfg(...)]` on a value, a member or a branch.

/// The values of an enumeration: its variants, each with its name on the wire.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_enum {
    ($name:ident { $($(#[$condition:meta])* $variant:ident $wire:literal),* $(,)? }) => {
        impl $name {
            /// Every value, in the order of the schema.
            pub const ALL: &'static [Self] = &[$($(#[$condition])* Self::$variant),*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($(#[$condition])* Self::$variant => $wire,)* }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(name: &str) -> ::std::result::Result<Self, $crate::Error> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == name);
                found.ok_or_else(|| {
                    let valid: ::std::vec::Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
                    let valid = valid.join(", ");
                    $crate::Error::generic(::std::format!("Invalid value '{name}', expected one of {valid}"))
                })
            }
        }

        impl $crate::FromValue for $name {
            fn from_value(
                value: $crate::serde_json::Value,
                at: &$crate::Visitor<'_>,
            ) -> ::std::result::Result<Self, $crate::Error> {
                let name = value.as_str().ok_or_else(|| at.invalid_type("string"))?;
                name.parse().map_err(|_| at.invalid_value(name))
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        $crate::qapi_deserialize!($name);
    };
}

/// `Deserialize` through a tree, so that there is one reader, which is strict.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_deserialize {
    ($name:ident) => {
        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let value = $crate::serde::Deserialize::deserialize(deserializer)?;
                let read = $crate::FromValue::from_value(value, &$crate::Visitor::json());
                read.map_err($crate::serde::de::Error::custom)
            }
        }
    };
}

/// The members of an object: its fields, each with whether it is required and its name on the wire.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_object {
    ($name:ident { $($(#[$condition:meta])* $field:ident $presence:ident $wire:literal),* $(,)? }) => {
        impl $crate::FromMembers for $name {
            #[allow(unused_variables)]
            fn from_members(members: &mut $crate::Members<'_>) -> ::std::result::Result<Self, $crate::Error> {
                ::std::result::Result::Ok(Self { $($(#[$condition])* $field: members.$presence($wire)?),* })
            }
        }

        impl $crate::SerializeMembers for $name {
            #[allow(unused_variables)]
            fn serialize_members<M: $crate::serde::ser::SerializeMap>(
                &self,
                map: &mut M,
            ) -> ::std::result::Result<(), M::Error> {
                $($(#[$condition])* $crate::qapi_write!(map, $presence $wire, self.$field);)*
                ::std::result::Result::Ok(())
            }
        }

        $crate::qapi_whole_object!($name);
    };
}

/// The members of a union: `field: required "name"` for those that are always there, `field: Kind "name"` for the one
/// that decides, whose branch is read last, so that errors name the first wrong member in the order of the schema.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_union {
    (
        $name:ident
        { $($(#[$before:meta])* $first:ident $first_presence:ident $first_wire:literal),* }
        $tag:ident $kind:ident $tag_wire:literal
        { $($(#[$after:meta])* $last:ident $last_presence:ident $last_wire:literal),* }
    ) => {
        impl $crate::FromMembers for $name {
            fn from_members(members: &mut $crate::Members<'_>) -> ::std::result::Result<Self, $crate::Error> {
                // In the order of the schema: of several faults the first is told.
                $($(#[$before])* let $first = members.$first_presence($first_wire)?;)*
                let discriminator = members.required($tag_wire)?;
                $($(#[$after])* let $last = members.$last_presence($last_wire)?;)*
                let $tag = $kind::from_members(discriminator, members)?;
                ::std::result::Result::Ok(Self { $($(#[$before])* $first,)* $tag, $($(#[$after])* $last,)* })
            }
        }

        impl $crate::SerializeMembers for $name {
            fn serialize_members<M: $crate::serde::ser::SerializeMap>(
                &self,
                map: &mut M,
            ) -> ::std::result::Result<(), M::Error> {
                $($(#[$before])* $crate::qapi_write!(map, $first_presence $first_wire, self.$first);)*
                $crate::qapi_write!(map, required $tag_wire, self.$tag.discriminator());
                $($(#[$after])* $crate::qapi_write!(map, $last_presence $last_wire, self.$last);)*
                self.$tag.serialize_members(map)
            }
        }

        $crate::qapi_whole_object!($name);
    };
}

/// The branches of a union: `Variant(held)` with members of its own, `Variant` without.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_branches {
    ($name:ident $discriminator:path { $($(#[$condition:meta])* $variant:ident $(($held:ident))?),* $(,)? }) => {
        impl $name {
            /// The value that decides for this branch.
            pub const fn discriminator(&self) -> $discriminator {
                use $discriminator as Discriminator;
                match self {
                    $($(#[$condition])* Self::$variant $(($crate::qapi_ignore!($held)))? => Discriminator::$variant,)*
                }
            }

            #[allow(unused_variables)]
            fn from_members(
                discriminator: $discriminator,
                members: &mut $crate::Members<'_>,
            ) -> ::std::result::Result<Self, $crate::Error> {
                use $discriminator as Discriminator;
                ::std::result::Result::Ok(match discriminator {
                    $($(#[$condition])* Discriminator::$variant => {
                        $(let $held = $crate::FromMembers::from_members(members)?;)?
                        Self::$variant $(($held))?
                    })*
                })
            }

            #[allow(unused_variables)]
            fn serialize_members<M: $crate::serde::ser::SerializeMap>(
                &self,
                map: &mut M,
            ) -> ::std::result::Result<(), M::Error> {
                match self {
                    $($(#[$condition])* Self::$variant $(($held))? => {
                        $($crate::SerializeMembers::serialize_members($held, map)?;)?
                    })*
                }
                ::std::result::Result::Ok(())
            }
        }
    };
}

/// The pattern that ignores what a variant holds.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_ignore {
    ($held:ident) => {
        _
    };
}

/// The branches of an alternate, each with the JSON type that decides for it.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_alternate {
    ($name:ident { $($(#[$condition:meta])* $variant:ident $ty:ident),* $(,)? }) => {
        impl $crate::FromValue for $name {
            fn from_value(
                value: $crate::serde_json::Value,
                at: &$crate::Visitor<'_>,
            ) -> ::std::result::Result<Self, $crate::Error> {
                match $crate::QType::of(&value) {
                    $($(#[$condition])* $crate::QType::$ty => {
                        $crate::FromValue::from_value(value, at).map(Self::$variant)
                    })*
                    #[allow(clippy::wildcard_enum_match_arm)]
                    _ => {
                        let expected = $crate::QType::any_of(&[$($(#[$condition])* $crate::QType::$ty),*]);
                        ::std::result::Result::Err(at.invalid_type(&expected))
                    }
                }
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                match self {
                    $($(#[$condition])* Self::$variant(value) => {
                        $crate::serde::Serialize::serialize(value, serializer)
                    })*
                }
            }
        }

        $crate::qapi_deserialize!($name);
    };
}

/// An object of its own, on top of how its members are read and written among others.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_whole_object {
    ($name:ident) => {
        impl $crate::FromValue for $name {
            fn from_value(
                value: $crate::serde_json::Value,
                at: &$crate::Visitor<'_>,
            ) -> ::std::result::Result<Self, $crate::Error> {
                $crate::Command::arguments(&mut $crate::Members::open(value, at)?)
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(::std::option::Option::None)?;
                $crate::SerializeMembers::serialize_members(self, &mut map)?;
                $crate::serde::ser::SerializeMap::end(map)
            }
        }

        $crate::qapi_deserialize!($name);
    };
}

/// Writes one member.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_write {
    ($map:ident, required $wire:literal, $value:expr) => {
        $crate::serde::ser::SerializeMap::serialize_entry($map, $wire, &$value)?
    };
    ($map:ident, optional $wire:literal, $value:expr) => {
        if let ::std::option::Option::Some(value) = &$value {
            $crate::serde::ser::SerializeMap::serialize_entry($map, $wire, value)?;
        }
    };
}

/// The data of an event: none, its fields, or all of a type.
#[doc(hidden)]
#[macro_export]
macro_rules! qapi_event {
    ($name:ident $wire:literal) => {
        impl $crate::Event for $name {
            fn name(&self) -> &'static str {
                $wire
            }

            fn data(&self) -> ::std::option::Option<&dyn $crate::Wire> {
                ::std::option::Option::None
            }
        }
    };
    ($name:ident $wire:literal boxed) => {
        impl $crate::Event for $name {
            fn name(&self) -> &'static str {
                $wire
            }

            fn data(&self) -> ::std::option::Option<&dyn $crate::Wire> {
                ::std::option::Option::Some(&self.0)
            }
        }
    };
    ($name:ident $wire:literal { $($(#[$condition:meta])* $field:ident $presence:ident $member:literal),* $(,)? }) => {
        impl $crate::Event for $name {
            fn name(&self) -> &'static str {
                $wire
            }

            fn data(&self) -> ::std::option::Option<&dyn $crate::Wire> {
                ::std::option::Option::Some(self)
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(::std::option::Option::None)?;
                let entries = &mut map;
                $($(#[$condition])* $crate::qapi_write!(entries, $presence $member, self.$field);)*
                $crate::serde::ser::SerializeMap::end(map)
            }
        }
    };
}
