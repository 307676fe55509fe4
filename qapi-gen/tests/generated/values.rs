//! Random values of the types of a schema: what a client could send, nothing that it could not.

use qapi_gen::Schema;
use qapi_gen::schema::{Builtin, Definition, Type, TypeId};
use serde_json::{Map, Value, json};

use super::shape::{self, Choice, Object, Shape};

/// Numbers that look random and are the same every time (Steele, Lea and Flood: SplitMix).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).expect("a length")).expect("less than a length")
    }

    /// One of the elements, of which there is at least one.
    pub fn pick<'a, T>(&mut self, elements: &'a [T]) -> &'a T {
        &elements[self.below(elements.len())]
    }
}

/// Which optional members and elements a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    None,
    Some,
    All,
}

/// Makes values of the types of a schema.
pub struct Values<'a> {
    schema: &'a Schema,
    random: Random,
    /// For each definition how many levels its smallest value has; `None` if it has no value.
    heights: Vec<Option<usize>>,
}

/// No value stands deeper, unless it cannot be left out.
const DEPTH: usize = 4;

impl<'a> Values<'a> {
    pub fn new(schema: &'a Schema, seed: u64) -> Self {
        let heights = vec![None; schema.definitions().count()];
        let mut values = Self { schema, random: Random(seed), heights };
        // Each round finds those that are one level higher.
        loop {
            let heights: Vec<_> = schema.definitions().map(|definition| values.higher(definition)).collect();
            if heights == values.heights {
                return values;
            }
            values.heights = heights;
        }
    }

    fn higher(&self, definition: &Definition) -> Option<usize> {
        match shape::of_definition(self.schema, definition) {
            Shape::Builtin(_) | Shape::Array(_) => Some(0),
            Shape::Enum(values) => (!values.is_empty()).then_some(0),
            Shape::Object(object) => {
                let mandatory = object.plain().filter(|listed| !listed.member.optional);
                let mut heights = mandatory.map(|listed| self.height(listed.member.ty));
                let members = heights.try_fold(0, |highest: usize, height| Some(highest.max(height?)))?;
                let branch = match &object.choice {
                    Some((_, choices)) => choices.iter().filter_map(|(_, branch)| self.branch_height(*branch)).min()?,
                    None => 0,
                };
                Some(1 + members.max(branch))
            }
            Shape::Alternate(branches) => Some(1 + branches.iter().filter_map(|branch| self.height(branch.ty)).min()?),
        }
    }

    fn branch_height(&self, branch: Option<Type>) -> Option<usize> {
        branch.map_or(Some(0), |branch| self.height(branch))
    }

    fn height(&self, ty: Type) -> Option<usize> {
        match ty.id {
            TypeId::Definition(id) if !ty.array => self.heights[id.index()],
            TypeId::Definition(_) | TypeId::Builtin(_) => Some(0),
        }
    }

    /// Values of a definition: without and with all optional members, some in between, each value of an enumeration
    /// and each branch of a union or an alternate at least once. None if nothing can be of this type.
    pub fn several(&mut self, definition: &'a Definition) -> Vec<Value> {
        let fills = [Fill::None, Fill::All, Fill::Some];
        match shape::of_definition(self.schema, definition) {
            Shape::Builtin(_) | Shape::Array(_) => Vec::new(),
            Shape::Enum(values) => values.into_iter().map(Value::from).collect(),
            Shape::Object(_) if self.heights[definition.id.index()].is_none() => Vec::new(),
            Shape::Object(object) => {
                let (_, choices) = object.choice.clone().unwrap_or(("", vec![("", None)]));
                let possible = choices.into_iter().filter(|(_, branch)| self.branch_height(*branch).is_some());
                let possible: Vec<_> = possible.flat_map(|choice| fills.map(|fill| (choice, fill))).collect();
                possible.into_iter().map(|(choice, fill)| self.object(&object, Some(choice), fill, 0).into()).collect()
            }
            Shape::Alternate(branches) => {
                let possible = branches.iter().map(|branch| branch.ty).filter(|ty| self.height(*ty).is_some());
                let possible: Vec<_> = possible.flat_map(|ty| fills.map(|fill| (ty, fill))).collect();
                possible.into_iter().map(|(ty, fill)| self.value(ty, fill, 1)).collect()
            }
        }
    }

