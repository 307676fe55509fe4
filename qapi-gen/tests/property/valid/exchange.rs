//! Alternates, commands and events, which obey the rules about what JSON can tell apart, boxes, returns and flags.

use super::document::Documented;
use super::types::{MEMBERS, Object};
use super::{COMMAND_NAME, COMMAND_RETURNS, Maker};
use crate::language::Tree;

impl Maker<'_> {
    pub fn alternate(&mut self, name: &str) -> (Tree, Documented) {
        let mut documented = Documented::default();
        let mut names = self.names(name, &MEMBERS, &[], 5);
        if names.is_empty() {
            names.push("one".to_owned());
        }
        let mut taken = Vec::new();
        let mut branches = Vec::new();
        for name in names {
            let (ty, claims) = self.branch();
            if claims.iter().all(|claim| !taken.contains(claim)) {
                taken.extend(claims);
                documented.members.push(name.clone());
                let condition = self.optional_condition(6);
                branches.push((name, Tree::entry("type", ty, [condition])));
            }
        }
        let keys = Tree::keys([
            ("alternate", Some(Tree::text(name))),
            ("data", Some(Tree::Members(branches))),
            self.optional_condition(6),
            self.features(true, &mut documented),
        ]);
        (keys, documented)
    }

    /// A type for a branch, and the kinds of JSON values that it keeps from other branches.
    fn branch(&mut self) -> (Tree, Vec<&'static str>) {
        let objects: Vec<_> = self.objects.iter().map(|object| object.name.clone()).collect();
        match self.choices.below(6) {
            1 => {
                if let Some((name, values)) = self.choices.any(&self.enums) {
                    let boolean = values.iter().any(|value| matches!(value.as_str(), "on" | "off"));
                    let number = values.iter().any(|value| value.starts_with(|first: char| first.is_ascii_digit()));
                    let further = [("boolean", boolean), ("number", number)];
                    let further = further.into_iter().filter_map(|(kind, claimed)| claimed.then_some(kind));
                    return (Tree::Text(name), ["string"].into_iter().chain(further).collect());
                }
            }
            2 => {
                if let Some(name) = self.choices.any(&objects) {
                    return (Tree::Text(name), vec!["object"]);
                }
            }
            3 => {
                let name = self.type_name();
                return (Tree::Array(vec![Tree::Text(name)]), vec!["array"]);
            }
            _ => {}
        }
        let (name, claims): (_, &[_]) = match self.choices.below(6) {
            0 => ("null", &["null"]),
            1 => ("bool", &["boolean"]),
            2 => ("int", &["number"]),
            3 => ("uint8", &["number"]),
            4 => ("number", &["number"]),
            _ => ("str", &["string", "boolean", "number"]),
        };
        (Tree::text(name), claims.to_vec())
    }

    /// `data` and `boxed`.
    fn data(&mut self, documented: &mut Documented) -> [(&'static str, Option<Tree>); 2] {
        let objects = self.objects.clone();
        let (data, must_box, may_box) = match self.choices.below(3) {
            1 => {
                let listed = self.members(Object::new("", false), false, false, documented);
                (Some(Tree::Members(listed.members)), false, false)
            }
            2 => match self.choices.any(&objects) {
                Some(object) => (Some(Tree::text(&object.name)), object.is_union || object.conditional, true),
                None => (None, false, false),
            },
            _ => (None, false, false),
        };
        let boxed = must_box || (may_box && self.once_in(3));
        [("data", data), ("boxed", boxed.then_some(Tree::Flag(true)))]
    }

    pub fn command(&mut self, name: &str) -> (Tree, Documented) {
        let mut documented = Documented { command: true, ..Documented::default() };
        if name.trim_start_matches("__com.example_").contains('_') {
            self.excuse(COMMAND_NAME, name);
        }
        let objects: Vec<_> = self.objects.iter().map(|object| object.name.clone()).collect();
        let returns = match self.choices.below(4) {
            1 => self.choices.any(&objects).map(Tree::Text),
            2 => self.choices.any(&objects).map(|name| Tree::Array(vec![Tree::Text(name)])),
            3 => {
                self.excuse(COMMAND_RETURNS, name);
                Some(self.ty())
            }
            _ => None,
        };
        documented.returns = returns.is_some();
        let mut keys = vec![("command", Some(Tree::text(name))), ("returns", returns)];
        keys.extend(self.data(&mut documented));
        keys.extend([
            self.flag("gen", false),
            self.flag("success-response", false),
            self.flag("allow-preconfig", true),
        ]);
        // One excludes the other.
        let exclusive = self.choices.pick(&["allow-oob", "coroutine"]);
        keys.push(match exclusive {
            "coroutine" => self.flag("coroutine", true),
            _ => self.flag("allow-oob", true),
        });
        keys.extend([self.optional_condition(6), self.features(false, &mut documented)]);
        (Tree::keys(keys), documented)
    }

    pub fn event(&mut self, name: &str) -> (Tree, Documented) {
        let mut documented = Documented::default();
        let mut keys = vec![("event", Some(Tree::text(name)))];
        keys.extend(self.data(&mut documented));
        keys.extend([self.optional_condition(6), self.features(false, &mut documented)]);
        (Tree::keys(keys), documented)
    }
}
