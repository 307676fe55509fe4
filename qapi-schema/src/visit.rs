//! Values on their way in: a tree becomes a schema type, strictly, with errors that name the member by its path.

use std::{fmt, mem};

use serde::ser::SerializeMap;
use serde_json::{Map, Number, Value};

use crate::Error;

/// How many members and elements deep an object or array may stand.
///
/// Types may be recursive, and each level takes stack. Twice as deep as block nodes can be stacked, so that whoever nests
/// a few too many of them hears of that limit.
const MAX_DEPTH: usize = 128;

/// How scalars are spelt in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// JSON: numbers are numbers.
    Json,
    /// Command line `key=value`: every scalar is a string; sizes may have a suffix.
    Keyval,
}

/// Where in the tree a value stands, and how scalars are spelt there.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    parent: Option<&'a Visitor<'a>>,
    step: Step<'a>,
    depth: usize,
    dialect: Dialect,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Element(usize),
}

impl<'a> Visitor<'a> {
    /// The root of a JSON tree.
    pub const fn json() -> Self {
        Self::root(Dialect::Json)
    }

    /// The root of a tree of the given spelling.
    pub const fn root(dialect: Dialect) -> Self {
        Self { parent: None, step: Step::Root, depth: 0, dialect }
    }

    /// A member of the object that stands here.
    pub const fn member(&'a self, name: &'a str) -> Self {
        self.step(Step::Member(name))
    }

    /// An element of the array that stands here.
    pub const fn element(&'a self, index: usize) -> Self {
        self.step(Step::Element(index))
    }

    const fn step(&'a self, step: Step<'a>) -> Self {
        Self { parent: Some(self), step, depth: self.depth + 1, dialect: self.dialect }
    }

    /// How scalars are spelt here.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Refuses to step down from too deep a place.
    fn check_depth(&self) -> Result<(), Error> {
        if self.depth > MAX_DEPTH { Err(self.too_deep()) } else { Ok(()) }
    }

    /// The value here is of another JSON type than `expected`.
    pub fn invalid_type(&self, expected: &str) -> Error {
        Error::generic(format!("Invalid parameter type for '{self}', expected: {expected}"))
    }

    /// The value here has the right type but is none that the schema allows.
    pub fn invalid_value(&self, value: impl fmt::Display) -> Error {
        Error::generic(format!("Parameter '{self}' does not accept value '{value}'"))
    }

    fn missing(&self) -> Error {
        Error::generic(format!("Parameter '{self}' is missing"))
    }

    fn unexpected(&self) -> Error {
        Error::generic(format!("Parameter '{self}' is unexpected"))
    }

    fn too_deep(&self) -> Error {
        Error::generic(format!("Parameter '{self}' is nested more than {MAX_DEPTH} levels deep"))
    }

    fn out_of_range(&self, min: impl fmt::Display, max: impl fmt::Display) -> Error {
        Error::generic(format!("Parameter '{self}' expects an integer from {min} to {max}"))
    }
}

/// The path as QEMU writes it: `file.children[2].filename`.
impl fmt::Display for Visitor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return Ok(());
        };
        parent.fmt(f)?;
        match self.step {
            Step::Root => Ok(()),
            Step::Element(index) => write!(f, "[{index}]"),
            Step::Member(name) if parent.parent.is_none() => f.write_str(name),
            Step::Member(name) => write!(f, ".{name}"),
        }
    }
}

/// A type that can be read from a tree.
pub trait FromValue: Sized {
    /// Reads `value`, which stands `at` this place.
    ///
    /// # Errors
    /// What the schema refuses, with the path of the offending member.
    fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error>;
}

/// A type whose members can be read out of an object: structs, and what unions flatten.
pub trait FromMembers: Sized {
    /// Takes the own members out of `members` and leaves the others.
    ///
    /// # Errors
    /// What the schema refuses, with the path of the offending member.
    fn from_members(members: &mut Members<'_>) -> Result<Self, Error>;
}

/// A type whose members can be written into an object that others write into, too.
pub trait SerializeMembers {
    /// Writes the own members.
    ///
    /// # Errors
    /// Those of `map`.
    fn serialize_members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// The members of an object that nobody has taken yet.
#[derive(Debug)]
pub struct Members<'a> {
    left: Map<String, Value>,
    at: &'a Visitor<'a>,
}

impl<'a> Members<'a> {
    /// The members of an object that stands `at` this place.
    pub const fn new(left: Map<String, Value>, at: &'a Visitor<'a>) -> Self {
        Self { left, at }
    }

    /// The members of `value`, which must be an object.
    ///
    /// # Errors
    /// `value` is of another type, or nested too deep.
    pub fn open(value: Value, at: &'a Visitor<'a>) -> Result<Self, Error> {
        let Value::Object(left) = value else {
            return Err(at.invalid_type("object"));
        };
        at.check_depth()?;
        Ok(Self::new(left, at))
    }

