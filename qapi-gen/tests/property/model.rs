//! A checked schema as trees again.

use qapi_gen::Schema;
use qapi_gen::doc::Doc as ModelDoc;
use qapi_gen::schema::{
    Branch, Condition, Definition as ModelDefinition, DefinitionKind, EnumValue, Feature, Member, Members, Type, TypeId,
};

use super::language::{Definition, Doc, Item, Tree};

/// The definitions, in their order.
pub fn definitions(schema: &Schema) -> Vec<Definition> {
    let model = Model { schema };
    let definition = |definition: &ModelDefinition| Definition {
        tree: model.definition(definition),
        doc: definition.doc.as_ref().map(|doc| self::doc(doc, &definition.name)),
    };
    schema.definitions().map(definition).collect()
}

/// One file that defines the same, with the pragmas it needs.
pub fn items(schema: &Schema) -> Vec<Item> {
    let names: Vec<_> = schema.definitions().map(|definition| Tree::text(&definition.name)).collect();
    let lists =
        ["command-name-exceptions", "command-returns-exceptions", "documentation-exceptions", "member-name-exceptions"];
    let pragma = Tree::keys(lists.map(|list| (list, Some(Tree::Array(names.clone())))));
    let definitions = definitions(schema).into_iter().map(Item::Definition);
    // A comment must not stand before a definition without documentation.
    let free = free_form(schema).into_iter().map(Item::Free);
    free.chain([Item::Pragma(pragma)]).chain(definitions).collect()
}

/// The comments that document no definition.
pub fn free_form(schema: &Schema) -> Vec<String> {
    let text = |doc: &ModelDoc| doc.sections.iter().map(|section| section.text.trim()).collect();
    schema.free_form().iter().map(text).collect()
}

fn doc(doc: &ModelDoc, name: &str) -> Doc {
    let sections = doc.sections.iter().map(|section| (section.kind.clone(), section.text.trim().to_owned()));
    Doc { symbol: doc.symbol.clone().unwrap_or_else(|| panic!("{name}")), sections: sections.collect() }
}

struct Model<'a> {
    schema: &'a Schema,
}

impl Model<'_> {
    fn definition(&self, definition: &ModelDefinition) -> Tree {
        let flag = |set: bool, value: bool| set.then_some(Tree::Flag(value));
        let mut keys = vec![
            (definition.kind.keyword(), Some(Tree::text(&definition.name))),
            ("if", condition(definition.condition.as_ref())),
            ("features", features(&definition.features)),
        ];
        keys.extend(match &definition.kind {
            DefinitionKind::Enum(enumeration) => vec![
                ("prefix", enumeration.prefix.as_deref().map(Tree::text)),
                ("data", Some(Tree::Array(enumeration.values.iter().map(value).collect()))),
            ],
            DefinitionKind::Struct(structure) => vec![
                ("base", structure.base.map(|base| self.type_id(base))),
                ("data", Some(self.members(&structure.members))),
            ],
            DefinitionKind::Union(union) => vec![
                ("base", Some(self.data(&union.base))),
                ("discriminator", Some(Tree::text(&union.discriminator))),
                ("data", Some(self.branches(&union.branches))),
            ],
            DefinitionKind::Alternate(alternate) => vec![("data", Some(self.branches(&alternate.branches)))],
            DefinitionKind::Command(command) => vec![
                ("data", command.data.as_ref().map(|data| self.data(data))),
                ("boxed", flag(command.boxed, true)),
                ("returns", command.returns.map(|returns| self.ty(returns))),
                ("gen", flag(!command.generated, false)),
                ("success-response", flag(!command.success_response, false)),
                ("allow-oob", flag(command.allow_oob, true)),
                ("allow-preconfig", flag(command.allow_preconfig, true)),
                ("coroutine", flag(command.coroutine, true)),
            ],
            DefinitionKind::Event(event) => {
                vec![("data", event.data.as_ref().map(|data| self.data(data))), ("boxed", flag(event.boxed, true))]
            }
        });
        Tree::keys(keys)
    }

    fn data(&self, members: &Members) -> Tree {
        match members {
            Members::Of(id) => self.type_id(*id),
            Members::Inline(members) => self.members(members),
        }
    }

    fn members(&self, members: &[Member]) -> Tree {
        let member = |member: &Member| {
            let further = [("if", condition(member.condition.as_ref())), ("features", features(&member.features))];
            let star = if member.optional { "*" } else { "" };
            (format!("{star}{}", member.name), Tree::entry("type", self.ty(member.ty), further))
        };
        Tree::Members(members.iter().map(member).collect())
    }

    fn branches(&self, branches: &[Branch]) -> Tree {
        let branch = |branch: &Branch| {
            let further = [("if", condition(branch.condition.as_ref()))];
            (branch.name.clone(), Tree::entry("type", self.ty(branch.ty), further))
        };
        Tree::Members(branches.iter().map(branch).collect())
    }

    fn ty(&self, ty: Type) -> Tree {
        let name = self.type_id(ty.id);
        if ty.array { Tree::Array(vec![name]) } else { name }
    }

    fn type_id(&self, id: TypeId) -> Tree {
        match id {
            TypeId::Builtin(builtin) => Tree::text(builtin.name()),
            TypeId::Definition(id) => Tree::text(&self.schema.definition(id).expect("a definition").name),
        }
    }
}

fn value(value: &EnumValue) -> Tree {
    let further = [("if", condition(value.condition.as_ref())), ("features", features(&value.features))];
    Tree::entry("name", Tree::text(&value.name), further)
}

fn features(features: &[Feature]) -> Option<Tree> {
    let feature = |feature: &Feature| {
        Tree::entry("name", Tree::text(&feature.name), [("if", condition(feature.condition.as_ref()))])
    };
    (!features.is_empty()).then(|| Tree::Array(features.iter().map(feature).collect()))
}

fn condition(condition: Option<&Condition>) -> Option<Tree> {
    let operands = |operands: &[Condition]| {
        Some(Tree::Array(operands.iter().filter_map(|operand| self::condition(Some(operand))).collect()))
    };
    Some(match condition? {
        Condition::Symbol(symbol) => Tree::text(symbol),
        Condition::Not(operand) => Tree::keys([("not", self::condition(Some(operand)))]),
        Condition::All(all) => Tree::keys([("all", operands(all))]),
        Condition::Any(any) => Tree::keys([("any", operands(any))]),
    })
}
