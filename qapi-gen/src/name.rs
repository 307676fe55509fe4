//! The naming rules of the language: which names are allowed, and which ones collide.

use std::borrow::Cow;

/// What may be bent in a lower-case name, for historical reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Licence {
    /// Upper case.
    pub uppercase: bool,
    /// The character `_`.
    pub underscore: bool,
}

/// How a name breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It is no name at all, or in the namespace of the generator.
    Invalid,
    /// It should be in upper case, with `_`.
    NotUpper,
    /// It should be in lower case, with `-`.
    NotLower,
    /// It should be in CamelCase.
    NotCamel,
}

/// The name without the downstream prefix `__RFQDN_` and the experimental prefix `x-`.
fn stem(name: &str) -> Result<&str, Violation> {
    let rest = match name.strip_prefix("__") {
        Some(downstream) => {
            let (domain, rest) = downstream.split_once('_').ok_or(Violation::Invalid)?;
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
            if domain.is_empty() || !domain.bytes().all(allowed) {
                return Err(Violation::Invalid);
            }
            rest
        }
        None => name,
    };
    let starts_with_letter = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    let experimental = rest.strip_prefix("x-").or_else(|| rest.strip_prefix("X-"));
    let stem = experimental.filter(|stem| starts_with_letter(stem)).unwrap_or(rest);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !starts_with_letter(stem) || !stem.bytes().all(allowed) || folded(name).starts_with("q_") {
        return Err(Violation::Invalid);
    }
    Ok(stem)
}

/// Checks the name of an event.
///
/// # Errors
/// How it breaks the rules.
pub fn upper(name: &str) -> Result<(), Violation> {
    let shouted = |byte: u8| !byte.is_ascii_lowercase() && byte != b'-';
    if stem(name)?.bytes().all(shouted) { Ok(()) } else { Err(Violation::NotUpper) }
}

/// Checks the name of a command, member, branch or feature.
///
/// # Errors
/// How it breaks the rules.
pub fn lower(name: &str, licence: Licence) -> Result<(), Violation> {
    let allowed = |byte: u8| match byte {
        b'A'..=b'Z' => licence.uppercase,
        b'_' => licence.underscore,
        _ => true,
    };
    if stem(name)?.bytes().all(allowed) { Ok(()) } else { Err(Violation::NotLower) }
}

/// Checks the name of an enumeration's value, which may start with a digit.
///
/// # Errors
/// How it breaks the rules.
pub fn value(name: &str, licence: Licence) -> Result<(), Violation> {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        lower(&format!("d{name}"), licence)
    } else {
        lower(name, licence)
    }
}

/// Checks the name of a type.
///
/// # Errors
/// How it breaks the rules.
pub fn camel(name: &str) -> Result<(), Violation> {
    let stem = stem(name)?;
    let camel = stem.starts_with(|c: char| c.is_ascii_uppercase())
        && stem.bytes().any(|byte| byte.is_ascii_lowercase())
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if camel { Ok(()) } else { Err(Violation::NotCamel) }
}

/// The name as far as it distinguishes members: `a-b`, `a_b` and `a.b` are the same.
pub fn folded(name: &str) -> Cow<'_, str> {
    let odd = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    if name.contains(odd) { Cow::Owned(name.replace(odd, "_")) } else { Cow::Borrowed(name) }
}

/// Whether a member's name is reserved for the C code that QEMU generates.
pub fn is_reserved_member(name: &str) -> bool {
    let folded = folded(name);
    folded == "u" || folded.starts_with("has_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Licence = Licence { uppercase: false, underscore: false };

    #[test]
    fn prefixes_are_not_part_of_the_stem() {
        assert_eq!(lower("__com.example-2_x-my-name", STRICT), Ok(()));
        assert_eq!(camel("__com.example_Foo"), Ok(()));
        assert_eq!(upper("__COM.EXAMPLE_FOO_2"), Ok(()));
        assert_eq!(lower("x-", STRICT), Ok(()));
    }

    #[test]
    fn what_is_no_name_is_invalid() {
        for name in ["", "_a", "1a", "__x", "___a", "__a$b_c", "a b", "q-x", "q_x", "*a", "-a"] {
            assert_eq!(lower(name, STRICT), Err(Violation::Invalid), "{name}");
        }
    }

    #[test]
    fn each_kind_of_name_has_its_case() {
        assert_eq!(lower("aB", STRICT), Err(Violation::NotLower));
        assert_eq!(lower("a_b", Licence { underscore: true, ..STRICT }), Ok(()));
        assert_eq!(lower("aB", Licence { uppercase: true, ..STRICT }), Ok(()));
        assert_eq!(camel("FOO"), Err(Violation::NotCamel));
        assert_eq!(camel("Foo_bar"), Err(Violation::NotCamel));
        assert_eq!(upper("FOO-BAR"), Err(Violation::NotUpper));
        assert_eq!(value("2k", STRICT), Ok(()));
    }
}
