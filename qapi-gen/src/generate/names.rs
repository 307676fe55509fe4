//! Schema names to Rust names: one rule for each case, total over every name, unique in each scope.

use std::collections::HashSet;

use proc_macro2::{Ident, Span};

/// `io-error`, `BLOCK_IO_ERROR` and `__com.example_Foo` become `IoError`, `BlockIoError` and `ComExampleFoo`; a name
/// that is in camel case stays as it is.
pub fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    for word in words(name) {
        // Digits on both sides of a separator would become another number.
        let digit = |c: char| c.is_ascii_digit();
        if camel.ends_with(digit) && word.starts_with(digit) {
            camel.push('_');
        }
        let shouted = !word.contains(|c: char| c.is_lowercase());
        let mut chars = word.chars();
        camel.extend(chars.next().iter().flat_map(|c| c.to_uppercase()));
        if shouted {
            camel.extend(chars.flat_map(char::to_lowercase));
        } else {
            camel.push_str(chars.as_str());
        }
    }
    not_a_number(camel)
}

/// `stop-id`, `fooBar` and `__com.example_x` become `stop_id`, `foo_bar` and `com_example_x`.
pub fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for word in words(name) {
        if !snake.is_empty() {
            snake.push('_');
        }
        let mut after_lower = false;
        for c in word.chars() {
            if c.is_uppercase() && after_lower {
                snake.push('_');
            }
            after_lower = !c.is_uppercase();
            snake.extend(c.to_lowercase());
        }
    }
    not_a_number(snake)
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// An identifier must not be empty nor start with a digit.
fn not_a_number(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("_{name}") }
}

/// The names that are taken in a scope.
#[derive(Debug, Default)]
pub struct Scope {
    taken: HashSet<String>,
}

impl Scope {
    /// A scope in which some names are taken.
    pub fn with(taken: &[&str]) -> Self {
        Self { taken: taken.iter().map(|&name| name.to_owned()).collect() }
    }

    /// Whether a name is taken.
    pub fn has(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// An identifier for `name`, unlike all others of the scope.
    pub fn claim(&mut self, mut name: String) -> Ident {
        if matches!(name.as_str(), "self" | "Self" | "super" | "crate" | "_") {
            // These cannot be raw identifiers.
            name.push('_');
        }
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        if is_keyword(&name) { Ident::new_raw(&name, Span::call_site()) } else { Ident::new(&name, Span::call_site()) }
    }
}

/// The identifiers of a list of names in a scope of their own.
pub fn idents<'a>(names: impl Iterator<Item = &'a str>, case: fn(&str) -> String) -> Vec<Ident> {
    let mut scope = Scope::default();
    names.map(|name| scope.claim(case(name))).collect()
}

/// The keywords of the 2024 edition, strict and reserved.
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: [&str; 49] = [
        "abstract",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "const",
        "continue",
        "do",
        "dyn",
        "else",
        "enum",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "pub",
        "ref",
        "return",
        "static",
        "struct",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
        "macro_rules",
    ];
    KEYWORDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camel_case_is_one_rule() {
        for (name, expected) in [
            ("io-error", "IoError"),
            ("BLOCK_IO_ERROR", "BlockIoError"),
            ("BlockdevOptionsFile", "BlockdevOptionsFile"),
            ("KVMMissingCap", "KVMMissingCap"),
            ("__com.example_Foo", "ComExampleFoo"),
            ("__COM.EXAMPLE_FOO", "ComExampleFoo"),
            ("2k", "_2k"),
            ("q35-9-1", "Q35_9_1"),
            ("--", "_"),
        ] {
            assert_eq!(camel(name), expected);
        }
    }

    #[test]
    fn snake_case_is_one_rule() {
        for (name, expected) in [
            ("stop-id", "stop_id"),
            ("fooBar", "foo_bar"),
            ("KVM", "kvm"),
            ("x2APIC", "x2_apic"),
            ("__com.example_x-y", "com_example_x_y"),
            ("1x", "_1x"),
        ] {
            assert_eq!(snake(name), expected);
        }
    }

    #[test]
    fn identifiers_are_unique_and_no_keywords() {
        let names = ["type", "self", "a-1", "a_1", "gen", "_"];
        let idents = idents(names.into_iter(), snake);
        let idents: Vec<_> = idents.iter().map(ToString::to_string).collect();
        assert_eq!(idents, ["r#type", "self_", "a_1", "a_1_", "r#gen", "__"]);
    }
}
