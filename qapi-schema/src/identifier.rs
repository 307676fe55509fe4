//! Identifiers that users give: of objects and devices.

use crate::Error;

/// Checks an identifier, as QEMU has them; `name` is that of the parameter.
///
/// # Errors
/// It is none.
pub fn check_identifier(name: &str, id: &str) -> Result<(), Error> {
    let others = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if id.starts_with(|c: char| c.is_ascii_alphabetic()) && id.chars().all(others) {
        return Ok(());
    }
    let expected = "expects an identifier: a letter, then letters, digits and '-._'";
    Err(Error::generic(format!("Parameter '{name}' {expected}")))
}
