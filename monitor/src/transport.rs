//! Where clients come from: byte streams on unix sockets, TCP and stdio, and one epoll instance for all of them.

mod connector;
mod listener;
mod poller;
mod raw_mode;
mod receive;
mod stdio;
mod stream;

pub(crate) use connector::Connector;
pub(crate) use listener::Listener;
pub(crate) use poller::{Batch, Poller, Ready, Source};
pub(crate) use raw_mode::RawMode;
pub(crate) use stdio::open as open_stdio;
pub(crate) use stream::{Interest, Stream};
