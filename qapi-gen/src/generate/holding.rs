//! Which types values hold, and what follows: fields that must be boxed, and traits that a type can have.

use std::collections::{HashMap, HashSet};

use proc_macro2::TokenStream;
use quote::quote;

use super::recursion::{self, Edge, Via};
use crate::schema::{Builtin, Definition, DefinitionId, DefinitionKind, Schema, Type, TypeId};

/// What the types of a schema hold.
pub struct Holding {
    boxed: HashSet<(usize, Edge)>,
    without_eq: HashSet<usize>,
    without_copy: HashSet<usize>,
}

/// The types that a definition's values hold.
type Held = Vec<(Type, Via)>;

impl Holding {
    /// Looks at every definition.
    pub fn new(schema: &Schema) -> Self {
        let held: Vec<Held> = schema.definitions().map(|definition| held(schema, definition)).collect();
        let in_place = |held: &Held| held.iter().filter_map(|&(ty, via)| in_place(ty, via)).collect();
        let boxed = recursion::boxed(&held.iter().map(in_place).collect::<Vec<_>>());
        let without_eq = reaching(&held, |_, ty, _| matches!(ty.id, TypeId::Builtin(Builtin::Number)));
        let without_copy = reaching(&held, |holder, ty, via| {
            let text = matches!(ty.id, TypeId::Builtin(Builtin::Str | Builtin::Any));
            text || ty.array || self::in_place(ty, via).is_some_and(|edge| boxed.contains(&(holder, edge)))
        });
        Self { boxed, without_eq, without_copy }
    }

    /// Whether a value of the type `holder` must box what it holds, since that holds a `holder` in its turn.
    pub fn is_boxed(&self, holder: DefinitionId, ty: Type, via: Via) -> bool {
        in_place(ty, via).is_some_and(|edge| self.boxed.contains(&(holder.index(), edge)))
    }

    /// The derived traits of a type.
    pub fn derives(&self, id: DefinitionId) -> TokenStream {
        let copy = (!self.without_copy.contains(&id.index())).then(|| quote!(Copy,));
        let eq = (!self.without_eq.contains(&id.index())).then(|| quote!(Eq, Hash,));
        quote!(#[derive(Clone, #copy Debug, PartialEq, #eq)])
    }
}

/// The edge to a type that is a part of its holder; arrays are kept elsewhere.
fn in_place(ty: Type, via: Via) -> Option<Edge> {
    ty.id.definition().filter(|_| !ty.array).map(|id| (id.index(), via))
}

fn held(schema: &Schema, definition: &Definition) -> Held {
    let members = schema.members(definition).into_iter().map(|listed| (listed.member.ty, Via::Member));
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

/// The definitions that hold, directly or through others, something that `seed` tells.
fn reaching(held: &[Held], seed: impl Fn(usize, Type, Via) -> bool) -> HashSet<usize> {
    let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut open = Vec::new();
    for (holder, held) in held.iter().enumerate() {
        for &(ty, via) in held {
            if let Some(id) = ty.id.definition() {
                holders.entry(id.index()).or_default().push(holder);
            }
            if seed(holder, ty, via) {
                open.push(holder);
            }
        }
    }
    let mut reaching = HashSet::new();
    while let Some(next) = open.pop() {
        if reaching.insert(next) {
            open.extend(holders.get(&next).into_iter().flatten());
        }
    }
    reaching
}
