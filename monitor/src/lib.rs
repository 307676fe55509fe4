//! The QMP server: a byte stream becomes requests, requests become replies, and events go out to every session.

mod broadcaster;
mod connection;
pub mod control;
mod dispatcher;
mod event_loop;
mod greeting;
pub mod json;
pub mod mailbox;
pub mod outbox;
mod request;
mod response;
mod server;
mod session;
pub mod throttle;
mod transport;
mod worker;

pub use broadcaster::Broadcaster;
pub use greeting::Version;
pub use request::Request;
pub use response::Response;
pub use server::{Handle, Server};
pub use session::{Session, Step};
pub use transport::Endpoint;
