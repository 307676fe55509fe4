//! The checked schema: every definition with its name, place, documentation and kind, every type name resolved.

mod condition;
mod listed;
mod ty;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::doc::Doc;
use crate::source::{FileId, Sources, Span};
pub use condition::Condition;
pub use listed::Listed;
pub use ty::{Builtin, Type, TypeId};

/// A schema without errors.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(crate) sources: Sources,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) by_name: HashMap<String, DefinitionId>,
    pub(crate) free_form: Vec<Doc>,
}

/// A definition of a [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionId(pub(crate) u32);

impl DefinitionId {
    /// The number.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A type, command or event.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its number.
    pub id: DefinitionId,
    /// Its name on the wire or, of a type, in the schema.
    pub name: String,
    /// Where it starts.
    pub span: Span,
    /// Its documentation.
    pub doc: Option<Doc>,
    /// Under which condition it exists.
    pub condition: Option<Condition>,
    /// Its features.
    pub features: Vec<Feature>,
    /// What it is.
    pub kind: DefinitionKind,
}

/// What a definition is.
#[derive(Clone, Debug)]
pub enum DefinitionKind {
    /// A string out of a list.
    Enum(Enum),
    /// An object.
    Struct(Struct),
    /// An object whose further members depend on one of them.
    Union(Union),
    /// One of several types that JSON can tell apart.
    Alternate(Alternate),
    /// What a client may ask.
    Command(Command),
    /// What a client may be told.
    Event(Event),
}

/// A string out of a list.
#[derive(Clone, Debug)]
pub struct Enum {
    /// What the names of the C constants start with.
    pub prefix: Option<String>,
    /// The strings.
    pub values: Vec<EnumValue>,
}

/// A string of an enumeration.
#[derive(Clone, Debug)]
pub struct EnumValue {
    /// The string.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Under which condition it exists.
    pub condition: Option<Condition>,
    /// Its features.
    pub features: Vec<Feature>,
}

/// An object.
#[derive(Clone, Debug)]
pub struct Struct {
    /// The struct whose members come first.
    pub base: Option<TypeId>,
    /// The members of its own.
    pub members: Vec<Member>,
}

/// An object whose further members depend on the discriminator, which is an enumeration.
#[derive(Clone, Debug)]
pub struct Union {
    /// The members that are always there.
    pub base: Members,
    /// The name of the member that decides.
    pub discriminator: String,
    /// The further members for values of the discriminator. Other values have none.
    pub branches: Vec<Branch>,
}

/// One of several types that JSON can tell apart.
#[derive(Clone, Debug)]
pub struct Alternate {
    /// The types.
    pub branches: Vec<Branch>,
}

/// A type that a union or an alternate may take.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The discriminator's value or, of an alternate, a name for the generated code.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// The type.
    pub ty: Type,
    /// Under which condition it exists.
    pub condition: Option<Condition>,
}

/// What a client may ask.
#[derive(Clone, Debug)]
pub struct Command {
    /// The arguments.
    pub data: Option<Members>,
    /// The handler takes the arguments as one value.
    pub boxed: bool,
    /// What is returned.
    pub returns: Option<Type>,
    /// The handler gets checked arguments (`gen`).
    pub generated: bool,
    /// A successful command is answered (`success-response`).
    pub success_response: bool,
    /// May be executed out-of-band.
    pub allow_oob: bool,
    /// May be executed before the machine is built.
    pub allow_preconfig: bool,
    /// May block.
    pub coroutine: bool,
}

/// What a client may be told.
#[derive(Clone, Debug)]
pub struct Event {
    /// The data.
    pub data: Option<Members>,
    /// The data is passed on as one value.
    pub boxed: bool,
}

/// A list of members, or the name of an object type that has them.
#[derive(Clone, Debug)]
pub enum Members {
    /// Those of this type.
    Of(TypeId),
    /// These.
    Inline(Vec<Member>),
}

/// A member of an object, an argument of a command, a datum of an event.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name on the wire.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// It may be absent.
    pub optional: bool,
    /// Its type.
    pub ty: Type,
    /// Under which condition it exists.
    pub condition: Option<Condition>,
    /// Its features.
    pub features: Vec<Feature>,
}

/// A tag by which clients learn what a definition can do, or what will become of it.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Under which condition it exists.
    pub condition: Option<Condition>,
}

