//! Disks by the name under which clients find them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::connection::Outbox;
use super::negotiation::{Directory, Offer};
use super::transmission::Terms;
use crate::disk::Disk;

/// How an export is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportOptions {
    /// The name that clients ask for.
    pub name: String,
    /// Free text for people.
    pub description: Option<String>,
    /// Whether clients may write, if the disk can be written.
    pub writable: bool,
    /// Whether every write is on stable storage before it is answered.
    pub writethrough: bool,
}

/// How an export is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Only if no client is connected.
    Safe,
    /// Its connections are closed.
    Hard,
}

/// Why an export was not taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalError {
    /// There is none of this name.
    Unknown,
    /// Clients are connected.
    InUse,
}

/// A disk on offer. It is gone when neither the table nor a client has it any more.
pub(super) struct Export {
    options: ExportOptions,
    usage: Mutex<Usage>,
    // In this order: who is told that the export is gone can have its disk.
    disk: Arc<dyn Disk>,
    _gone: Notice,
}

/// Who is connected, and whether more may come.
struct Usage {
    offered: bool,
    clients: Vec<Arc<Outbox>>,
}

/// Called when it is dropped.
struct Notice(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Notice {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

impl Export {
    pub(super) const fn options(&self) -> &ExportOptions {
        &self.options
    }

    pub(super) const fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Stops offering it. Returns the clients to disconnect; `None` if there are some and there must not be.
    fn retire(&self, removal: Removal) -> Option<Vec<Arc<Outbox>>> {
        let mut usage = self.usage.lock();
        if removal == Removal::Safe && !usage.clients.is_empty() {
            return None;
        }
        usage.offered = false;
        Some(usage.clients.clone())
    }
}

/// A client's connection to an export, until it is dropped.
pub(super) struct Attachment {
    export: Arc<Export>,
    outbox: Arc<Outbox>,
}

impl Attachment {
    /// Fails if the export is not offered any more.
    pub(super) fn new(export: Arc<Export>, outbox: &Arc<Outbox>) -> Option<Self> {
        let mut usage = export.usage.lock();
        if !usage.offered {
            return None;
        }
        usage.clients.push(Arc::clone(outbox));
        drop(usage);
        Some(Self { export, outbox: Arc::clone(outbox) })
    }

    pub(super) fn export(&self) -> &Export {
        &self.export
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.export.usage.lock().clients.retain(|client| !Arc::ptr_eq(client, &self.outbox));
    }
}

/// The exports of a server by their names. Clients see a change at once.
///
/// Lock order: the table, then one export's usage.
#[derive(Default)]
pub(super) struct Table {
    exports: Mutex<BTreeMap<String, Arc<Export>>>,
}

impl Table {
    /// Returns whether it was added: a name can be taken only once. `gone` is called, without any lock, when the
    /// export was removed and the last request of its last client is answered.
    pub(super) fn add(
        &self,
        options: ExportOptions,
        disk: Arc<dyn Disk>,
        gone: impl FnOnce() + Send + Sync + 'static,
    ) -> bool {
        let mut exports = self.exports.lock();
        if exports.contains_key(&options.name) {
            return false;
        }
        let name = options.name.clone();
        let usage = Mutex::new(Usage { offered: true, clients: Vec::new() });
        exports.insert(name, Arc::new(Export { options, usage, disk, _gone: Notice(Some(Box::new(gone))) }));
        true
    }

    pub(super) fn remove(&self, name: &str, removal: Removal) -> Result<(), RemovalError> {
        let mut exports = self.exports.lock();
        let export = exports.get(name).ok_or(RemovalError::Unknown)?;
        let clients = export.retire(removal).ok_or(RemovalError::InUse)?;
        let removed = exports.remove(name);
        drop(exports);
        clients.iter().for_each(|client| client.close());
        drop(removed);
        Ok(())
    }

    /// Removes all, the hard way.
    pub(super) fn clear(&self) {
        let exports = std::mem::take(&mut *self.exports.lock());
        for export in exports.into_values() {
            let clients = export.retire(Removal::Hard);
            clients.into_iter().flatten().for_each(|client| client.close());
        }
    }
}

/// An export that a client asked for, as it is now.
pub(super) struct Found {
    pub(super) export: Arc<Export>,
    pub(super) terms: Terms,
}

impl Directory for Table {
    type Export = Found;

    fn find(&self, name: &str) -> Result<Found, String> {
        let export = self.exports.lock().get(name).cloned().ok_or_else(|| "no export has this name".to_owned())?;
        let size = export.disk.length().map_err(|error| format!("the size of the export is unknown: {error}"))?;
        let read_only = !export.options.writable || export.disk.read_only();
        Ok(Found { export, terms: Terms { size, read_only } })
    }

    fn offer(&self, found: &Found) -> Offer {
        let ExportOptions { name, description, .. } = found.export.options();
        Offer { name: name.clone(), description: description.clone(), terms: found.terms }
    }

    fn list(&self) -> Vec<(String, Option<String>)> {
        let exports = self.exports.lock();
        exports.values().map(|export| (export.options.name.clone(), export.options.description.clone())).collect()
    }
}
