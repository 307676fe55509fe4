//! What a client is answered, as it stands on the wire.

use std::fmt;

use qapi_schema::{Command, Error, Reply, Wire};
use serde_json::Value;

/// The end of every message to a client.
pub(crate) const END: &[u8] = b"\r\n";

/// The reply to one request (QMP specification, section "Commands Responses").
pub struct Response {
    id: Option<Value>,
    outcome: Result<Reply, Error>,
}

impl Response {
    /// The reply to a request with this id.
    pub const fn new(id: Option<Value>, outcome: Result<Reply, Error>) -> Self {
        Self { id, outcome }
    }

    /// The reply of a command that returns nothing.
    pub fn success(id: Option<Value>) -> Self {
        Self::new(id, Ok(Command::empty()))
    }

    /// The reply to a request that failed.
    pub const fn error(id: Option<Value>, error: Error) -> Self {
        Self::new(id, Err(error))
    }

    /// Appends the message to `out`, with its members in QEMU's order.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.outcome {
            Ok(reply) => {
                out.extend_from_slice(br#"{"return": "#);
                reply.write(out);
                if let Some(id) = &self.id {
                    out.extend_from_slice(br#", "id": "#);
                    id.write(out);
                }
                out.push(b'}');
            }
            Err(error) => {
                out.push(b'{');
                if let Some(id) = &self.id {
                    out.extend_from_slice(br#""id": "#);
                    id.write(out);
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(br#""error": {"class": ""#);
                out.extend_from_slice(error.class().as_str().as_bytes());
                out.extend_from_slice(br#"", "desc": "#);
                error.desc().write(out);
                out.extend_from_slice(b"}}");
            }
        }
        out.extend_from_slice(END);
    }
}

/// The message without its end.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(String::from_utf8_lossy(&out).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qapi_schema::ErrorClass;
    use serde_json::json;

    #[test]
    fn a_reply_carries_the_value_and_the_id_and_ends_with_crlf() {
        let mut out = Vec::new();
        Response::new(Some(json!({"a": [1]})), Ok(Box::new(vec![1, 2]))).write(&mut out);
        Response::success(None).write(&mut out);
        assert_eq!(str::from_utf8(&out), Ok("{\"return\": [1, 2], \"id\": {\"a\": [1]}}\r\n{\"return\": {}}\r\n"));
    }

    #[test]
    fn an_error_carries_class_and_description_in_ascii() {
        let error = Error::new(ErrorClass::CommandNotFound, "The command \u{e4}\" has not been found");
        let expected = r#"{"error": {"class": "CommandNotFound", "desc": "The command \u00E4\" has not been found"}}"#;
        assert_eq!(Response::error(None, error.clone()).to_string(), expected);
        assert_eq!(Response::error(Some(json!(7)), error).to_string(), format!("{{\"id\": 7, {}", &expected[1..]));
    }
}