    /// Takes a mandatory member.
    ///
    /// # Errors
    /// It is missing, or not a `T`.
    pub fn required<T: FromValue>(&mut self, name: &str) -> Result<T, Error> {
        let at = self.at.member(name);
        let value = self.left.remove(name).ok_or_else(|| at.missing())?;
        T::from_value(value, &at)
    }

    /// Takes an optional member.
    ///
    /// # Errors
    /// It is there, but not a `T`.
    pub fn optional<T: FromValue>(&mut self, name: &str) -> Result<Option<T>, Error> {
        let at = self.at.member(name);
        let value = self.left.remove(name);
        value.map(|value| T::from_value(value, &at)).transpose()
    }

    /// Takes all that is left, unchecked.
    pub fn take_all(&mut self) -> Map<String, Value> {
        mem::take(&mut self.left)
    }

    /// Refuses what is left.
    ///
    /// # Errors
    /// A member that the schema does not know.
    pub fn finish(&self) -> Result<(), Error> {
        match self.left.keys().next() {
            Some(name) => Err(self.at.member(name).unexpected()),
            None => Ok(()),
        }
    }
}

impl FromValue for Value {
    fn from_value(value: Value, _: &Visitor<'_>) -> Result<Self, Error> {
        Ok(value)
    }
}

impl FromValue for () {
    fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
        value.as_null().ok_or_else(|| at.invalid_type("null"))
    }
}

impl FromValue for String {
    fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
        if let Value::String(text) = value { Ok(text) } else { Err(at.invalid_type("string")) }
    }
}

impl FromValue for bool {
    fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
        match (at.dialect, value.as_str()) {
            (Dialect::Json, _) => value.as_bool().ok_or_else(|| at.invalid_type("boolean")),
            (Dialect::Keyval, Some("on" | "yes" | "true" | "y")) => Ok(true),
            (Dialect::Keyval, Some("off" | "no" | "false" | "n")) => Ok(false),
            (Dialect::Keyval, _) => Err(Error::generic(format!("Parameter '{at}' expects 'on' or 'off'"))),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
        let number = match (at.dialect, &value) {
            (Dialect::Keyval, Value::String(text)) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => value.as_f64(),
        };
        number.ok_or_else(|| at.invalid_type("number"))
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
        let Value::Array(elements) = value else {
            return Err(at.invalid_type("array"));
        };
        at.check_depth()?;
        let elements = elements.into_iter().enumerate();
        elements.map(|(index, element)| T::from_value(element, &at.element(index))).collect()
    }
}

impl<T: FromValue> FromValue for Box<T> {
    fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
        T::from_value(value, at).map(Self::new)
    }
}

impl<T: FromMembers> FromMembers for Box<T> {
    fn from_members(members: &mut Members<'_>) -> Result<Self, Error> {
        T::from_members(members).map(Self::new)
    }
}

