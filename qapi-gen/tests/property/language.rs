//! Schemas as trees, and the text of a tree in one of the many ways in which it can be written.

use std::collections::BTreeMap;

use qapi_gen::doc::SectionKind;

use super::choices::Choices;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    Text(String),
    Flag(bool),
    Array(Vec<Tree>),
    /// An object whose members have an order that means something.
    Members(Vec<(String, Tree)>),
    /// An object whose members have none.
    Keys(BTreeMap<&'static str, Tree>),
    /// What may be written without the object around it, whose only key this is.
    Only(&'static str, Box<Tree>),
}

/// A definition with its documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub tree: Tree,
    pub doc: Option<Doc>,
}

/// Documentation of a definition: its symbol and its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doc {
    pub symbol: String,
    pub sections: Vec<(SectionKind, String)>,
}

/// What stands at the top level of a file.
#[derive(Clone, Debug)]
pub enum Item {
    Definition(Definition),
    Include(String),
    Pragma(Tree),
    Free(String),
}

impl Tree {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// An object with these keys; one that has just the first is `Only`.
    pub fn entry(
        key: &'static str,
        value: Self,
        further: impl IntoIterator<Item = (&'static str, Option<Self>)>,
    ) -> Self {
        let further: BTreeMap<_, _> = further.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        if further.is_empty() {
            return Self::Only(key, Box::new(value));
        }
        Self::Keys(further.into_iter().chain([(key, value)]).collect())
    }

    /// An object with those of the keys that have a value.
    pub fn keys(keys: impl IntoIterator<Item = (&'static str, Option<Self>)>) -> Self {
        Self::Keys(keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }
}

/// Writes items.
pub struct Printer<'a> {
    choices: &'a mut Choices,
    text: String,
}

/// The text of a file.
pub fn print(items: &[Item], choices: &mut Choices) -> String {
    let mut printer = Printer { choices, text: String::new() };
    for item in items {
        printer.item(item);
        printer.text.push('\n');
    }
    printer.text
}

impl Printer<'_> {
    fn item(&mut self, item: &Item) {
        match item {
            Item::Definition(definition) => {
                definition.doc.iter().for_each(|doc| self.doc(doc));
                self.tree(&definition.tree);
            }
            Item::Include(path) => self.tree(&Tree::keys([("include", Some(Tree::text(path)))])),
            Item::Pragma(tree) => self.tree(&Tree::keys([("pragma", Some(tree.clone()))])),
            Item::Free(text) => self.comment(text.lines()),
        }
    }

    fn tree(&mut self, tree: &Tree) {
        match tree {
            Tree::Text(text) => self.token(&format!("'{}'", text.replace('\\', "\\\\"))),
            Tree::Flag(flag) => self.token(if *flag { "true" } else { "false" }),
            Tree::Array(elements) => self.list('[', ']', elements, |printer, element| printer.tree(element)),
            Tree::Members(members) => {
                self.list('{', '}', members, |printer, (name, value)| printer.member(name, value));
            }
            Tree::Keys(keys) => {
                let mut keys: Vec<_> = keys.iter().collect();
                if !keys.is_empty() {
                    let first = self.choices.below(keys.len());
                    keys.rotate_left(first);
                }
                self.list('{', '}', &keys, |printer, (key, value)| printer.member(key, value));
            }
            Tree::Only(key, value) => {
                if self.choices.once_in(3) {
                    self.list('{', '}', &[(key, value)], |printer, (key, value)| printer.member(key, value));
                } else {
                    self.tree(value);
                }
            }
        }
    }

    fn member(&mut self, name: &str, value: &Tree) {
        self.token(&format!("'{name}'"));
        self.token(":");
        self.tree(value);
    }

    fn list<T>(&mut self, open: char, close: char, elements: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.token(&open.to_string());
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                self.token(",");
            }
            write(self, element);
        }
        self.token(&close.to_string());
    }

    fn token(&mut self, token: &str) {
        let between = [" ", "", "\n", "  # a comment, 'of' { no importance\n", "\t", " #\n", "\n\n"];
        self.text.push_str(token);
        self.text.push_str(self.choices.pick(&between));
    }

    fn comment<'b>(&mut self, lines: impl Iterator<Item = &'b str>) {
        let line = |line: &str| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") };
        let lines: String = lines.map(line).collect();
        // A comment starts on a line of its own.
        self.text.push_str(&format!("\n##\n{lines}##\n"));
    }

    fn doc(&mut self, doc: &Doc) {
        let mut lines = vec![format!("@{}:", doc.symbol), String::new()];
        let mut features = false;
        for (kind, text) in &doc.sections {
            let start = match kind {
                SectionKind::Plain => String::new(),
                SectionKind::Member(name) => format!("@{name}:"),
                SectionKind::Feature(name) => {
                    if !std::mem::replace(&mut features, true) {
                        lines.extend(["Features:".to_owned(), String::new()]);
                    }
                    format!("@{name}:")
                }
                SectionKind::Returns => "Returns:".to_owned(),
                SectionKind::Errors => "Errors:".to_owned(),
                SectionKind::Since => "Since:".to_owned(),
                SectionKind::Todo => "TODO:".to_owned(),
            };
            self.section(&start, text, &mut lines);
        }
        self.comment(lines.iter().map(String::as_str));
    }

    fn section(&mut self, start: &str, text: &str, lines: &mut Vec<String>) {
        let indent = " ".repeat(if start.is_empty() { 0 } else { 1 + self.choices.below(6) });
        let indented = |line: &str| if line.is_empty() { String::new() } else { format!("{indent}{line}") };
        let mut text = text.lines();
        if !start.is_empty() {
            // The first line under the tag says how far the text is indented.
            let flat = !text.clone().nth(1).is_some_and(|second| second.starts_with(' '));
            let same_line = flat && !self.choices.once_in(4);
            let first = if same_line { text.next() } else { None };
            lines.push(first.map_or(start.to_owned(), |first| format!("{start} {first}")));
        }
        lines.extend(text.map(indented));
        lines.push(String::new());
    }
}