    fn value(&mut self, ty: Type, fill: Fill, depth: usize) -> Value {
        match shape::of_type(self.schema, ty) {
            Shape::Builtin(builtin) => self.scalar(builtin),
            Shape::Array(element) => {
                let length = match fill {
                    _ if depth >= DEPTH || self.height(element).is_none() => 0,
                    Fill::None => 0,
                    Fill::All => 2,
                    Fill::Some => self.random.below(3),
                };
                (0..length).map(|_| self.value(element, fill, depth + 1)).collect()
            }
            Shape::Enum(values) => (*self.random.pick(&values)).into(),
            Shape::Object(object) => self.object(&object, None, fill, depth).into(),
            Shape::Alternate(branches) => {
                let types: Vec<_> = branches.iter().map(|branch| branch.ty).collect();
                let ty = self.choose(&types, depth, |values, ty| values.height(*ty));
                self.value(ty, fill, depth)
            }
        }
    }

    fn object(
        &mut self,
        object: &Object<'a>,
        choice: Option<Choice<'a>>,
        fill: Fill,
        depth: usize,
    ) -> Map<String, Value> {
        let mut members = Map::new();
        for listed in object.plain() {
            let member = listed.member;
            let present = match fill {
                _ if !member.optional => true,
                _ if depth >= DEPTH || self.height(member.ty).is_none() => false,
                Fill::None => false,
                Fill::All => true,
                Fill::Some => self.random.below(2) == 0,
            };
            if present {
                members.insert(member.name.clone(), self.value(member.ty, fill, depth + 1));
            }
        }
        if let Some((discriminator, choices)) = &object.choice {
            let height = |values: &Self, choice: &Choice<'a>| values.branch_height(choice.1);
            let (value, branch) = choice.unwrap_or_else(|| self.choose(choices, depth, height));
            members.insert((*discriminator).to_owned(), value.into());
            if let Some(Shape::Object(branch)) = branch.map(|branch| shape::of_type(self.schema, branch)) {
                members.extend(self.object(&branch, None, fill, depth));
            }
        }
        members
    }

    /// One of the choices that have a value, the smallest one where it is deep enough.
    fn choose<T: Copy>(&mut self, choices: &[T], depth: usize, height: impl Fn(&Self, &T) -> Option<usize>) -> T {
        let possible = choices.iter().filter_map(|choice| Some((height(self, choice)?, *choice)));
        let mut possible: Vec<_> = possible.collect();
        if depth >= DEPTH {
            possible.sort_by_key(|(height, _)| *height);
            possible.truncate(1);
        }
        self.random.pick(&possible).1
    }

    fn scalar(&mut self, builtin: Builtin) -> Value {
        if let Some((min, max)) = range(builtin) {
            let whole =
                |number: i128| i64::try_from(number).map(Value::from).or(u64::try_from(number).map(Value::from));
            let random = min + i128::from(self.random.next()) % (max - min + 1);
            return whole(*self.random.pick(&[min, max, 0, 1, random])).expect("in range");
        }
        match builtin {
            Builtin::Str => {
                let texts = ["", "a", "disk0", "/a/b c", "q\"\\'", "\u{e4}\u{1f9c0}", "\n\t\u{1}\u{7f}", "null", "1"];
                (*self.random.pick(&texts)).into()
            }
            Builtin::Number => (*self.random.pick(&[0.0, -0.5, 1.0, 1e300, 5e-324, 0.1])).into(),
            Builtin::Bool => (self.random.below(2) == 0).into(),
            Builtin::Null => Value::Null,
            Builtin::Any => {
                let values = [json!(null), json!(-1), json!([]), json!({}), json!({ "a": [1.5, { "b": "c" }] })];
                self.random.pick(&values).clone()
            }
            _ => unreachable!("{builtin:?} has a range"),
        }
    }
}

/// The least and the greatest value of an integer.
pub fn range(builtin: Builtin) -> Option<(i128, i128)> {
    match builtin {
        Builtin::Int8 => Some((i8::MIN.into(), i8::MAX.into())),
        Builtin::Int16 => Some((i16::MIN.into(), i16::MAX.into())),
        Builtin::Int32 => Some((i32::MIN.into(), i32::MAX.into())),
        Builtin::Int | Builtin::Int64 => Some((i64::MIN.into(), i64::MAX.into())),
        Builtin::Uint8 => Some((0, u8::MAX.into())),
        Builtin::Uint16 => Some((0, u16::MAX.into())),
        Builtin::Uint32 => Some((0, u32::MAX.into())),
        Builtin::Uint64 | Builtin::Size => Some((0, u64::MAX.into())),
        Builtin::Str | Builtin::Number | Builtin::Bool | Builtin::Null | Builtin::Any | Builtin::QType => None,
    }
}
