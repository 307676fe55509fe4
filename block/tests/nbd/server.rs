//! A server in a temporary directory, with clients of all kinds.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use block::disk::Disk;
use block::nbd::client::{Client, ClientError};
use block::nbd::protocol::{NBD_FLAG_C_FIXED_NEWSTYLE, NBD_FLAG_C_NO_ZEROES, NBD_OPT_EXPORT_NAME, NBD_OPTS_MAGIC};
use block::nbd::server::{Limits, Server};
use block::nbd::{Access, Address, ExportOptions};
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

pub struct TestServer {
    server: Server,
    directory: TempDir,
}

impl TestServer {
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let server = Server::start(&Address::Unix(directory.path().join("nbd.sock")), &Access::default(), limits)
            .expect("starts");
        Self { server, directory }
    }

    /// A server of one writable disk, named "disk".
    pub fn serving(disk: &Arc<impl Disk + 'static>) -> Self {
        let server = Self::new();
        server.offer("disk", disk);
        server
    }

    /// Offers a writable disk. The event is set when it is gone again.
    pub fn offer(&self, name: &str, disk: &Arc<impl Disk + 'static>) -> Arc<Event> {
        self.offer_as(writable(name), disk)
    }

    pub fn offer_as(&self, options: ExportOptions, disk: &Arc<impl Disk + 'static>) -> Arc<Event> {
        let gone = Arc::new(Event::default());
        let set = Arc::clone(&gone);
        assert!(self.server.add(options, Arc::clone(disk) as Arc<dyn Disk>, move || set.set()), "name is free");
        gone
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("nbd.sock")
    }

    pub fn connect(&self) -> Client {
        self.connect_to("disk").expect("connects")
    }

    pub fn connect_to(&self, export: &str) -> Result<Client, ClientError> {
        Client::connect(&Address::Unix(self.path()), export)
    }

    /// A connection on which nothing was said yet.
    pub fn connect_raw(&self) -> UnixStream {
        UnixStream::connect(self.path()).expect("connects")
    }

    /// A connection past the handshake, on which anything can be said.
    pub fn connect_raw_to(&self, export: &str) -> UnixStream {
        let mut stream = self.connect_raw();
        stream.read_exact(&mut [0; 18]).expect("greeting");
        let flags = NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES;
        stream.write_all(&flags.to_be_bytes()).expect("sent");
        stream.write_all(&NBD_OPTS_MAGIC.to_be_bytes()).expect("sent");
        stream.write_all(&NBD_OPT_EXPORT_NAME.to_be_bytes()).expect("sent");
        stream.write_all(&(export.len() as u32).to_be_bytes()).expect("sent");
        stream.write_all(export.as_bytes()).expect("sent");
        stream.read_exact(&mut [0; 10]).expect("size and flags");
        stream
    }

    pub fn stop(self) {
        self.server.stop();
    }
}

impl std::ops::Deref for TestServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

pub fn writable(name: &str) -> ExportOptions {
    ExportOptions { name: name.into(), description: None, writable: true, writethrough: false }
}

/// Something that happens once.
#[derive(Default)]
pub struct Event {
    happened: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    pub fn set(&self) {
        *self.happened.lock() = true;
        self.changed.notify_all();
    }

    pub fn wait(&self) {
        self.changed.wait_while(&mut self.happened.lock(), |happened| !*happened);
    }

    pub fn is_set(&self) -> bool {
        *self.happened.lock()
    }
}
