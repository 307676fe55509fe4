//! Who uses a node, and what therefore can't be done to it.
//!
//! A user of a node uses every node beneath in the same way, so each counts its own.

use std::iter;
use std::sync::Arc;

use qapi_schema::Error;

use super::Node;
use crate::driver::Usage;

/// How many use a node, and who is kept out for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    readers: usize,
    writers: usize,
    /// The one writer suffers no other.
    alone: bool,
    /// Of all, those who can't do with a smaller size.
    size_keepers: usize,
    /// Changes under way that suffer no writer to come.
    no_writers: usize,
    /// Changes under way that suffer nobody to come.
    nobody: usize,
}

/// Some users are kept out as long as this lives.
pub(crate) struct KeptOut<'a> {
    node: &'a Node,
    field: fn(&mut Users) -> &mut usize,
}

impl Drop for KeptOut<'_> {
    fn drop(&mut self) {
        *(self.field)(&mut self.node.users.lock()) -= 1;
    }
}

/// A node, and those beneath, become no smaller as long as this lives.
#[derive(Debug)]
pub(crate) struct KeptSize(Arc<Node>);

impl Drop for KeptSize {
    fn drop(&mut self) {
        self.0.release_size();
    }
}

impl Node {
    /// Called before a user starts to use the node. Each success is followed by one [`release`](Self::release).
    pub(crate) fn acquire(&self, usage: Usage) -> Result<(), Error> {
        self.admit(usage)?;
        let result = self.driver.acquire(usage).and_then(|()| {
            let below = self.child().map_or(Ok(()), |child| child.acquire(usage));
            below.inspect_err(|_| self.driver.release(usage))
        });
        result.inspect_err(|_| self.dismiss(usage))
    }

    /// Called after a user has ceased to use the node.
    pub(crate) fn release(&self, usage: Usage) {
        if let Some(child) = self.child() {
            child.release(usage);
        }
        self.driver.release(usage);
        self.dismiss(usage);
    }

    fn admit(&self, usage: Usage) -> Result<(), Error> {
        let mut users = self.users.lock();
        match usage {
            Usage::Read | Usage::Write | Usage::WriteAlone if users.nobody > 0 => return Err(self.busy()),
            Usage::Write | Usage::WriteAlone if users.no_writers > 0 => return Err(self.busy()),
            Usage::Write | Usage::WriteAlone if self.settings.load().read_only => {
                return Err(Error::generic(format!("Block node '{}' is read-only", self.name)));
            }
            Usage::Write | Usage::WriteAlone if users.alone || usage == Usage::WriteAlone && users.writers > 0 => {
                let text =
                    format!("Block node '{}' is written to already, and a device's disk has one writer", self.name);
                return Err(Error::generic(text));
            }
            Usage::Read => users.readers += 1,
            Usage::Write => users.writers += 1,
            Usage::WriteAlone => {
                users.writers += 1;
                users.alone = true;
            }
            Usage::Resize => {}
        }
        Ok(())
    }

    fn dismiss(&self, usage: Usage) {
        let mut users = self.users.lock();
        match usage {
            Usage::Read => users.readers -= 1,
            Usage::Write => users.writers -= 1,
            Usage::WriteAlone => {
                users.writers -= 1;
                users.alone = false;
            }
            Usage::Resize => {}
        }
    }

    fn busy(&self) -> Error {
        Error::generic(format!("Node {} is being changed", self.name))
    }

    /// Called by a user of the node who can't do with a smaller size: a client that was told of it, or a window of a
    /// fixed size.
    pub(crate) fn keep_size(self: &Arc<Self>) -> Result<KeptSize, Error> {
        self.retain_size()?;
        Ok(KeptSize(Arc::clone(self)))
    }

    fn retain_size(&self) -> Result<(), Error> {
        let mut users = self.users.lock();
        if users.nobody > 0 {
            return Err(self.busy());
        }
        users.size_keepers += 1;
        drop(users);
        let below = self.child().map_or(Ok(()), |child| child.retain_size());
        below.inspect_err(|_| self.users.lock().size_keepers -= 1)
    }

    fn release_size(&self) {
        if let Some(child) = self.child() {
            child.release_size();
        }
        self.users.lock().size_keepers -= 1;
    }

    /// Keeps writers out of a node that has none.
    pub(super) fn keep_writers_out(&self) -> Result<KeptOut<'_>, Error> {
        let mut users = self.users.lock();
        if users.writers > 0 {
            let text = format!("Read-only block node '{}' cannot support read-write users", self.name);
            return Err(Error::generic(text));
        }
        users.no_writers += 1;
        Ok(KeptOut { node: self, field: |users| &mut users.no_writers })
    }

    /// Keeps new users out of a node that may become smaller.
    pub(super) fn keep_out(&self) -> Result<KeptOut<'_>, Error> {
        let mut users = self.users.lock();
        if users.size_keepers > 0 {
            let text = format!("Node {} is in use and can only be made larger", self.name);
            return Err(Error::generic(text));
        }
        users.nobody += 1;
        Ok(KeptOut { node: self, field: |users| &mut users.nobody })
    }

    /// The same for those beneath, too.
    pub(super) fn keep_out_of_all(&self) -> Result<Vec<KeptOut<'_>>, Error> {
        iter::successors(Some(self), |node| node.child().map(AsRef::as_ref)).map(Self::keep_out).collect()
    }
}
