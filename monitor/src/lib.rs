//! The QMP server: a byte stream becomes requests, requests become replies, and events go out to every session.

mod broadcaster;
#[cfg_attr(not(test), expect(dead_code, reason = "the event loop is to come"))]
mod dispatcher;
mod greeting;
pub mod json;
pub mod mailbox;
pub mod outbox;
mod request;
mod response;
mod session;
pub mod throttle;
#[expect(dead_code, unused_imports, reason = "the event loop is to come")]
mod transport;
mod worker;

pub use broadcaster::Broadcaster;
pub use greeting::Version;
pub use request::Request;
pub use response::Response;
pub use session::{Session, Step};
pub use transport::Endpoint;
