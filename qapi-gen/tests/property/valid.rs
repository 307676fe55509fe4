//! Valid schemas of every construct of the language, as a tape of decisions has it.

mod document;
mod exchange;
mod types;

use std::collections::{BTreeSet, HashSet};

use super::choices::Choices;
use super::language::{Definition, Item, Tree};
use document::Documented;
use types::Object;

/// A schema: its files, of which the first one is read first and leads to the others.
pub struct Valid {
    pub files: Vec<File>,
    /// The definitions in the order in which they are read, each with the number of its file.
    pub definitions: Vec<(Definition, usize)>,
    /// The free-form comments in that order.
    pub free_form: Vec<String>,
}

/// A file of a schema.
pub struct File {
    pub path: &'static str,
    pub items: Vec<Item>,
}

/// The files that a schema may have, and how they refer to each other: from the file to the file.
const PATHS: [&str; 4] = ["main.json", "other.json", "sub/third.json", "sub/sub/fourth.json"];

fn reference(choices: &mut Choices, from: usize, to: usize) -> String {
    let up = ["", "", "../", "../../"][from];
    let detour = choices.pick(&["", "./", "sub/../", "sub/sub/../../"]);
    // Only the directories of the first file have others in them.
    if up.is_empty() { format!("{detour}{}", PATHS[to]) } else { format!("{up}{detour}{}", PATHS[to]) }
}

/// The schema of a tape.
pub fn schema(choices: &mut Choices) -> Valid {
    let mut maker = Maker::new(choices);
    let mut definitions = maker.definitions();
    let pragmas = maker.pragmas();
    let count = 1 + choices.below(PATHS.len());
    let mut files: Vec<Vec<Item>> = vec![Vec::new(); count];
    while let Some(definition) = choices.any(&(0..definitions.len()).collect::<Vec<_>>()) {
        let definition = Item::Definition(definitions.swap_remove(definition));
        files[choices.below(count)].push(definition);
        if choices.once_in(6) {
            let text = ["= A heading\n\nText.", "Text, with *markup* and\na second line.", "- a list\n- of two", ""];
            files[choices.below(count)].push(Item::Free(choices.pick(&text).to_owned()));
        }
    }
    // Each file is included by one before it, and perhaps by others before it.
    for to in 1..count {
        let needed = choices.below(to);
        for from in (0..to).filter(|&from| from == needed || choices.once_in(3)).collect::<Vec<_>>() {
            for _ in 0..1 + usize::from(choices.once_in(4)) {
                let place = choices.below(files[from].len() + 1);
                let include = Item::Include(reference(choices, from, to));
                files[from].insert(place, include);
            }
        }
    }
    files[0].splice(0..0, pragmas);
    files.iter_mut().for_each(|items| keep_apart(items));
    let mut valid = Valid { files: Vec::new(), definitions: Vec::new(), free_form: Vec::new() };
    read(&files, 0, &mut HashSet::new(), &mut valid);
    valid.files = PATHS.into_iter().zip(files).map(|(path, items)| File { path, items }).collect();
    valid
}

/// Moves free-form comments away from definitions without documentation, which they would seem to belong to.
fn keep_apart(items: &mut [Item]) {
    let belongs = |pair: &[Item]| match pair {
        [Item::Free(_), Item::Definition(definition)] => definition.doc.is_none(),
        _ => false,
    };
    while let Some(place) = items.windows(2).position(belongs) {
        items.swap(place, place + 1);
    }
}

/// Adds what is defined by a file and those that it includes, unless it has been read.
fn read(files: &[Vec<Item>], file: usize, seen: &mut HashSet<usize>, valid: &mut Valid) {
    if !seen.insert(file) {
        return;
    }
    for item in &files[file] {
        match item {
            Item::Definition(definition) => valid.definitions.push((definition.clone(), file)),
            Item::Free(text) => valid.free_form.push(text.clone()),
            Item::Include(path) => {
                let name = path.rsplit('/').next();
                let file = PATHS.iter().position(|path| path.rsplit('/').next() == name).expect("one of the files");
                read(files, file, seen, valid);
            }
            Item::Pragma(_) => {}
        }
    }
}

/// Makes definitions one after the other; later ones may use what is known of earlier ones.
struct Maker<'a> {
    choices: &'a mut Choices,
    /// The names of all types, also of those to come.
    types: Vec<String>,
    taken: HashSet<String>,
    enums: Vec<(String, Vec<String>)>,
    objects: Vec<Object>,
    /// The names of the definitions that a pragma excuses from something.
    excused: [BTreeSet<String>; 4],
    doc_required: bool,
}

/// The pragmas with lists of names.
const LISTS: [&str; 4] =
    ["command-name-exceptions", "command-returns-exceptions", "documentation-exceptions", "member-name-exceptions"];
const COMMAND_NAME: usize = 0;
const COMMAND_RETURNS: usize = 1;
const DOCUMENTATION: usize = 2;
const MEMBER_NAME: usize = 3;

