//! Events on their way up: what a subsystem emits, and where to.

use crate::common::Timestamp;
use crate::wire::Wire;

/// An event of the schema. Implemented by generated structs, whose members are the event's data.
pub trait Event: Send + Sync {
    /// The name on the wire, such as `STOP`.
    fn name(&self) -> &'static str;

    /// The data, or `None` for an event that the schema defines without.
    fn data(&self) -> Option<&dyn Wire>;
}

/// Where a subsystem sends its events, whoever listens.
pub trait EventSink: Send + Sync {
    /// Takes one event that happened `at` this time.
    ///
    /// Called with the caller's locks held, in the order in which the events happened: must not block, must not call
    /// back into the caller, and must keep the order.
    fn emit(&self, at: Timestamp, event: &dyn Event);
}
