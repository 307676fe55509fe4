//! The built-in types in words.

use crate::schema::Builtin;

/// What a value of the type is on the wire.
pub const fn meaning(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::Str => "a string",
        Builtin::Number => "a number, which need not be whole",
        Builtin::Int | Builtin::Int64 => "a whole number, from -9223372036854775808 to 9223372036854775807",
        Builtin::Int8 => "a whole number, from -128 to 127",
        Builtin::Int16 => "a whole number, from -32768 to 32767",
        Builtin::Int32 => "a whole number, from -2147483648 to 2147483647",
        Builtin::Uint8 => "a whole number, from 0 to 255",
        Builtin::Uint16 => "a whole number, from 0 to 65535",
        Builtin::Uint32 => "a whole number, from 0 to 4294967295",
        Builtin::Uint64 => "a whole number, from 0 to 18446744073709551615",
        Builtin::Size => "a number of bytes, from 0 to 18446744073709551615",
        Builtin::Bool => "true or false",
        Builtin::Null => "null",
        Builtin::Any => "any value",
        Builtin::QType => "the type of a JSON value, a string",
    }
}