/// What a definition of each kind is called before its number.
const TYPES: [&str; 6] = ["Foo", "Option", "KVMx", "__com.example_Foo", "A1b", "__org.Qemu-x_Thing"];
const COMMANDS: [&str; 6] = ["do-it", "stop", "x-try", "__com.example_do", "type", "do_it"];
const EVENTS: [&str; 4] = ["DONE", "ALL_DONE", "__COM.EXAMPLE_DONE", "__com.example_DONE"];

impl<'a> Maker<'a> {
    fn new(choices: &'a mut Choices) -> Self {
        let doc_required = choices.once_in(3);
        Self {
            choices,
            types: Vec::new(),
            taken: HashSet::new(),
            enums: Vec::new(),
            objects: Vec::new(),
            excused: Default::default(),
            doc_required,
        }
    }

    fn definitions(&mut self) -> Vec<Definition> {
        let counts = [4, 4, 3, 3, 4, 3].map(|most| self.choices.below(most + 1));
        let mut names = counts.map(|_| Vec::new());
        for (kind, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let stems: &[&str] = match kind {
                    0..4 => &TYPES,
                    4 => &COMMANDS,
                    _ => &EVENTS,
                };
                let name = self.name(stems);
                names[kind].push(name);
            }
        }
        self.types = names[..4].concat();
        let makers = [Self::enumeration, Self::structure, Self::union, Self::alternate, Self::command, Self::event];
        let mut definitions = Vec::new();
        for (names, make) in names.iter().zip(makers) {
            for name in names {
                let (keys, documented) = make(self, name);
                let doc = self.doc(name, documented);
                definitions.push(Definition { tree: keys, doc });
            }
        }
        definitions
    }

    fn name(&mut self, stems: &[&str]) -> String {
        let stem = self.choices.pick(stems);
        let name = (1..).map(|number| format!("{stem}{number}")).find(|name| self.taken.insert(name.clone()));
        name.expect("numbers do not end")
    }

    fn excuse(&mut self, from: usize, name: &str) {
        self.excused[from].insert(name.to_owned());
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.choices.once_in(times)
    }

    fn flag(&mut self, key: &'static str, value: bool) -> (&'static str, Option<Tree>) {
        (key, self.once_in(4).then_some(Tree::Flag(value)))
    }

    fn pragmas(&mut self) -> Vec<Item> {
        let mut pragmas = Vec::new();
        // The last list counts.
        for decoys in [true, false] {
            for (list, names) in LISTS.into_iter().zip(self.excused.clone()) {
                let decoy = decoys && self.once_in(6);
                if decoy || (!decoys && (!names.is_empty() || self.once_in(6))) {
                    let names =
                        if decoy { vec![Tree::text("Nobody")] } else { names.iter().map(|n| Tree::text(n)).collect() };
                    pragmas.push(Item::Pragma(Tree::keys([(list, Some(Tree::Array(names)))])));
                }
            }
        }
        if self.doc_required || self.once_in(3) {
            let required = Tree::Flag(self.doc_required);
            pragmas.push(Item::Pragma(Tree::keys([("doc-required", Some(required))])));
        }
        pragmas
    }

    fn condition(&mut self, depth: usize) -> Tree {
        let symbols = ["CONFIG_LINUX", "A", "HAVE_2_X", "CONFIG_WIN32"];
        let kind = if depth == 3 { 0 } else { self.choices.below(5).saturating_sub(1) };
        match kind {
            0 => Tree::text(self.choices.pick(&symbols)),
            1 => Tree::keys([("not", Some(self.condition(depth + 1)))]),
            other => {
                let count = 1 + self.choices.below(3);
                let operands = (0..count).map(|_| self.condition(depth + 1)).collect();
                Tree::keys([(if other == 2 { "all" } else { "any" }, Some(Tree::Array(operands)))])
            }
        }
    }

    fn optional_condition(&mut self, times: usize) -> (&'static str, Option<Tree>) {
        ("if", self.once_in(times).then(|| self.condition(0)))
    }

    /// Features of a type, or of something that may also be deprecated. Their names are added to the documented ones.
    fn features(&mut self, of_type: bool, documented: &mut Documented) -> (&'static str, Option<Tree>) {
        let names = ["fast", "x-slow", "deprecated", "__com.example_new", "unstable", "self", "a1"];
        let mut features = Vec::new();
        if self.once_in(4) {
            let start = self.choices.below(names.len());
            for name in names.iter().cycle().skip(start).take(1 + self.choices.below(3)) {
                if !of_type || !matches!(*name, "deprecated" | "unstable") {
                    documented.features.insert((*name).to_owned());
                    features.push(Tree::entry("name", Tree::text(name), [self.optional_condition(4)]));
                }
            }
        }
        ("features", (!features.is_empty()).then_some(Tree::Array(features)))
    }
}
