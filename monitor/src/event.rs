//! An event as it stands on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use qapi_schema::common::Timestamp;
use qapi_schema::{Event, Wire};

use crate::response::END;

/// An event to be sent (QMP specification, section "Asynchronous events").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMessage {
    /// Its name, for those who miss it.
    pub name: &'static str,
    /// The whole message.
    pub text: Vec<u8>,
}

impl EventMessage {
    /// An event that happened at this time.
    pub fn new(at: Timestamp, event: &dyn Event) -> Self {
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(br#"{"timestamp": {"seconds": "#);
        at.seconds.write(&mut text);
        text.extend_from_slice(br#", "microseconds": "#);
        at.microseconds.write(&mut text);
        text.extend_from_slice(br#"}, "event": "#);
        event.name().write(&mut text);
        if let Some(data) = event.data() {
            text.extend_from_slice(br#", "data": "#);
            data.write(&mut text);
        }
        text.push(b'}');
        text.extend_from_slice(END);
        Self { name: event.name(), text }
    }

    /// An event that happens now.
    pub fn now(event: &dyn Event) -> Self {
        // Before 1970, and after the year 290,000,000,000, it is 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        Self::new(Timestamp { seconds, microseconds: since.subsec_micros().into() }, event)
    }
}
