//! `QType`: how QEMU names what JSON tells apart. The only enumeration that the language itself brings.

use serde_json::Value;

/// The type of a JSON value. (QAPI, "Built-in types".)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QType {
    /// No value at all.
    None,
    /// `null`
    Qnull,
    /// A number, whole or not.
    Qnum,
    /// A string.
    Qstring,
    /// An object.
    Qdict,
    /// An array.
    Qlist,
    /// `true` and `false`
    Qbool,
}

crate::qapi_enum!(QType {
    None "none",
    Qnull "qnull",
    Qnum "qnum",
    Qstring "qstring",
    Qdict "qdict",
    Qlist "qlist",
    Qbool "qbool",
});

impl QType {
    /// The type of a value.
    pub const fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Qnull,
            Value::Bool(_) => Self::Qbool,
            Value::Number(_) => Self::Qnum,
            Value::String(_) => Self::Qstring,
            Value::Array(_) => Self::Qlist,
            Value::Object(_) => Self::Qdict,
        }
    }

    /// The name in JSON, as errors use it.
    pub const fn json_name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Qnull => "null",
            Self::Qnum => "number",
            Self::Qstring => "string",
            Self::Qdict => "object",
            Self::Qlist => "array",
            Self::Qbool => "boolean",
        }
    }

    /// Any of these types, as an error says what it expected.
    pub fn any_of(types: &[Self]) -> String {
        types.iter().map(|ty| ty.json_name()).collect::<Vec<_>>().join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_has_a_type_and_every_type_two_names() {
        let values = [json!(null), json!(1.5), json!("x"), json!({}), json!([]), json!(true)];
        let types: Vec<_> = values.iter().map(QType::of).collect();
        assert_eq!(types, QType::ALL[1..]);
        assert_eq!(QType::any_of(&types[1..3]), "number or string");
        assert_eq!("qdict".parse(), Ok(QType::Qdict));
    }
}
