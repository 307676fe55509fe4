//! What may differ from one monitor to the next.

/// How a monitor treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What its clients speak.
    pub mode: Mode,
    /// How many bytes a client may leave unread: from half of it on its commands are not run, from all of it on its
    /// events are dropped and counted.
    pub outbuf: usize,
    /// Whether messages are indented for people.
    pub pretty: bool,
    /// How many clients are served at once, of those that connect to a socket. Others are told so and left.
    pub max_clients: usize,
}

/// What the clients of a monitor speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// QMP.
    #[default]
    Control,
    /// What people type.
    Readline,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: Mode::Control, outbuf: 1 << 20, pretty: false, max_clients: 1024 }
    }
}
