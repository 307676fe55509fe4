//! Everything that can be wrong with a value in one place, and what the reader must say to it.

use qapi_gen::Schema;
use qapi_gen::schema::{Branch, Builtin, Type};
use serde_json::{Map, Value, json};

use super::shape::{self, Object, Shape};
use super::values;

/// One place in a value to be made wrong.
pub struct Corruption {
    at: Place,
    /// What stands there instead, if anything.
    instead: Option<Value>,
    /// The error that it must give.
    pub error: String,
}

impl Corruption {
    /// How many members and elements deep the place is.
    pub fn depth(&self) -> usize {
        self.at.steps.len()
    }

    /// The value with that place made wrong.
    pub fn apply(&self, value: &Value) -> Value {
        // The root is wrapped, so that there is a last step to every place.
        let mut wrapped = json!([value]);
        let root = [Step::Element(0)];
        let steps: Vec<_> = root.iter().chain(&self.at.steps).collect();
        let parent = steps[..self.depth()].iter().fold(&mut wrapped, |value, step| match step {
            Step::Member(name) => &mut value[name],
            Step::Element(index) => &mut value[*index],
        });
        match (parent, steps[self.depth()], &self.instead) {
            (Value::Object(members), Step::Member(name), Some(instead)) => {
                members.insert(name.clone(), instead.clone());
            }
            (Value::Object(members), Step::Member(name), None) => {
                members.remove(name);
            }
            (Value::Array(elements), Step::Element(index), Some(instead)) => elements[*index] = instead.clone(),
            (parent, ..) => panic!("{} is not in {parent}", self.at.name),
        }
        wrapped[0].take()
    }
}

/// A step from a value to one in it.
#[derive(Clone)]
enum Step {
    Member(String),
    Element(usize),
}

/// A place in a value, and the name by which errors know it.
#[derive(Clone)]
struct Place {
    steps: Vec<Step>,
    name: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let dot = if self.name.is_empty() { "" } else { "." };
        self.step(Step::Member(name.to_owned()), &format!("{dot}{name}"))
    }

    fn element(&self, index: usize) -> Self {
        self.step(Step::Element(index), &format!("[{index}]"))
    }

    fn step(&self, step: Step, name: &str) -> Self {
        let steps = self.steps.iter().cloned().chain([step]).collect();
        Self { steps, name: format!("{}{name}", self.name) }
    }
}

/// The corruptions of a valid value of this shape, which errors call `name`.
pub fn corruptions(schema: &Schema, shape: &Shape<'_>, value: &Value, name: &str) -> Vec<Corruption> {
    let mut search = Search { schema, found: Vec::new() };
    search.shape(shape, value, &Place { steps: Vec::new(), name: name.to_owned() }, &[]);
    search.found
}

struct Search<'a> {
    schema: &'a Schema,
    found: Vec<Corruption>,
}

/// What JSON tells apart, in the order in which errors list it.
const KINDS: [&str; 6] = ["null", "boolean", "number", "string", "object", "array"];

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Object(_) => "object",
        Value::Array(_) => "array",
    }
}

