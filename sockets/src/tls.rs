//! TLS, which knows who the peer is where the kernel does not: credentials, and the connections made with them.

mod credentials;
mod session;

pub use credentials::Credentials;
pub use session::Session;
