//! What a client is told before it said anything: whose protocol this is, in which version.

use qapi_schema::Wire;
use qapi_schema::control::QMPCapability;

use crate::response::END;

/// The version a monitor reports, in its greeting and to `query-version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Major number of the QEMU release whose protocol is spoken.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Its micro number.
    pub micro: u32,
    /// The program that speaks it, with its own version.
    pub package: String,
}

impl Version {
    /// The version of the protocol that this crate speaks, for a program of this name and version.
    pub fn of_package(package: impl Into<String>) -> Self {
        Self { major: 10, minor: 0, micro: 2, package: package.into() }
    }

    /// The greeting (QMP specification, section "Server Greeting"). Every capability is offered.
    /// The members are in QEMU's order.
    pub fn greeting(&self) -> Vec<u8> {
        let Self { major, minor, micro, package } = self;
        let qemu = format!(r#"{{"micro": {micro}, "minor": {minor}, "major": {major}}}"#);
        let mut greeting = format!(r#"{{"QMP": {{"version": {{"qemu": {qemu}, "package": "#).into_bytes();
        package.write(&mut greeting);
        greeting.extend_from_slice(br#"}, "capabilities": "#);
        QMPCapability::ALL.write(&mut greeting);
        greeting.extend_from_slice(b"}}");
        greeting.extend_from_slice(END);
        greeting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_greeting_has_exactly_the_members_of_the_specification() {
        let greeting = Version::of_package("test 1").greeting();
        let text = str::from_utf8(&greeting).expect("ASCII").strip_suffix("\r\n").expect("CRLF");
        let value: Value = serde_json::from_str(text).expect("JSON");
        let qemu = json!({"major": 10, "minor": 0, "micro": 2});
        let expected = json!({"QMP": {"version": {"qemu": qemu, "package": "test 1"}, "capabilities": ["oob"]}});
        assert_eq!(value, expected);
    }
}
