//! Who uses a node, and what therefore can't be done to it.
//!
//! A user of a node uses every node beneath in the same way, so each counts its own.

use qapi_schema::Error;

use super::Node;
use crate::driver::Usage;

/// How many use a node, and who is kept out for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    readers: usize,
    writers: usize,
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
        let busy = || Err(Error::generic(format!("Node {} is being changed", self.name)));
        match usage {
            Usage::Read | Usage::Write if users.nobody > 0 => return busy(),
            Usage::Write if users.no_writers > 0 => return busy(),
            Usage::Write if self.settings.load().read_only => {
                return Err(Error::generic(format!("Block node '{}' is read-only", self.name)));
            }
            Usage::Read => users.readers += 1,
            Usage::Write => users.writers += 1,
            Usage::Resize => {}
        }
        Ok(())
    }

    fn dismiss(&self, usage: Usage) {
        let mut users = self.users.lock();
        match usage {
            Usage::Read => users.readers -= 1,
            Usage::Write => users.writers -= 1,
            Usage::Resize => {}
        }
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

    /// Keeps everybody out of a node that nobody uses, and of those beneath.
    pub(super) fn keep_out(&self) -> Result<Vec<KeptOut<'_>>, Error> {
        let mut kept = Vec::new();
        let mut next = Some(self);
        while let Some(node) = next {
            let mut users = node.users.lock();
            if users.readers + users.writers > 0 {
                let text = format!("Node {} is in use and can only be made larger", node.name);
                return Err(Error::generic(text));
            }
            users.nobody += 1;
            kept.push(KeptOut { node, field: |users| &mut users.nobody });
            next = node.child().map(AsRef::as_ref);
        }
        Ok(kept)
    }
}
