//! The ids of what a manual's links lead to. Each part of a schema has one, made from its name, that lasts.

use std::collections::HashSet;

use crate::schema::{Builtin, Definition};

/// The id of the contents.
pub const CONTENTS: &str = "contents";

/// The id of the index.
pub const INDEX: &str = "index";

/// The id of the list of built-in types.
pub const BUILTINS: &str = "builtin-types";

/// The id of a definition.
pub fn definition(definition: &Definition) -> String {
    format!("{}-{}", definition.kind.keyword(), definition.name)
}

/// The id of the name in an entry's heading.
pub fn heading(definition: &str) -> String {
    format!("{definition}~name")
}

/// The id of a built-in type.
pub fn builtin(builtin: Builtin) -> String {
    format!("builtin-{}", builtin.name())
}

/// The id of a member, an argument, a value of an enumeration.
pub fn member(definition: &str, name: &str) -> String {
    format!("{definition}.{name}")
}

/// The id of a union's branch.
pub fn branch(definition: &str, name: &str) -> String {
    format!("{definition}.when.{name}")
}

/// The id of a feature.
pub fn feature(definition: &str, name: &str) -> String {
    format!("{definition}.feature.{name}")
}

/// The id of a section, whose title another one may have too.
pub fn section(title: &str, taken: &mut HashSet<String>) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words.map(|word| format!("-{}", word.to_ascii_lowercase())).collect();
    let numbered = (1..).map(|number| match number {
        1 => format!("section{name}"),
        _ => format!("section{name}-{number}"),
    });
    numbered.into_iter().find(|id| taken.insert(id.clone())).unwrap_or_default()
}
