//! Parts that stand in many definitions: sets of keys, conditions, features, flags.

use super::{Reader, Subject};
use crate::name::{self, Licence};
use crate::schema::{Condition, Feature};
use crate::source::Span;
use crate::suggest;
use crate::value::{Key, Object, Value, ValueKind};

impl Reader<'_, '_> {
    /// Checks that all the required keys are there, and no others than these and the optional ones.
    pub(super) fn keys(
        &mut self,
        object: &Object,
        place: Span,
        subject: Subject<'_>,
        required: &[&str],
        optional: &[&str],
    ) {
        let valid = || required.iter().chain(optional).copied();
        let keys = object.members.iter().map(|(key, _)| key);
        let unknown: Vec<_> = keys.filter(|key| valid().all(|valid| valid != key.name)).collect();
        let suggestion = |key: &Key| suggest::nearest(&key.name, valid());
        // A key that is misspelt is not missing, too.
        let misspelt = |missing: &str| {
            let meant =
                |key: &&Key| suggest::nearest(&key.name, [missing]).is_some_and(|it| suggestion(key) == Some(it));
            unknown.iter().any(meant)
        };
        let missing = required.iter().filter(|key| object.find(key).is_none() && !misspelt(key));
        let missing: Vec<_> = missing.map(|key| format!("'{key}'")).collect();
        if !missing.is_empty() {
            let plural = if missing.len() > 1 { "s" } else { "" };
            self.error(place, format!("{subject} misses key{plural} {}", missing.join(", ")));
        }
        for &key in &unknown {
            let help = suggestion(key).unwrap_or_else(|| {
                let mut valid: Vec<_> = valid().collect();
                valid.sort_unstable();
                format!("valid keys are '{}'", valid.join("', '"))
            });
            self.error_with_help(key.span, format!("{subject} has unknown key '{}'", key.name), Some(help));
        }
    }

    /// Reads the key `if`.
    pub(super) fn condition(&mut self, object: &Object, subject: Subject<'_>) -> Option<Condition> {
        self.condition_value(object.find("if")?, subject)
    }

    fn condition_value(&mut self, value: &Value, subject: Subject<'_>) -> Option<Condition> {
        match &value.kind {
            ValueKind::String(symbol) => {
                let valid = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
                if symbol.starts_with(|c: char| c.is_ascii_uppercase()) && symbol.bytes().all(valid) {
                    return Some(Condition::Symbol(symbol.clone()));
                }
                let message = format!("'if' condition '{symbol}' of {subject} is not a valid identifier");
                self.error(value.span, message);
                None
            }
            ValueKind::Object(object) => self.condition_object(object, value.span, subject),
            ValueKind::Array(_) | ValueKind::Boolean(_) => {
                self.error(value.span, format!("'if' condition of {subject} must be a string or an object"));
                None
            }
        }
    }

    fn condition_object(&mut self, object: &Object, place: Span, subject: Subject<'_>) -> Option<Condition> {
        let name = format!("'if' condition of {subject}");
        for (key, _) in &object.members {
            if !matches!(key.name.as_str(), "all" | "any" | "not") {
                let message = format!("{name} has unknown key '{}'", key.name);
                self.error_with_help(key.span, message, Some("valid keys are 'all', 'any', 'not'".to_owned()));
                return None;
            }
        }
        let [(key, operand)] = object.members.as_slice() else {
            self.error(place, format!("{name} has conflicting keys"));
            return None;
        };
        match key.name.as_str() {
            "not" => Some(Condition::Not(Box::new(self.condition_value(operand, subject)?))),
            "all" => self.operands("all", operand, subject).map(Condition::All),
            _ => self.operands("any", operand, subject).map(Condition::Any),
        }
    }

    fn operands(&mut self, operator: &str, value: &Value, subject: Subject<'_>) -> Option<Vec<Condition>> {
        let Some(operands) = value.as_array() else {
            self.error(value.span, format!("'{operator}' condition of {subject} must be an array"));
            return None;
        };
        if operands.is_empty() {
            self.error(value.span, format!("'if' condition [] of {subject} is useless"));
        }
        operands.iter().map(|operand| self.condition_value(operand, subject)).collect()
    }

    /// Reads the value of the key `features`.
    pub(super) fn features(&mut self, value: Option<&Value>) -> Vec<Feature> {
        let Some(value) = value else {
            return Vec::new();
        };
        let Some(elements) = value.as_array() else {
            self.error(value.span, "'features' must be an array");
            return Vec::new();
        };
        elements.iter().filter_map(|element| self.feature(element)).collect()
    }

    fn feature(&mut self, value: &Value) -> Option<Feature> {
        let (name, condition) = self.named_entry(value, "features", &["if"])?;
        let subject = Subject::Member("features", name);
        self.check_rule(name::lower(name, Licence::default()), value.span, subject);
        let condition = condition.and_then(|object| self.condition(object, subject));
        Some(Feature { name: name.to_owned(), span: value.span, condition })
    }

    /// The name of an array's element, which is a string or an object with the key `name`.
    pub(super) fn named_entry<'v>(
        &mut self,
        value: &'v Value,
        key: &str,
        optional: &[&str],
    ) -> Option<(&'v str, Option<&'v Object>)> {
        if let Some(name) = value.as_str() {
            return Some((name, None));
        }
        let subject = Subject::Entry(key);
        let object = value.as_object();
        if let Some(object) = object {
            self.keys(object, value.span, subject, &["name"], optional);
            object.find("name")?;
        }
        let name = object.and_then(|object| object.find("name")).and_then(Value::as_str);
        if name.is_none() {
            self.error(value.span, format!("{subject} requires a string name"));
        }
        name.map(|name| (name, object))
    }

    /// Checks the values of flags and how they exclude each other.
    pub(super) fn check_flags(&mut self) {
        let named = self.named;
        let flag = |key: &str| named.object.find(key);
        for (keys, only) in [
            (["gen", "success-response"].as_slice(), false),
            (["boxed", "allow-oob", "allow-preconfig", "coroutine"].as_slice(), true),
        ] {
            for key in keys {
                if let Some(value) = flag(key).filter(|value| value.as_bool() != Some(only)) {
                    self.error(value.span, format!("flag '{key}' may only use {only} value"));
                }
            }
        }
        if let (Some(_), Some(coroutine)) = (flag("allow-oob"), flag("coroutine")) {
            self.error(coroutine.span, "flags 'allow-oob' and 'coroutine' are incompatible");
        }
    }
}
