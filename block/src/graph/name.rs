//! Names of nodes: what a user may choose, and what is generated for nodes that nobody named.

use std::sync::atomic::{AtomicU64, Ordering};

use qapi_schema::Error;

/// As long as QEMU's.
const MAX_LENGTH: usize = 31;

/// Checks a name that a user has chosen. None looks like a generated one.
pub(super) fn check(name: &str) -> Result<(), Error> {
    if !is_well_formed(name) {
        return Err(Error::generic(format!("Invalid node-name: '{name}'")));
    }
    if name.len() > MAX_LENGTH {
        return Err(Error::generic("Node name too long"));
    }
    Ok(())
}

/// A letter, then letters, digits, `-`, `.`, `_`.
pub(crate) fn is_well_formed(name: &str) -> bool {
    let (first, mut rest) = match name.as_bytes() {
        [first, rest @ ..] => (first, rest.iter()),
        [] => return false,
    };
    first.is_ascii_alphabetic() && rest.all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
}

/// Where generated names come from.
#[derive(Debug, Default)]
pub(super) struct Names {
    next: AtomicU64,
}

impl Names {
    /// A name that no node had before: `#block012`.
    pub(super) fn generate(&self) -> String {
        format!("#block{:03}", self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_restricted_as_in_qemu() {
        for good in ["a", "disk-0", "A.b_c-9", "a123456789012345678901234567890"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "1bad", "-a", "_a", "#block000", "a b", "a/b", "\u{e4}", "a\u{e4}", "a\0"] {
            assert_eq!(check(bad), Err(Error::generic(format!("Invalid node-name: '{bad}'"))));
        }
        assert_eq!(check("a1234567890123456789012345678901"), Err(Error::generic("Node name too long")));
    }

    #[test]
    fn no_generated_name_can_be_chosen() {
        let names = Names::default();
        let (first, second) = (names.generate(), names.generate());
        assert_eq!((first.as_str(), second.as_str()), ("#block000", "#block001"));
        assert!(check(&first).is_err());
    }
}
