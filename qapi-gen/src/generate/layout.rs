//! What the emitters must know of the whole schema: paths, which fields are boxed, which traits a type can have.

use std::collections::{HashMap, HashSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::names::{self, Scope};
use super::recursion::{self, Edge, Via};
use crate::schema::{Builtin, Definition, DefinitionId, DefinitionKind, Member, Members, Module, Schema, Type, TypeId};
use crate::source::FileId;

/// The Rust side of a schema's definitions.
pub struct Layout<'a> {
    /// The schema.
    pub schema: &'a Schema,
    modules: HashMap<FileId, Ident>,
    types: HashMap<DefinitionId, Ident>,
    shadowed: HashSet<(Place, Prelude)>,
    kinds: HashMap<DefinitionId, Ident>,
    boxed: HashSet<(usize, Edge)>,
    without_eq: HashSet<DefinitionId>,
    without_copy: HashSet<DefinitionId>,
}

/// A member and the definition that lists it.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    /// The member.
    pub member: &'a Member,
    /// The definition.
    pub definition: &'a Definition,
}

/// Where generated code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// In the module of this file.
    pub file: FileId,
    /// In its module `event`.
    pub event: bool,
}

impl<'a> Layout<'a> {
    /// Lays the modules of a schema out.
    pub fn new(schema: &'a Schema, modules: &[Module<'_>]) -> Self {
        let mut layout = Self {
            schema,
            modules: HashMap::new(),
            types: HashMap::new(),
            shadowed: HashSet::new(),
            kinds: HashMap::new(),
            boxed: HashSet::new(),
            without_eq: HashSet::new(),
            without_copy: HashSet::new(),
        };
        layout.name(modules);
        layout.boxed = recursion::boxed(&layout.edges(Holds::InPlace));
        layout.without_eq = layout.reaching(|ty| matches!(ty.id, TypeId::Builtin(Builtin::Number | Builtin::Any)));
        layout.without_copy = layout.reaching(|ty| {
            let builtin = matches!(ty.id, TypeId::Builtin(Builtin::Str | Builtin::Any));
            builtin || ty.array
        });
        layout
    }

    fn name(&mut self, modules: &[Module<'_>]) {
        let mut files = Scope::default();
        for module in modules {
            let path = self.schema.sources().path(module.file);
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            self.modules.insert(module.file, files.claim(names::snake(&stem)));
            let (mut types, mut events) = (Scope::with(&["Commands"]), Scope::default());
            for definition in &module.definitions {
                let scope = match definition.kind {
                    DefinitionKind::Command(_) => continue,
                    DefinitionKind::Event(_) => &mut events,
                    DefinitionKind::Enum(_)
                    | DefinitionKind::Struct(_)
                    | DefinitionKind::Union(_)
                    | DefinitionKind::Alternate(_) => &mut types,
                };
                self.types.insert(definition.id, scope.claim(names::camel(&definition.name)));
            }
            for definition in &module.definitions {
                if matches!(definition.kind, DefinitionKind::Union(_)) {
                    self.kinds.insert(definition.id, types.claim(format!("{}Kind", names::camel(&definition.name))));
                }
            }
            for (event, scope) in [(false, types), (true, events)] {
                let place = Place { file: module.file, event };
                let shadowed = Prelude::ALL.into_iter().filter(|name| scope.has(name.as_str()));
                self.shadowed.extend(shadowed.map(|name| (place, name)));
            }
        }
    }

    /// The name of a file's module.
    pub fn module(&self, file: FileId) -> &Ident {
        &self.modules[&file]
    }

    /// The name of the Rust type for a type or an event.
    pub fn ident(&self, id: DefinitionId) -> &Ident {
        &self.types[&id]
    }

    /// The name of the enum of a union's branches.
    pub fn kind(&self, id: DefinitionId) -> &Ident {
        &self.kinds[&id]
    }

    /// The path of a type as seen from a place.
    pub fn path(&self, id: DefinitionId, from: Place) -> TokenStream {
        let ident = self.ident(id);
        let up = from.event.then(|| quote!(super::));
        match self.schema.definition(id).map(|definition| definition.span.file) {
            Some(file) if file != from.file => {
                let module = self.module(file);
                quote!(#up super::#module::#ident)
            }
            Some(_) | None => quote!(#up #ident),
        }
    }

    /// A name of the Rust prelude, by its path where a type of the schema has the same name.
    pub fn prelude(&self, name: Prelude, from: Place) -> TokenStream {
        if self.shadowed.contains(&(from, name)) {
            return name.path();
        }
        let name = Ident::new(name.as_str(), Span::call_site());
        quote!(#name)
    }

    /// A type as seen from a place.
    pub fn ty(&self, ty: Type, from: Place) -> TokenStream {
        let element = match ty.id {
            TypeId::Builtin(builtin) => self.builtin(builtin, from),
            TypeId::Definition(id) => self.path(id, from),
        };
        if !ty.array {
            return element;
        }
        let vec = self.prelude(Prelude::Vec, from);
        quote!(#vec<#element>)
    }

    /// The type of something that a value of the type `owner` holds in place.
    pub fn held(&self, ty: Type, owner: DefinitionId, via: Via, from: Place) -> TokenStream {
        let held = self.ty(ty, from);
        if !self.is_boxed(ty, owner, via) {
            return held;
        }
        let r#box = self.prelude(Prelude::Box, from);
        quote!(#r#box<#held>)
    }

    /// Whether it must be boxed, since its type holds the owner in its turn.
    pub fn is_boxed(&self, ty: Type, owner: DefinitionId, via: Via) -> bool {
        match ty {
            Type { id: TypeId::Definition(id), array: false } => {
                self.boxed.contains(&(owner.index(), (id.index(), via)))
            }
            Type { .. } => false,
        }
    }

    /// The type of a field.
    pub fn field(&self, member: &Member, owner: DefinitionId, from: Place) -> TokenStream {
        self.optional(member, self.held(member.ty, owner, Via::Member, from), from)
    }

    /// The type of a parameter.
    pub fn parameter(&self, member: &Member, from: Place) -> TokenStream {
        self.optional(member, self.ty(member.ty, from), from)
    }

    fn optional(&self, member: &Member, ty: TokenStream, from: Place) -> TokenStream {
        if !member.optional {
            return ty;
        }
        let option = self.prelude(Prelude::Option, from);
        quote!(#option<#ty>)
    }

    fn builtin(&self, builtin: Builtin, from: Place) -> TokenStream {
        match builtin {
            Builtin::Str => self.prelude(Prelude::String, from),
            Builtin::Number => quote!(f64),
            Builtin::Int | Builtin::Int64 => quote!(i64),
            Builtin::Int8 => quote!(i8),
            Builtin::Int16 => quote!(i16),
            Builtin::Int32 => quote!(i32),
            Builtin::Uint8 => quote!(u8),
            Builtin::Uint16 => quote!(u16),
            Builtin::Uint32 => quote!(u32),
            Builtin::Uint64 | Builtin::Size => quote!(u64),
            Builtin::Bool => quote!(bool),
            Builtin::Null => quote!(()),
            Builtin::Any => quote!(::serde_json::Value),
            Builtin::QType => quote!(::qapi_schema::QType),
        }
    }

    /// The members of a definition, those of its bases first.
    pub fn members(&self, definition: &'a Definition) -> Vec<Listed<'a>> {
        let data = match &definition.kind {
            DefinitionKind::Struct(structure) => structure.base,
            DefinitionKind::Union(union) => union.base.of(),
            DefinitionKind::Command(command) => command.data.as_ref().and_then(Members::of),
            DefinitionKind::Event(event) => event.data.as_ref().and_then(Members::of),
            DefinitionKind::Enum(_) | DefinitionKind::Alternate(_) => None,
        };
        let base = match data {
            Some(TypeId::Definition(id)) => self.schema.definition(id),
            Some(TypeId::Builtin(_)) | None => None,
        };
        let mut members = base.map(|base| self.members(base)).unwrap_or_default();
        members.extend(definition.own_members().iter().map(|member| Listed { member, definition }));
        members
    }

    /// The derived traits of a type.
    pub fn derives(&self, id: DefinitionId) -> TokenStream {
        let copy = (!self.without_copy.contains(&id)).then(|| quote!(Copy,));
        let eq = (!self.without_eq.contains(&id)).then(|| quote!(Eq, Hash,));
        quote!(#[derive(Clone, #copy Debug, PartialEq, #eq)])
    }

    /// The types that values of a definition hold.
    fn holds(&self, definition: &'a Definition) -> Vec<(Type, Via)> {
        let members = self.members(definition).into_iter().map(|listed| (listed.member.ty, Via::Member));
        let via = match definition.kind {
            DefinitionKind::Union(_) => Via::Union,
            DefinitionKind::Enum(_)
            | DefinitionKind::Struct(_)
            | DefinitionKind::Alternate(_)
            | DefinitionKind::Command(_)
            | DefinitionKind::Event(_) => Via::Alternate,
        };
        let branches = definition.branches().iter().map(|branch| (branch.ty, via));
        let boxed = definition.boxed_data().map(|ty| (ty, Via::Member));
        members.chain(branches).chain(boxed).collect()
    }

    /// For each definition, the definitions that its values hold.
    fn edges(&self, which: Holds) -> Vec<Vec<Edge>> {
        let definitions = self.schema.definitions();
        let held = definitions.map(|definition| {
            let types = self.holds(definition).into_iter();
            let types = types.filter(|(ty, _)| which == Holds::Anywhere || !ty.array);
            types.filter_map(|(ty, via)| ty.id.definition().map(|id| (id.index(), via))).collect()
        });
        held.collect()
    }

    /// The definitions whose values hold, directly or not, a value of a type that `seed` tells, or themselves.
    fn reaching(&self, seed: impl Fn(Type) -> bool) -> HashSet<DefinitionId> {
        let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
        for (holder, held) in self.edges(Holds::Anywhere).into_iter().enumerate() {
            held.into_iter().for_each(|(held, _)| holders.entry(held).or_default().push(holder));
        }
        let seeds = self.schema.definitions().enumerate();
        let seeds = seeds.filter(|(_, definition)| self.holds(definition).into_iter().any(|(ty, _)| seed(ty)));
        let mut open: Vec<usize> = seeds.map(|(index, _)| index).collect();
        let mut reaching = HashSet::new();
        while let Some(next) = open.pop() {
            if reaching.insert(next) {
                open.extend(holders.get(&next).into_iter().flatten());
            }
        }
        reaching.into_iter().filter_map(|index| u32::try_from(index).ok()).map(DefinitionId).collect()
    }
}

/// Which of the values that a value holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Those that are a part of it.
    InPlace,
    /// Those in arrays, too.
    Anywhere,
}

/// Names of the Rust prelude that generated code uses outside of macros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prelude {
    /// `Box`
    Box,
    /// `Option`
    Option,
    /// `Result`
    Result,
    /// `String`
    String,
    /// `Vec`
    Vec,
}

impl Prelude {
    const ALL: [Self; 5] = [Self::Box, Self::Option, Self::Result, Self::String, Self::Vec];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Box => "Box",
            Self::Option => "Option",
            Self::Result => "Result",
            Self::String => "String",
            Self::Vec => "Vec",
        }
    }

    fn path(self) -> TokenStream {
        match self {
            Self::Box => quote!(::std::boxed::Box),
            Self::Option => quote!(::std::option::Option),
            Self::Result => quote!(::std::result::Result),
            Self::String => quote!(::std::string::String),
            Self::Vec => quote!(::std::vec::Vec),
        }
    }
}
