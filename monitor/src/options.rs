//! What may differ from one monitor to the next.

/// How a monitor treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many bytes a client may leave unread: from half of it on its commands are not run, from all of it on its
    /// events are dropped and counted.
    pub outbuf: usize,
    /// Whether messages are indented for people.
    pub pretty: bool,
    /// How many clients are served at once, of those that connect to a socket. Others are told so and left.
    pub max_clients: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { outbuf: 1 << 20, pretty: false, max_clients: 1024 }
    }
}
