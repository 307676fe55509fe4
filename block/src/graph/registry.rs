//! The nodes by name, who owns them, and who uses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use qapi_schema::Error;

use super::name::Names;
use crate::node::Node;

/// All nodes. Its lock is held for moments only, and nothing is opened, closed or dropped under it.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// In the order of creation.
    entries: Mutex<Vec<Entry>>,
    names: Names,
    next_user: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    /// Added at the top level: stays until it is deleted. Any other goes with its last user.
    owned_by_monitor: bool,
    users: Vec<(UserId, String)>,
    /// As what this uses the node beneath.
    uses_child_as: Option<UserId>,
}

/// A use of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserId(u64);

impl Registry {
    /// A name for a node that nobody named.
    pub(super) fn generate_name(&self) -> String {
        self.names.generate()
    }

    /// The node of this name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Node>> {
        let entries = self.entries.lock();
        position(&entries, name).map(|at| Arc::clone(&entries[at].node))
    }

    /// The node of this name, which a command refers to.
    pub(super) fn lookup(&self, name: &str) -> Result<Arc<Node>, Error> {
        self.find(name).ok_or_else(|| no_such_node(name))
    }

    /// All nodes, the newest first.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.entries.lock().iter().rev().map(|entry| Arc::clone(&entry.node)).collect()
    }

    /// Whether a node goes with the one that defines it.
    pub(super) fn is_defined_in_place(&self, node: &Node) -> bool {
        let entries = self.entries.lock();
        position(&entries, node.name()).is_some_and(|at| !entries[at].owned_by_monitor)
    }

    /// Enters the nodes of one definition: one that is the monitor's, and those new beneath it, the lowest first.
    pub(super) fn enter(&self, node: Arc<Node>, beneath: Vec<Arc<Node>>) {
        let mut entries = self.entries.lock();
        let beneath = beneath.into_iter().map(|node| (node, false));
        for (node, owned_by_monitor) in beneath.chain([(node, true)]) {
            let user = format!("node '{}'", node.name());
            let child = node.child().and_then(|child| position(&entries, child.name()));
            let uses_child_as = child.map(|child| self.add_user(&mut entries[child], &user));
            entries.push(Entry { node, owned_by_monitor, users: Vec::new(), uses_child_as });
        }
    }

    /// Removes a node that the monitor owns and nobody uses, and what goes with it.
    pub(super) fn remove(&self, name: &str) -> Result<Vec<Arc<Node>>, Error> {
        let mut entries = self.entries.lock();
        let at = position(&entries, name).ok_or_else(|| not_found(name))?;
        if !entries[at].owned_by_monitor {
            return Err(Error::generic(format!("Node {name} is not owned by the monitor")));
        }
        if !entries[at].users.is_empty() {
            let users: Vec<_> = entries[at].users.iter().map(|(_, user)| user.as_str()).collect();
            return Err(Error::generic(format!("Node {name} is in use by {}", users.join(", "))));
        }
        entries[at].owned_by_monitor = false;
        Ok(take_unused(&mut entries, name))
    }

    /// Removes a node, and what goes with it, from now on if nobody uses it, or else when its last user leaves.
    pub(super) fn remove_unless_used(&self, name: &str) -> Vec<Arc<Node>> {
        let mut entries = self.entries.lock();
        if let Some(at) = position(&entries, name) {
            entries[at].owned_by_monitor = false;
        }
        take_unused(&mut entries, name)
    }

    /// Adds a user of a node.
    pub(super) fn attach(&self, name: &str, user: &str) -> Result<(Arc<Node>, UserId), Error> {
        let mut entries = self.entries.lock();
        let at = position(&entries, name).ok_or_else(|| no_such_node(name))?;
        let id = self.add_user(&mut entries[at], user);
        Ok((Arc::clone(&entries[at].node), id))
    }

    /// Removes a user of a node, and what only stayed for it. The caller drops that.
    pub(super) fn detach(&self, name: &str, user: UserId) -> Vec<Arc<Node>> {
        let mut entries = self.entries.lock();
        remove_user(&mut entries, name, user);
        take_unused(&mut entries, name)
    }

    fn add_user(&self, entry: &mut Entry, user: &str) -> UserId {
        let id = UserId(self.next_user.fetch_add(1, Ordering::Relaxed));
        entry.users.push((id, user.to_owned()));
        id
    }
}

/// Takes a node out if neither the monitor nor anybody else wants it, then what is beneath it, and so on.
fn take_unused(entries: &mut Vec<Entry>, name: &str) -> Vec<Arc<Node>> {
    let mut taken = Vec::new();
    let mut next = Some(name.to_owned());
    while let Some(at) = next.as_deref().and_then(|name| position(entries, name)) {
        if entries[at].owned_by_monitor || !entries[at].users.is_empty() {
            break;
        }
        let Entry { node, uses_child_as, .. } = entries.remove(at);
        next = node.child().map(|child| child.name().to_owned());
        if let (Some(child), Some(user)) = (&next, uses_child_as) {
            remove_user(entries, child, user);
        }
        taken.push(node);
    }
    taken
}

fn remove_user(entries: &mut [Entry], name: &str, user: UserId) {
    if let Some(at) = position(entries, name) {
        entries[at].users.retain(|(id, _)| *id != user);
    }
}

fn position(entries: &[Entry], name: &str) -> Option<usize> {
    entries.iter().position(|entry| entry.node.name() == name)
}

/// What QEMU says of a node that a command acts on.
pub(super) fn not_found(name: &str) -> Error {
    Error::generic(format!("Failed to find node with node-name='{name}'"))
}

/// What QEMU says of a node that is referred to.
fn no_such_node(name: &str) -> Error {
    Error::generic(format!("Cannot find device='' nor node-name='{name}'"))
}

/// What QEMU says of a node that another is to stand on, which it looks for among the drives, too.
pub(super) fn no_such_child(name: &str) -> Error {
    Error::generic(format!("Cannot find device='{name}' nor node-name='{name}'"))
}
