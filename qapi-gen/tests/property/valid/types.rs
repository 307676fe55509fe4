//! Enumerations, structs and unions, which obey the rules about names, clashes, bases and branches.

use std::collections::HashSet;

use super::document::Documented;
use super::{MEMBER_NAME, Maker};
use crate::language::Tree;

/// A struct or a union.
#[derive(Clone)]
pub struct Object {
    pub name: String,
    pub is_union: bool,
    /// The names of all members that objects of this type may have.
    possible: HashSet<String>,
    /// Some of the members that each of them may have have a condition.
    pub conditional: bool,
    /// The members that may decide about a branch, with their enumerations.
    discriminators: Vec<(String, String)>,
}

/// Members being listed.
pub struct Listed {
    pub members: Vec<(String, Tree)>,
    /// What is known of them so far, and of those of the base.
    pub object: Object,
}

pub const MEMBERS: [&str; 12] =
    ["a", "b-c", "type", "self", "a1", "a-1", "x-new", "__com.example_m", "list", "q", "kind", "__com.example_x-y2"];
const EXCUSED_MEMBERS: [&str; 4] = ["camelCase", "snake_case", "A", "X_y"];
const VALUES: [&str; 14] =
    ["on", "off", "none", "2k", "1", "self", "a-b", "x-z", "__com.example_v", "all", "any", "type", "a1", "auto"];
const BUILTINS: [&str; 16] = [
    "str", "int", "number", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "size",
    "null", "any", "QType",
];

