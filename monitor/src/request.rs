//! A value of the stream as a request: what a client may say, and how it is told otherwise.

use qapi_schema::{Arguments, Error};
use serde_json::{Map, Value};

use crate::response::Response;

/// A command that a client asks to be run (QMP specification, section "Issuing Commands").
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The command's name.
    pub execute: String,
    /// Its arguments, empty where there are none.
    pub arguments: Arguments,
    /// What the reply is to carry, any JSON value.
    pub id: Option<Value>,
    /// Whether it may overtake what runs (`exec-oob`).
    pub out_of_band: bool,
}

impl Request {
    /// Reads a request out of `value`. `oob` tells whether the client may ask for execution out-of-band.
    ///
    /// # Errors
    /// The reply to a value that is none, with its id where it has one.
    pub fn read(value: Value, oob: bool) -> Result<Self, Response> {
        let Value::Object(members) = value else {
            return Err(Response::error(None, Error::generic("QMP input must be a JSON object")));
        };
        let (mut named, mut arguments, mut id, mut refused) = (None, Arguments::new(), None, None);
        // All of them even after an error: the reply to it wants the id, which may come later.
        for (name, value) in members {
            let taken = match (name.as_str(), value) {
                ("id", value) => {
                    id = Some(value);
                    Ok(())
                }
                ("execute", value) => name_command(&mut named, "execute", value),
                ("exec-oob", value) if oob => name_command(&mut named, "exec-oob", value),
                ("arguments", Value::Object(members)) => {
                    arguments = members;
                    Ok(())
                }
                ("arguments", _) => Err("QMP input member 'arguments' must be an object".into()),
                _ => Err(format!("QMP input member '{name}' is unexpected")),
            };
            refused = refused.or(taken.err());
        }
        match (refused, named) {
            (Some(desc), _) => Err(Response::error(id, Error::generic(desc))),
            (None, None) => Err(Response::error(id, Error::generic("QMP input lacks member 'execute'"))),
            (None, Some((member, execute))) => Ok(Self { execute, arguments, id, out_of_band: member == "exec-oob" }),
        }
    }
}

/// Whether an object asks for execution out-of-band, well-formed or not.
pub(crate) fn is_out_of_band(members: &Map<String, Value>) -> bool {
    members.contains_key("exec-oob") && !members.contains_key("execute")
}

/// Takes the command out of `member`. `named` is the member that gave one before, with it.
fn name_command(named: &mut Option<(&str, String)>, member: &'static str, value: Value) -> Result<(), String> {
    let Value::String(command) = value else {
        return Err(format!("QMP input member '{member}' must be a string"));
    };
    match named.replace((member, command)) {
        None => Ok(()),
        Some((other, _)) => Err(format!("QMP input member '{member}' clashes with '{other}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Request, String> {
        Request::read(value, false).map_err(|response| response.to_string())
    }

    fn read_with_oob(value: Value) -> Result<Request, String> {
        Request::read(value, true).map_err(|response| response.to_string())
    }

    #[test]
    fn a_request_has_a_command_and_may_have_arguments_and_an_id_of_any_type() {
        let request = read(json!({"execute": "cont"})).expect("valid");
        assert_eq!(
            request,
            Request { execute: "cont".into(), arguments: Arguments::new(), id: None, out_of_band: false }
        );
        let request = read(json!({"arguments": {"a": 1}, "execute": "x", "id": [null]})).expect("valid");
        assert_eq!(request.arguments.get("a"), Some(&json!(1)));
        assert_eq!(request.id, Some(json!([null])));
    }

    #[test]
    fn what_is_no_object_is_refused_without_an_id() {
        for value in [json!(1), json!("execute"), json!([]), json!(null)] {
            let expected = r#"{"error": {"class": "GenericError", "desc": "QMP input must be a JSON object"}}"#;
            assert_eq!(read(value), Err(expected.into()));
        }
    }

    #[test]
    fn each_wrong_member_is_named_and_the_id_is_echoed() {
        for (value, desc) in [
            (json!({"id": 7}), "QMP input lacks member 'execute'"),
            (json!({"id": 7, "execute": 1}), "QMP input member 'execute' must be a string"),
            (json!({"id": 7, "execute": "x", "arguments": null}), "QMP input member 'arguments' must be an object"),
            (json!({"id": 7, "execute": "x", "foo": 1}), "QMP input member 'foo' is unexpected"),
            (json!({"id": 7, "exec-oob": "x"}), "QMP input member 'exec-oob' is unexpected"),
        ] {
            let expected = format!(r#"{{"id": 7, "error": {{"class": "GenericError", "desc": "{desc}"}}}}"#);
            assert_eq!(read(value), Err(expected));
        }
    }

    #[test]
    fn out_of_band_is_asked_for_by_another_name() {
        let request = read_with_oob(json!({"exec-oob": "x", "id": 1})).expect("valid");
        assert!(request.out_of_band);
        assert!(!read_with_oob(json!({"execute": "x"})).expect("valid").out_of_band);
        for (value, desc) in [
            (json!({"id": 7, "exec-oob": null}), "QMP input member 'exec-oob' must be a string"),
            (json!({"id": 7, "exec-oob": "x", "execute": "x"}), "QMP input member 'execute' clashes with 'exec-oob'"),
            (json!({"id": 7, "exec-oob": "x", "foo": 1}), "QMP input member 'foo' is unexpected"),
        ] {
            let expected = format!(r#"{{"id": 7, "error": {{"class": "GenericError", "desc": "{desc}"}}}}"#);
            assert_eq!(read_with_oob(value), Err(expected));
        }
    }
}