impl<T: SerializeMembers> SerializeMembers for Box<T> {
    fn serialize_members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        T::serialize_members(self, map)
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl FromValue for $int {
            fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
                Self::try_from(integer(value, at)?).map_err(|_| at.out_of_range(Self::MIN, Self::MAX))
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

fn integer(value: Value, at: &Visitor<'_>) -> Result<i128, Error> {
    let number = match (at.dialect, &value) {
        (_, Value::Number(number)) => whole(number),
        (Dialect::Keyval, Value::String(text)) => suffixed(text),
        _ => None,
    };
    number.ok_or_else(|| at.invalid_type("integer"))
}

fn whole(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

/// An integer of the command line: decimal or `0x`, and for sizes a binary suffix as QEMU takes it (`64M`).
fn suffixed(text: &str) -> Option<i128> {
    if let Some(hex) = text.strip_prefix("0x") {
        // `from_str_radix` takes a sign, too.
        let hex = Some(hex).filter(|hex| hex.starts_with(|first: char| first.is_ascii_hexdigit()))?;
        return u64::from_str_radix(hex, 16).ok().map(i128::from);
    }
    let (digits, suffix) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let exponent = match suffix {
        "" | "B" | "b" => 0,
        "K" | "k" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        "T" | "t" => 4,
        "P" | "p" => 5,
        "E" | "e" => 6,
        _ => return None,
    };
    // Saturated: what leaves 128 bits is outside the range of every type.
    let number: i128 = digits.parse().ok()?;
    Some(number.saturating_mul(1 << (10 * exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read<T: FromValue>(dialect: Dialect, value: Value) -> Result<T, String> {
        let root = Visitor::root(dialect);
        T::from_value(value, &root.member("x")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_names_members_and_elements() {
        let root = Visitor::json();
        let (file, third);
        file = root.member("file");
        third = file.element(2);
        assert_eq!(third.member("name").to_string(), "file[2].name");
    }

    /// How many levels a tree has.
    #[derive(Debug, PartialEq, Eq)]
    struct Levels(usize);

    impl FromValue for Levels {
        fn from_value(value: Value, at: &Visitor<'_>) -> Result<Self, Error> {
            if value.is_array() {
                let elements = Vec::<Self>::from_value(value, at)?;
                return Ok(Self(1 + elements.iter().map(|levels| levels.0).max().unwrap_or(0)));
            }
            let mut members = Members::open(value, at)?;
            let file = members.optional::<Box<Self>>("file")?;
            members.finish()?;
            Ok(Self(1 + file.map_or(0, |levels| levels.0)))
        }
    }

    #[test]
    fn values_nested_too_deep_are_refused_before_they_exhaust_the_stack() {
        let objects = |levels| (1..levels).fold(json!({}), |file, _| Map::from_iter([("file".into(), file)]).into());
        let arrays = |levels| (1..levels).fold(json!([]), |element, _| vec![element].into());
        assert_eq!(read(Dialect::Json, objects(MAX_DEPTH)), Ok(Levels(MAX_DEPTH)));
        assert_eq!(read(Dialect::Json, arrays(MAX_DEPTH)), Ok(Levels(MAX_DEPTH)));
        // The monitor takes them 1,024 levels deep.
        for levels in [MAX_DEPTH + 1, 1024] {
            let path = ".file".repeat(MAX_DEPTH);
            let refused = format!("Parameter 'x{path}' is nested more than 128 levels deep");
            assert_eq!(read::<Levels>(Dialect::Json, objects(levels)), Err(refused));
            let path = "[0]".repeat(MAX_DEPTH);
            let refused = format!("Parameter 'x{path}' is nested more than 128 levels deep");
            assert_eq!(read::<Levels>(Dialect::Json, arrays(levels)), Err(refused));
        }
    }

    #[test]
    fn integers_are_refused_outside_their_range() {
        assert_eq!(read::<u64>(Dialect::Json, json!(u64::MAX)), Ok(u64::MAX));
        assert_eq!(read::<i8>(Dialect::Json, json!(-128)), Ok(-128));
        let refused = read::<u64>(Dialect::Json, json!(-1));
        assert_eq!(refused, Err("Parameter 'x' expects an integer from 0 to 18446744073709551615".into()));
        assert_eq!(
            read::<u8>(Dialect::Json, json!(1.5)),
            Err("Invalid parameter type for 'x', expected: integer".into())
        );
    }

    #[test]
    fn json_takes_no_strings_for_scalars_but_the_command_line_does() {
        assert!(read::<u64>(Dialect::Json, json!("1")).is_err());
        assert!(read::<bool>(Dialect::Json, json!("on")).is_err());
        assert_eq!(read::<u64>(Dialect::Keyval, json!("64M")), Ok(64 << 20));
        assert_eq!(read::<u64>(Dialect::Keyval, json!("0x10")), Ok(16));
        assert_eq!(read::<bool>(Dialect::Keyval, json!("off")), Ok(false));
        assert!(read::<u64>(Dialect::Keyval, json!("64Q")).is_err());
        assert!(read::<u64>(Dialect::Keyval, json!("99999999999E")).is_err());
    }

    #[test]
    fn integers_of_the_command_line_reach_the_ends_of_their_range() {
        for (text, number) in [("18446744073709551615", u64::MAX), ("0xffffffffffffffff", u64::MAX), ("15E", 15 << 60)]
        {
            assert_eq!(read::<u64>(Dialect::Keyval, json!(text)), Ok(number));
        }
        for (text, number) in [("-9223372036854775808", i64::MIN), ("-8E", i64::MIN), ("9223372036854775807", i64::MAX)]
        {
            assert_eq!(read::<i64>(Dialect::Keyval, json!(text)), Ok(number));
        }
        let huge = i128::MAX.to_string();
        for text in ["18446744073709551616", "16E", "-1", "-1E", &huge, &format!("{huge}E"), &format!("-{huge}E")] {
            let refused = read::<u64>(Dialect::Keyval, json!(text));
            assert_eq!(refused, Err("Parameter 'x' expects an integer from 0 to 18446744073709551615".into()));
        }
    }

    #[test]
    fn an_integer_of_the_command_line_has_a_sign_at_most_before_decimal_digits() {
        for text in ["0x+5", "0x-5", "0x", "-0x5", "+-5", "+", "-", "", "K", "5-", "0x5K"] {
            let refused = read::<i64>(Dialect::Keyval, json!(text));
            assert_eq!(refused, Err("Invalid parameter type for 'x', expected: integer".into()), "{text}");
        }
        assert_eq!(read::<i64>(Dialect::Keyval, json!("+5")), Ok(5));
        assert_eq!(read::<i64>(Dialect::Keyval, json!("-5K")), Ok(-5 << 10));
    }

    #[test]
    fn a_member_left_over_is_unexpected() {
        let root = Visitor::json();
        let mut members = Members::open(json!({"a": 1, "b": 2}), &root).expect("object");
        assert_eq!(members.required::<i64>("a"), Ok(1));
        assert_eq!(members.finish(), Err(Error::generic("Parameter 'b' is unexpected")));
        assert_eq!(members.required::<i64>("c"), Err(Error::generic("Parameter 'c' is missing")));
    }
}