/// How names are compared.
fn folded(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

impl Object {
    pub fn new(name: &str, is_union: bool) -> Self {
        let (possible, discriminators) = (HashSet::new(), Vec::new());
        Self { name: name.to_owned(), is_union, possible, conditional: false, discriminators }
    }
}

impl Maker<'_> {
    /// Names out of these and, where the definition is excused, of those.
    pub fn names(
        &mut self,
        definition: &str,
        plain: &[&'static str],
        excused: &[&'static str],
        most: usize,
    ) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..self.choices.below(most + 1) {
            if !excused.is_empty() && self.once_in(8) {
                self.excuse(MEMBER_NAME, definition);
                names.push(self.choices.pick(excused).to_owned());
            } else {
                names.push(self.choices.pick(plain).to_owned());
            }
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(folded(name)));
        names
    }

    pub fn enumeration(&mut self, name: &str) -> (Tree, Documented) {
        let mut documented = Documented::default();
        let names = self.names(name, &VALUES, &EXCUSED_MEMBERS, 5);
        let mut values = Vec::new();
        for value in &names {
            documented.members.push(value.clone());
            let further = [self.optional_condition(6), self.features(false, &mut documented)];
            values.push(Tree::entry("name", Tree::text(value), further));
        }
        let prefix = self.once_in(4).then(|| Tree::text(self.choices.pick(&["PRE", "PRE_FIX", "P\\X"])));
        let keys = Tree::keys([
            ("enum", Some(Tree::text(name))),
            ("prefix", prefix),
            ("data", Some(Tree::Array(values))),
            self.optional_condition(6),
            self.features(true, &mut documented),
        ]);
        self.enums.push((name.to_owned(), names));
        (keys, documented)
    }

    /// The name of any type that a member may have.
    pub fn type_name(&mut self) -> String {
        let defined = self.types.clone();
        match self.choices.below(2) {
            1 if !defined.is_empty() => self.choices.any(&defined).expect("a type"),
            _ => self.choices.pick(&BUILTINS).to_owned(),
        }
    }

    pub fn ty(&mut self) -> Tree {
        let name = Tree::Text(self.type_name());
        if self.once_in(4) { Tree::Array(vec![name]) } else { name }
    }

    /// Members that do not clash with those of the base, which is `object`.
    pub fn members(&mut self, object: Object, excused: bool, conditions: bool, documented: &mut Documented) -> Listed {
        let excused: &[&str] = if excused { &EXCUSED_MEMBERS } else { &[] };
        let names = self.names(&object.name.clone(), &MEMBERS, excused, 5);
        let mut listed = Listed { members: Vec::new(), object };
        for name in names {
            if listed.object.possible.insert(folded(&name)) {
                self.member(name, conditions, documented, &mut listed);
            }
        }
        listed
    }

    fn member(&mut self, name: String, conditions: bool, documented: &mut Documented, listed: &mut Listed) {
        documented.members.push(name.clone());
        let condition = if conditions { self.optional_condition(6) } else { ("if", None) };
        let features = self.features(false, documented);
        let enums: Vec<_> = self.enums.iter().map(|(name, _)| name.clone()).collect();
        let decides = self.once_in(3).then(|| self.choices.any(&enums)).flatten();
        let ty = match &decides {
            Some(enumeration) => Tree::text(enumeration),
            None => self.ty(),
        };
        let optional = self.once_in(3);
        listed.object.conditional |= condition.1.is_some();
        if let (Some(enumeration), false, None) = (decides, optional, &condition.1) {
            listed.object.discriminators.push((name.clone(), enumeration));
        }
        let star = if optional { "*" } else { "" };
        listed.members.push((format!("{star}{name}"), Tree::entry("type", ty, [condition, features])));
    }

    pub fn structure(&mut self, name: &str) -> (Tree, Documented) {
        let mut documented = Documented::default();
        let bases: Vec<_> = self.objects.iter().filter(|object| !object.is_union).cloned().collect();
        let base = self.once_in(3).then(|| self.choices.any(&bases)).flatten();
        let mut object = base.clone().unwrap_or_else(|| Object::new(name, false));
        object.name = name.to_owned();
        let listed = self.members(object, true, true, &mut documented);
        let keys = Tree::keys([
            ("struct", Some(Tree::text(name))),
            ("base", base.map(|base| Tree::text(&base.name))),
            ("data", Some(Tree::Members(listed.members))),
            self.optional_condition(6),
            self.features(true, &mut documented),
        ]);
        self.objects.push(listed.object);
        (keys, documented)
    }

    pub fn union(&mut self, name: &str) -> (Tree, Documented) {
        if self.enums.iter().all(|(_, values)| values.is_empty()) {
            return self.structure(name); // nothing can decide
        }
        let mut documented = Documented::default();
        let (base, mut object) = self.union_base(name, &mut documented);
        let (discriminator, enumeration) =
            self.choices.any(&object.discriminators).expect("bases have what can decide");
        let values = self.enums.iter().find(|(name, _)| *name == enumeration).map(|(_, values)| values.clone());
        let fitting: Vec<_> =
            self.objects.iter().filter(|branch| branch.possible.is_disjoint(&object.possible)).cloned().collect();
        let mut branches = Vec::new();
        let mut possible = object.possible.clone();
        for value in values.expect("a known enumeration") {
            if let Some(branch) = self.choices.any(&fitting).filter(|_| !self.once_in(4)) {
                let condition = self.optional_condition(6);
                branches.push((value, Tree::entry("type", Tree::text(&branch.name), [condition])));
                possible.extend(branch.possible);
            }
        }
        object.possible = possible;
        let keys = Tree::keys([
            ("union", Some(Tree::text(name))),
            ("base", Some(base)),
            ("discriminator", Some(Tree::Text(discriminator))),
            ("data", Some(Tree::Members(branches))),
            self.optional_condition(6),
            self.features(true, &mut documented),
        ]);
        self.objects.push(object);
        (keys, documented)
    }

    /// The base of a union, with at least one member that can decide about the branch.
    fn union_base(&mut self, name: &str, documented: &mut Documented) -> (Tree, Object) {
        let with_values: HashSet<_> =
            self.enums.iter().filter(|(_, values)| !values.is_empty()).map(|(name, _)| name.clone()).collect();
        let decides = |(_, enumeration): &(String, String)| with_values.contains(enumeration);
        let bases = self.objects.iter().filter(|object| !object.is_union);
        let bases: Vec<_> = bases.filter(|object| object.discriminators.iter().any(decides)).cloned().collect();
        if let Some(base) = self.choices.any(&bases).filter(|_| self.once_in(3)) {
            let mut object = Object { name: name.to_owned(), is_union: true, ..base.clone() };
            object.discriminators.retain(decides);
            return (Tree::text(&base.name), object);
        }
        let mut listed = self.members(Object::new(name, true), true, true, documented);
        listed.object.discriminators.retain(decides);
        if listed.object.discriminators.is_empty() {
            let member =
                ["kind", "which", "branch"].into_iter().find(|name| listed.object.possible.insert(folded(name)));
            let member = member.expect("one is free");
            let mut enumerations: Vec<_> = with_values.into_iter().collect();
            enumerations.sort();
            let enumeration = self.choices.any(&enumerations).expect("there is one");
            documented.members.push(member.to_owned());
            let further = [self.features(false, documented)];
            listed.members.push((member.to_owned(), Tree::entry("type", Tree::text(&enumeration), further)));
            listed.object.discriminators.push((member.to_owned(), enumeration));
        }
        (Tree::Members(listed.members), listed.object)
    }
}