impl Search<'_> {
    /// Looks at the value at a place. If it was chosen by an alternate, `taken` has the kinds of values that are
    /// not for this shape to refuse.
    fn shape(&mut self, shape: &Shape<'_>, value: &Value, at: &Place, taken: &[&str]) {
        match shape {
            Shape::Builtin(builtin) => self.scalar(*builtin, at, taken),
            Shape::Array(element) => {
                self.other_kinds(at, &["array"], "array", taken);
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    self.ty(*element, value, &at.element(index));
                }
            }
            Shape::Enum(_) => {
                self.other_kinds(at, &["string"], "string", taken);
                let error = format!("Parameter '{}' does not accept value 'no such value'", at.name);
                self.replace(at, json!("no such value"), error);
            }
            Shape::Object(object) => {
                self.other_kinds(at, &["object"], "object", taken);
                let unknown = at.member("no-such-member");
                self.replace(&unknown, json!(1), format!("Parameter '{}' is unexpected", unknown.name));
                self.members(object, value.as_object().expect("an object"), at);
            }
            Shape::Alternate(branches) => self.alternate(branches, value, at),
        }
    }

    fn ty(&mut self, ty: Type, value: &Value, at: &Place) {
        self.shape(&shape::of_type(self.schema, ty), value, at, &[]);
    }

    fn scalar(&mut self, builtin: Builtin, at: &Place, taken: &[&str]) {
        if let Some((min, max)) = values::range(builtin) {
            self.other_kinds(at, &["number"], "integer", taken);
            self.replace(at, json!(1.5), format!("Invalid parameter type for '{}', expected: integer", at.name));
            let error = format!("Parameter '{}' expects an integer from {min} to {max}", at.name);
            let below = i64::try_from(min - 1).map(Value::from);
            let above = u64::try_from(max + 1).map(Value::from);
            for outside in [below.ok(), above.ok()].into_iter().flatten() {
                self.replace(at, outside, error.clone());
            }
            return;
        }
        match builtin {
            Builtin::Str => self.other_kinds(at, &["string"], "string", taken),
            Builtin::Number => self.other_kinds(at, &["number"], "number", taken),
            Builtin::Bool => self.other_kinds(at, &["boolean"], "boolean", taken),
            Builtin::Null => self.other_kinds(at, &["null"], "null", taken),
            _ => assert_eq!(builtin, Builtin::Any),
        }
    }

    fn members(&mut self, object: &Object<'_>, members: &Map<String, Value>, at: &Place) {
        for listed in &object.members {
            let (member, at) = (listed.member, at.member(&listed.member.name));
            let Some(value) = members.get(&member.name) else { continue };
            if !member.optional {
                self.remove(&at, format!("Parameter '{}' is missing", at.name));
            }
            self.ty(member.ty, value, &at);
        }
        let Some((discriminator, choices)) = &object.choice else { return };
        for (value, branch) in choices {
            let Some(Shape::Object(branch)) = branch.map(|branch| shape::of_type(self.schema, branch)) else {
                continue;
            };
            if members.get(*discriminator).and_then(Value::as_str) == Some(value) {
                self.members(&branch, members, at);
            } else {
                self.foreign(&branch, object, members, at);
            }
        }
    }

    /// A member of a branch is refused where another branch is chosen.
    fn foreign(&mut self, branch: &Object<'_>, object: &Object<'_>, members: &Map<String, Value>, at: &Place) {
        let (discriminator, choices) = object.choice.as_ref().expect("a union");
        let chosen =
            choices.iter().find(|(value, _)| members[*discriminator] == *value).and_then(|(_, branch)| *branch);
        let own = chosen.map(|branch| self.names(branch)).unwrap_or_default();
        if let Some(listed) = branch.members.iter().find(|listed| !own.contains(&listed.member.name)) {
            let at = at.member(&listed.member.name);
            self.replace(&at, json!(1), format!("Parameter '{}' is unexpected", at.name));
        }
    }

    /// The names of all members that an object may have.
    fn names(&self, ty: Type) -> Vec<String> {
        let Shape::Object(object) = shape::of_type(self.schema, ty) else { return Vec::new() };
        let branches = object.choice.iter().flat_map(|(_, choices)| choices).filter_map(|(_, branch)| *branch);
        let further = branches.flat_map(|branch| self.names(branch));
        object.members.iter().map(|listed| listed.member.name.clone()).chain(further).collect()
    }

    fn alternate(&mut self, branches: &[Branch], value: &Value, at: &Place) {
        let shapes: Vec<_> = branches.iter().map(|branch| shape::of_type(self.schema, branch.ty)).collect();
        let kinds: Vec<_> = shapes.iter().map(kind_of_shape).collect();
        let accepted: Vec<_> = KINDS.into_iter().filter(|kind| kinds.contains(kind)).collect();
        self.other_kinds(at, &accepted, &accepted.join(" or "), &[]);
        let chosen = kinds.iter().position(|&candidate| candidate == kind(value)).expect("a branch");
        self.shape(&shapes[chosen], value, at, &KINDS);
    }

    /// Replaces the value by one of each other kind.
    fn other_kinds(&mut self, at: &Place, right: &[&str], expected: &str, taken: &[&str]) {
        for wrong in [json!(null), json!(true), json!(7), json!("no"), json!({}), json!([])] {
            if !right.contains(&kind(&wrong)) && !taken.contains(&kind(&wrong)) {
                self.replace(at, wrong, format!("Invalid parameter type for '{}', expected: {expected}", at.name));
            }
        }
    }

    fn replace(&mut self, at: &Place, instead: Value, error: String) {
        self.found.push(Corruption { at: at.clone(), instead: Some(instead), error });
    }

    fn remove(&mut self, at: &Place, error: String) {
        self.found.push(Corruption { at: at.clone(), instead: None, error });
    }
}

fn kind_of_shape(shape: &Shape<'_>) -> &'static str {
    match shape {
        Shape::Array(_) => "array",
        Shape::Enum(_) => "string",
        Shape::Object(_) => "object",
        Shape::Builtin(Builtin::Str) => "string",
        Shape::Builtin(Builtin::Bool) => "boolean",
        Shape::Builtin(Builtin::Null) => "null",
        Shape::Builtin(Builtin::Any) | Shape::Alternate(_) => panic!("no branch of an alternate"),
        Shape::Builtin(_) => "number",
    }
}
