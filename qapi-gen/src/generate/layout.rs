//! The Rust names of a schema's definitions, and the paths and types that are made of them.

use std::collections::{HashMap, HashSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::conditions::Conditions;
use super::external::Foreign;
use super::holding::Holding;
use super::names::{self, Scope};
use super::recursion::Via;
use crate::schema::{Builtin, DefinitionId, DefinitionKind, Member, Schema, Type, TypeId};
use crate::source::FileId;

/// The Rust side of a schema's definitions.
pub struct Layout<'a> {
    /// The schema.
    pub schema: &'a Schema,
    /// What is known about its conditions.
    pub conditions: &'a Conditions,
    /// The files that other crates have included.
    pub foreign: &'a HashMap<FileId, Foreign<'a>>,
    /// What its types hold.
    pub holding: Holding,
    modules: HashMap<FileId, Ident>,
    types: HashMap<DefinitionId, Ident>,
    shadowed: HashSet<(Place, Prelude)>,
    kinds: HashMap<DefinitionId, Ident>,
}

/// Names that no file's module has: a module of the generated code, and crates, which could not be named beside a
/// module of the same name that comes from a macro.
const TAKEN: [&str; 5] = ["conditions", "qapi_schema", "std", "core", "alloc"];

/// The names of the modules, for the files that have one.
pub fn modules(schema: &Schema) -> HashMap<FileId, Ident> {
    let mut names = Scope::with(&TAKEN);
    let modules = schema.modules().into_iter();
    let named = modules.map(|module| {
        let stem = schema.sources().path(module.file).file_stem().unwrap_or_default().to_string_lossy();
        (module.file, names.claim(names::snake(&stem)))
    });
    named.collect()
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
    pub fn new(schema: &'a Schema, conditions: &'a Conditions, foreign: &'a HashMap<FileId, Foreign<'a>>) -> Self {
        let mut layout = Self {
            schema,
            conditions,
            foreign,
            holding: Holding::new(schema),
            modules: modules(schema),
            types: HashMap::new(),
            shadowed: HashSet::new(),
            kinds: HashMap::new(),
        };
        layout.name();
        layout
    }

    fn name(&mut self) {
        for module in self.schema.modules() {
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
        if !self.holding.is_boxed(owner, ty, via) {
            return held;
        }
        let r#box = self.prelude(Prelude::Box, from);
        quote!(#r#box<#held>)
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
            Builtin::Any => quote!(::qapi_schema::serde_json::Value),
            Builtin::QType => quote!(::qapi_schema::QType),
        }
    }
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
    /// `Send`
    Send,
    /// `String`
    String,
    /// `Sync`
    Sync,
    /// `Vec`
    Vec,
}

impl Prelude {
    const ALL: [Self; 7] = [Self::Box, Self::Option, Self::Result, Self::Send, Self::String, Self::Sync, Self::Vec];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Box => "Box",
            Self::Option => "Option",
            Self::Result => "Result",
            Self::Send => "Send",
            Self::String => "String",
            Self::Sync => "Sync",
            Self::Vec => "Vec",
        }
    }

    fn path(self) -> TokenStream {
        match self {
            Self::Box => quote!(::std::boxed::Box),
            Self::Option => quote!(::std::option::Option),
            Self::Result => quote!(::std::result::Result),
            Self::Send => quote!(::std::marker::Send),
            Self::String => quote!(::std::string::String),
            Self::Sync => quote!(::std::marker::Sync),
            Self::Vec => quote!(::std::vec::Vec),
        }
    }
}
