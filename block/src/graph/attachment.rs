//! The use of a node by something outside the graph: a device, an export.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use qapi_schema::Error;

use super::registry::{Registry, UserId};
use crate::driver::Usage;
use crate::node::{KeptSize, Node};

/// A node in use. Until this is detached or dropped the node stays, and other processes are kept out of its image.
pub struct Attachment {
    node: Arc<Node>,
    registry: Arc<Registry>,
    user: UserId,
    usage: Usage,
    size: Mutex<Option<KeptSize>>,
    detached: AtomicBool,
}

impl Attachment {
    pub(super) fn new(registry: &Arc<Registry>, name: &str, usage: Usage, user: &str) -> Result<Self, Error> {
        let (node, user) = registry.attach(name, user)?;
        match node.acquire(usage) {
            Ok(()) => {
                let (registry, detached) = (Arc::clone(registry), AtomicBool::new(false));
                Ok(Self { node, registry, user, usage, size: Mutex::default(), detached })
            }
            Err(error) => {
                drop(registry.detach(name, user));
                Err(error)
            }
        }
    }

    /// From now on the node may become larger, but not smaller.
    ///
    /// # Errors
    /// It is being made smaller.
    pub fn keep_size(mut self) -> Result<Self, Error> {
        let size = self.size.get_mut();
        if size.is_none() {
            *size = Some(self.node.keep_size()?);
        }
        Ok(self)
    }

    /// Whether writes are refused: by the node, or because it is used for reading only.
    pub fn read_only(&self) -> bool {
        !matches!(self.usage, Usage::Write | Usage::WriteAlone) || self.node.read_only()
    }

    /// Ends the use of the node, which may still be looked at through this.
    pub fn detach(&self) {
        if !self.detached.swap(true, Ordering::AcqRel) {
            drop(self.size.lock().take());
            self.node.release(self.usage);
            drop(self.registry.detach(self.node.name(), self.user));
        }
    }

    /// The node.
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }
}

impl Deref for Attachment {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.detach();
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("node", &self.node).field("usage", &self.usage).finish_non_exhaustive()
    }
}
