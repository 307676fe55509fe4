//! Conditions, and how they are spoken of.

use std::fmt;

/// Under which condition something exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// A symbol of the configuration is defined.
    Symbol(String),
    /// The condition does not hold.
    Not(Box<Condition>),
    /// All of them hold.
    All(Vec<Condition>),
    /// At least one of them holds.
    Any(Vec<Condition>),
}

impl Condition {
    /// The symbols that it asks for.
    pub fn symbols(&self) -> Vec<&str> {
        match self {
            Self::Symbol(symbol) => vec![symbol],
            Self::Not(operand) => operand.symbols(),
            Self::All(operands) | Self::Any(operands) => operands.iter().flat_map(Self::symbols).collect(),
        }
    }
}

/// As people write it: `A and (B or not C)`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

impl Condition {
    fn write(&self, f: &mut fmt::Formatter<'_>, nested: bool) -> fmt::Result {
        let (operands, word) = match self {
            Self::Symbol(symbol) => return f.write_str(symbol),
            Self::Not(operand) => {
                f.write_str("not ")?;
                return operand.write(f, true);
            }
            Self::All(operands) => (operands, " and "),
            Self::Any(operands) => (operands, " or "),
        };
        let several = operands.len() > 1;
        let [open, close] = if nested && several { ["(", ")"] } else { ["", ""] };
        f.write_str(open)?;
        for (index, operand) in operands.iter().enumerate() {
            f.write_str(if index > 0 { word } else { "" })?;
            operand.write(f, nested || several)?;
        }
        f.write_str(close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parentheses_say_what_binds() {
        let [a, b, c] = ["A", "B", "C"].map(|symbol| Condition::Symbol(symbol.to_owned()));
        let any = Condition::Any(vec![b, Condition::Not(Box::new(c))]);
        let single = Condition::All(vec![any.clone()]);
        assert_eq!(Condition::All(vec![a, any.clone()]).to_string(), "A and (B or not C)");
        assert_eq!(single.to_string(), "B or not C");
        for condition in [any, single] {
            assert_eq!(Condition::Not(Box::new(condition)).to_string(), "not (B or not C)");
        }
    }
}
