//! Who the guest is: what `-name` and `-uuid` give it.

use std::fmt;

use qapi_schema::Error;

use crate::keyval::Argument;

/// A UUID, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uuid(String);

/// A guest's name and UUID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// Its UUID, all zeroes if it was given none.
    pub uuid: Uuid,
}

/// All zeroes.
impl Default for Uuid {
    fn default() -> Self {
        Self("00000000-0000-0000-0000-000000000000".into())
    }
}

impl Uuid {
    /// Reads a UUID in its usual form.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(Error::generic(format!("'{text}' is not a UUID")))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads what `-name` takes: `larder`, or `guest=larder,debug-threads=on`. Threads have names in any case.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_name(text: &str) -> Result<Option<String>, Error> {
    Argument::parse(text, Some("guest"))?.read(|members| {
        if members.optional("debug-threads")? == Some(false) {
            return Err(Error::generic("'debug-threads=off' is not supported: threads have names"));
        }
        members.optional("guest")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_in_any_case_and_in_no_other_form() {
        let uuid = Uuid::parse("550E8400-e29b-41d4-a716-446655440000").expect("a UUID");
        assert_eq!(uuid.to_string(), "550e8400-e29b-41d4-a716-446655440000");
        for text in ["", "550e8400e29b41d4a716446655440000", "550e8400-e29b-41d4-a716-44665544000g", "-----"] {
            let error = Uuid::parse(text).expect_err(text);
            assert_eq!(error.desc(), format!("'{text}' is not a UUID"));
        }
        assert!(Uuid::parse("550e8400-e29b-41d4-a716-446655440000-").is_err());
    }

    #[test]
    fn a_name_is_given_with_its_key_or_without() {
        assert_eq!(parse_name("larder"), Ok(Some("larder".into())));
        assert_eq!(parse_name("guest=a,,b,debug-threads=on"), Ok(Some("a,b".into())));
        assert!(parse_name("larder,debug-threads=off").is_err());
        assert_eq!(parse_name("a,process=b").map_err(|error| error.to_string()), {
            Err("Parameter 'process' is unexpected".into())
        });
    }
}
