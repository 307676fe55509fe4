//! The QMP server: a byte stream becomes requests, requests become replies, and events go out to every session.

mod broadcaster;
mod greeting;
pub mod json;
pub mod mailbox;
pub mod outbox;
mod request;
mod response;
mod session;
pub mod throttle;

pub use broadcaster::Broadcaster;
pub use greeting::Version;
pub use request::Request;
pub use response::Response;
pub use session::{Session, Step};