impl Schema {
    /// The files.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The definitions, in the order of the schema.
    pub fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.iter()
    }

    /// The definition of this name.
    pub fn find(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name).and_then(|&id| self.definition(id))
    }

    /// The definition of this number.
    pub fn definition(&self, id: DefinitionId) -> Option<&Definition> {
        self.definitions.get(id.index())
    }

    /// The comments that document no definition.
    pub fn free_form(&self) -> &[Doc] {
        &self.free_form
    }

    /// The name of the file in which a definition stands.
    pub fn path(&self, definition: &Definition) -> &Path {
        self.sources.path(definition.span.file)
    }

    /// The files that define something, in the order in which they were first included.
    pub fn modules(&self) -> Vec<Module<'_>> {
        let mut modules: Vec<_> = self.sources.iter().map(|(file, _)| Module::new(file)).collect();
        for definition in &self.definitions {
            if let Some(module) = modules.get_mut(definition.span.file.index()) {
                module.definitions.push(definition);
            }
        }
        modules.retain(|module| !module.definitions.is_empty());
        modules
    }
}

/// A file that defines something.
#[derive(Clone, Debug)]
pub struct Module<'a> {
    /// The file.
    pub file: FileId,
    /// What it defines.
    pub definitions: Vec<&'a Definition>,
}

impl Module<'_> {
    const fn new(file: FileId) -> Self {
        Self { file, definitions: Vec::new() }
    }
}

impl DefinitionKind {
    /// Whether it is a type.
    pub const fn is_type(&self) -> bool {
        match self {
            Self::Enum(_) | Self::Struct(_) | Self::Union(_) | Self::Alternate(_) => true,
            Self::Command(_) | Self::Event(_) => false,
        }
    }

    /// The key that starts such a definition.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Enum(_) => "enum",
            Self::Struct(_) => "struct",
            Self::Union(_) => "union",
            Self::Alternate(_) => "alternate",
            Self::Command(_) => "command",
            Self::Event(_) => "event",
        }
    }
}

impl Definition {
    /// The features of the definition and of its parts.
    pub fn all_features(&self) -> impl Iterator<Item = &Feature> {
        let members = self.own_members().iter().flat_map(|member| &member.features);
        let values = self.values().iter().flat_map(|value| &value.features);
        self.features.iter().chain(members).chain(values)
    }

    /// The conditions on the definition and on its parts.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let members = self.own_members().iter().map(|member| &member.condition);
        let values = self.values().iter().map(|value| &value.condition);
        let branches = self.branches().iter().map(|branch| &branch.condition);
        let features = self.all_features().map(|feature| &feature.condition);
        [&self.condition].into_iter().chain(members).chain(values).chain(branches).chain(features).flatten()
    }

    /// The type of the arguments or the data that are passed on as one value.
    pub fn boxed_data(&self) -> Option<Type> {
        let (data, boxed) = match &self.kind {
            DefinitionKind::Command(command) => (&command.data, command.boxed),
            DefinitionKind::Event(event) => (&event.data, event.boxed),
            DefinitionKind::Enum(_)
            | DefinitionKind::Struct(_)
            | DefinitionKind::Union(_)
            | DefinitionKind::Alternate(_) => return None,
        };
        let id = data.as_ref().filter(|_| boxed).and_then(Members::of);
        id.map(|id| Type { id, array: false })
    }

    /// The values of an enumeration.
    pub fn values(&self) -> &[EnumValue] {
        match &self.kind {
            DefinitionKind::Enum(enumeration) => &enumeration.values,
            DefinitionKind::Struct(_)
            | DefinitionKind::Union(_)
            | DefinitionKind::Alternate(_)
            | DefinitionKind::Command(_)
            | DefinitionKind::Event(_) => &[],
        }
    }

    /// The branches of a union or an alternate.
    pub fn branches(&self) -> &[Branch] {
        match &self.kind {
            DefinitionKind::Union(union) => &union.branches,
            DefinitionKind::Alternate(alternate) => &alternate.branches,
            DefinitionKind::Enum(_)
            | DefinitionKind::Struct(_)
            | DefinitionKind::Command(_)
            | DefinitionKind::Event(_) => &[],
        }
    }

    /// The members that the definition itself lists.
    pub fn own_members(&self) -> &[Member] {
        match &self.kind {
            DefinitionKind::Struct(structure) => &structure.members,
            DefinitionKind::Union(union) => union.base.inline(),
            DefinitionKind::Command(command) => command.data.as_ref().map_or(&[], Members::inline),
            DefinitionKind::Event(event) => event.data.as_ref().map_or(&[], Members::inline),
            DefinitionKind::Enum(_) | DefinitionKind::Alternate(_) => &[],
        }
    }
}

impl Members {
    /// The type that has the members, if they are not listed.
    pub const fn of(&self) -> Option<TypeId> {
        match self {
            Self::Of(id) => Some(*id),
            Self::Inline(_) => None,
        }
    }

    /// The members, if they are listed.
    pub fn inline(&self) -> &[Member] {
        match self {
            Self::Of(_) => &[],
            Self::Inline(members) => members,
        }
    }
}

/// How a definition is spoken of: `struct 'Foo'`.
impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", self.kind.keyword(), self.name)
    }
}
