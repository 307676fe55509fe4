//! The answer to `query-qmp-schema` as text, every condition taken as true.

use super::{Case, Conditional, Entity, Kind, Member, Value};

/// A JSON array with an entity on each line.
///
/// No name in a schema has a character that JSON would escape.
pub fn json(entities: &[Conditional<'_, Entity<'_>>]) -> String {
    let lines: Vec<_> = entities.iter().map(|entity| format!("\n  {}", self::entity(&entity.item))).collect();
    let end = if lines.is_empty() { "" } else { "\n" };
    format!("[{}{end}]\n", lines.join(","))
}

fn entity(Entity { name, features, kind }: &Entity<'_>) -> String {
    let (meta_type, rest) = match kind {
        Kind::Builtin(json_type) => ("builtin", format!(r#""json-type": "{json_type}""#)),
        Kind::Enum(values) => ("enum", {
            let members = array(values, |Value { name, features }| {
                format!(r#"{{"name": "{name}"{}}}"#, self::features(features))
            });
            format!(r#""members": {members}, "values": {}"#, array(values, |value| string(value.name)))
        }),
        Kind::Array(element_type) => ("array", format!(r#""element-type": "{element_type}""#)),
        Kind::Object { members, variants } => ("object", {
            let variants = variants.as_ref().map(|variants| {
                let cases =
                    array(&variants.cases, |Case { value, ty }| format!(r#"{{"case": "{value}", "type": "{ty}"}}"#));
                format!(r#", "tag": "{}", "variants": {cases}"#, variants.tag)
            });
            format!(r#""members": {}{}"#, array(members, member), variants.unwrap_or_default())
        }),
        Kind::Alternate(types) => {
            ("alternate", format!(r#""members": {}"#, array(types, |ty| format!(r#"{{"type": "{ty}"}}"#))))
        }
        Kind::Command { arg_type, ret_type, allow_oob } => ("command", {
            let allow_oob = if *allow_oob { r#", "allow-oob": true"# } else { "" };
            format!(r#""arg-type": "{arg_type}", "ret-type": "{ret_type}"{allow_oob}"#)
        }),
        Kind::Event { arg_type } => ("event", format!(r#""arg-type": "{arg_type}""#)),
    };
    format!(r#"{{"name": "{name}", "meta-type": "{meta_type}"{}, {rest}}}"#, self::features(features))
}

fn member(Member { name, ty, optional, features }: &Member<'_>) -> String {
    let default = if *optional { r#", "default": null"# } else { "" };
    format!(r#"{{"name": "{name}", "type": "{ty}"{default}{}}}"#, self::features(features))
}

/// The features as a further member of an object, where there are any.
fn features(features: &[Conditional<'_, &str>]) -> String {
    if features.is_empty() {
        return String::new();
    }
    format!(r#", "features": {}"#, array(features, |name| string(name)))
}

fn array<T>(list: &[Conditional<'_, T>], element: impl Fn(&T) -> String) -> String {
    let elements: Vec<_> = list.iter().map(|conditional| element(&conditional.item)).collect();
    format!("[{}]", elements.join(", "))
}

fn string(name: &str) -> String {
    format!("\"{name}\"")
}
