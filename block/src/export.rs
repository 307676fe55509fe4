//! What QMP knows of exports: `block-export.json`, served from the NBD server and the backends behind its disks.
//!
//! An export lives from `block-export-add` until the last request of its last client is answered, which can be long
//! after `block-export-del`: BLOCK_EXPORT_DELETED tells when its node is free.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::block_export::{
    BlockDirtyBitmap, BlockDirtyBitmapOrStr, BlockExportInfo, BlockExportOptions, BlockExportOptionsKind,
    BlockExportOptionsNbd, BlockExportRemoveMode, BlockExportType, Commands, NbdServerOptions, NbdServerOptionsLegacy,
    event,
};
use qapi_schema::sockets::SocketAccess;
use qapi_schema::{Client, Error};
use sockets::Objects;

use crate::backend::{BackendOptions, BlockBackend};
use crate::block::Block;
use crate::graph::Attachment;
use crate::nbd::protocol::NBD_MAX_STRING;
use crate::nbd::server::{Limits, Server};
use crate::nbd::{Access, Address, ExportOptions, Removal, RemovalError};
use crate::policy::ErrorPolicy;

/// The exports of a VM's disks, and the NBD server for them.
///
/// Lock order: `changes`, then the VM's; `exports` is the last. Only `changes` is held while something is waited for,
/// so that a query never waits.
pub struct Exports {
    block: Arc<Block>,
    objects: Arc<Objects>,
    /// One command at a time changes anything. The server, while it runs.
    changes: Arc<Mutex<Option<Server>>>,
    exports: Arc<Mutex<Vec<Export>>>,
    /// Who has handed sockets over.
    client: Arc<Client>,
}

struct Export {
    id: String,
    name: String,
    backend: Arc<BlockBackend>,
    shutting_down: bool,
}

/// The address, the access and the limits in the server's options, of which the schema has two forms.
macro_rules! take_apart {
    ($form:ident, $options:expr) => {{
        let $form { addr, mode, group, allow_uid, allow_gid, tls_creds, handshake_max_seconds, max_connections } =
            $options;
        let access = SocketAccess { mode, group, allow_uid, allow_gid, tls_creds };
        (Address::try_from(addr), access, Limits::new(handshake_max_seconds, max_connections))
    }};
}

impl Exports {
    /// No exports, and no server. TLS credentials for one are found in `objects`.
    pub fn new(block: Arc<Block>, objects: Arc<Objects>) -> Self {
        Self { block, objects, changes: Arc::default(), exports: Arc::default(), client: Arc::default() }
    }

    /// The same exports, for a client whose sockets may be used.
    pub fn for_client(&self, client: Arc<Client>) -> Self {
        let (block, objects) = (Arc::clone(&self.block), Arc::clone(&self.objects));
        let (changes, exports) = (Arc::clone(&self.changes), Arc::clone(&self.exports));
        Self { block, objects, changes, exports, client }
    }

    /// Starts the NBD server.
    ///
    /// # Errors
    /// It runs already, or can't listen there.
    pub fn start_nbd_server(&self, options: NbdServerOptions) -> Result<(), Error> {
        let (address, access, limits) = take_apart!(NbdServerOptions, options);
        self.start_server(None, &address?, access, limits)
    }

    /// Starts it for `client`, if it is one who asks.
    fn start_server(
        &self,
        client: Option<&Client>,
        address: &Address,
        access: SocketAccess,
        limits: Limits,
    ) -> Result<(), Error> {
        let mut server = self.changes.lock();
        if server.is_some() {
            return Err(Error::generic("NBD server already running"));
        }
        let access = Access::new(access, address, &self.objects)?;
        // A name that the client gave goes before one that the service manager gave.
        let handed_over = match address {
            Address::Inherited(name) => client.and_then(|client| client.take(name)),
            Address::Unix(_) | Address::Abstract { .. } | Address::Inet(_) => None,
        };
        let refused = |error: io::Error| match address {
            Address::Inherited(name) if client.is_some() && error.kind() == io::ErrorKind::NotFound => {
                Error::generic(format!("File descriptor named '{name}' has not been found"))
            }
            Address::Inherited(_) | Address::Unix(_) | Address::Abstract { .. } | Address::Inet(_) => {
                Error::generic(error.to_string())
            }
        };
        let started = match handed_over {
            Some(socket) => Server::start_on(socket, address, &access, limits),
            None => Server::start(address, &access, limits),
        };
        let started = started.map_err(refused)?;
        for address in started.addresses() {
            tracing::info!(%address, "NBD server listens");
        }
        *server = Some(started);
        Ok(())
    }

    /// Where the NBD server listens, with the ports that it was given; nowhere if it does not run.
    pub fn nbd_addresses(&self) -> Vec<Address> {
        self.changes.lock().as_ref().map_or_else(Vec::new, |server| server.addresses().to_vec())
    }

    /// Removes all exports, closes their connections, and stops the server if it runs. Returns when every request is
    /// answered.
    pub fn stop(&self) {
        let mut changes = self.changes.lock();
        if let Some(server) = changes.take() {
            self.stop_server(server);
        }
    }

    fn stop_server(&self, server: Server) {
        self.exports.lock().iter_mut().for_each(|export| export.shutting_down = true);
        server.stop();
    }

    /// What is to be done when an export is gone.
    fn farewell(&self, id: String) -> impl FnOnce() + Send + Sync + use<> {
        let exports = Arc::clone(&self.exports);
        let block = Arc::clone(&self.block);
        move || {
            let mut exports = exports.lock();
            let gone = exports.iter().position(|export| export.id == id).map(|at| exports.remove(at));
            drop(exports);
            if let Some(gone) = gone {
                block.remove_backend(&gone.backend);
            }
            block.vm().emit(&event::BlockExportDeleted { id });
        }
    }

    /// Takes a node into use for a new export.
    fn attach(&self, options: &BlockExportOptions, writable: bool) -> Result<Attachment, Error> {
        let graph = self.block.graph();
        if writable && graph.node(&options.node_name).is_some_and(|node| node.read_only()) {
            return Err(Error::generic("Cannot export read-only node as writable"));
        }
        let node = graph.attach(&options.node_name, writable, &format!("export '{}'", options.id))?;
        // NBD can't tell its clients of another size: what they were told must stay.
        node.keep_size()
    }

    /// There is none of any name.
    fn no_such_bitmap(&self, bitmap: BlockDirtyBitmapOrStr) -> Error {
        Error::generic(match bitmap {
            BlockDirtyBitmapOrStr::Local(name) => format!("Bitmap '{name}' is not found"),
            BlockDirtyBitmapOrStr::External(BlockDirtyBitmap { node, name }) => match self.block.graph().node(&node) {
                Some(_) => format!("Dirty bitmap '{name}' not found"),
                None => format!("Node '{node}' not found"),
            },
        })
    }
}

impl Commands for Exports {
    fn nbd_server_start(&self, arguments: NbdServerOptionsLegacy) -> Result<(), Error> {
        let (address, access, limits) = take_apart!(NbdServerOptionsLegacy, arguments);
        self.start_server(Some(&self.client), &address?, access, limits)
    }

    fn nbd_server_stop(&self) -> Result<(), Error> {
        let mut changes = self.changes.lock();
        self.stop_server(changes.take().ok_or_else(not_running)?);
        Ok(())
    }

    fn block_export_add(&self, arguments: BlockExportOptions) -> Result<(), Error> {
        let changes = self.changes.lock();
        let id = arguments.id.clone();
        if !is_well_formed(&id) {
            return Err(Error::generic("Invalid block export id"));
        }
        if self.exports.lock().iter().any(|export| export.id == id) {
            return Err(Error::generic(format!("Block export id '{id}' is already in use")));
        }
        let policy = ErrorPolicy::new(arguments.werror, arguments.rerror)?;
        let writable = arguments.writable.unwrap_or(false);
        let node = self.attach(&arguments, writable)?;
        if let Some(iothread) = &arguments.iothread {
            return Err(Error::generic(format!("iothread \"{iothread}\" not found")));
        }
        let server = changes.as_ref().ok_or_else(not_running)?;

        let BlockExportOptionsKind::Nbd(nbd) = arguments.r#type;
        let BlockExportOptionsNbd { name, description, bitmaps, allocation_depth } = nbd;
        let name = name.unwrap_or(arguments.node_name);
        check_length("export name", &name)?;
        description.iter().try_for_each(|description| check_length("description", description))?;
        if let Some(bitmap) = bitmaps.into_iter().flatten().next() {
            return Err(self.no_such_bitmap(bitmap));
        }
        if allocation_depth == Some(true) {
            let text = "Parameter 'allocation-depth' does not accept value 'true': there are no structured replies";
            return Err(Error::generic(text));
        }
        let writethrough = arguments.writethrough.unwrap_or(false);
        let options = ExportOptions { name: name.clone(), description, writable, writethrough };

        let qom_path = format!("/exports/{id}");
        let backend = self.block.add_backend(BackendOptions { qom_path, device: String::new(), node, policy })?;
        if !server.add(options, backend.clone(), self.farewell(id.clone())) {
            self.block.remove_backend(&backend);
            return Err(Error::generic(format!("NBD server already has export named '{name}'")));
        }
        self.exports.lock().push(Export { id, name, backend, shutting_down: false });
        Ok(())
    }

    fn block_export_del(&self, id: String, mode: Option<BlockExportRemoveMode>) -> Result<(), Error> {
        let changes = self.changes.lock();
        let removal = match mode {
            None | Some(BlockExportRemoveMode::Safe) => Removal::Safe,
            Some(BlockExportRemoveMode::Hard) => Removal::Hard,
        };
        let name = {
            let mut exports = self.exports.lock();
            let export = exports.iter_mut().find(|export| export.id == id);
            let export = export.ok_or_else(|| Error::generic(format!("Export '{id}' is not found")))?;
            if export.shutting_down {
                return Err(Error::generic(format!("Export '{id}' is already shutting down")));
            }
            export.shutting_down = removal == Removal::Hard;
            export.name.clone()
        };
        let server = changes.as_ref().ok_or_else(not_running)?;
        server.remove(&name, removal).map_err(|error| match error {
            RemovalError::InUse => Error::generic(format!("export '{id}' still in use")),
            RemovalError::Unknown => Error::generic(format!("Export '{id}' is not found")),
        })
    }

    fn query_block_exports(&self) -> Result<Vec<BlockExportInfo>, Error> {
        let exports = self.exports.lock();
        let information = exports.iter().map(|export| BlockExportInfo {
            id: export.id.clone(),
            r#type: BlockExportType::Nbd,
            node_name: export.backend.node().name().to_owned(),
            shutting_down: export.shutting_down,
        });
        Ok(information.collect())
    }
}

fn not_running() -> Error {
    Error::generic("NBD server not running")
}

/// A letter, then letters, digits and `-._`, as QEMU has identifiers.
fn is_well_formed(id: &str) -> bool {
    let others = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    id.starts_with(|c: char| c.is_ascii_alphabetic()) && id.chars().all(others)
}

/// The protocol's limit for strings.
fn check_length(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > NBD_MAX_STRING {
        return Err(Error::generic(format!("{what} '{text}' too long")));
    }
    Ok(())
}
