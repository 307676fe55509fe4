//! Drives: disks with a name of their own, opened before the device that will use them is there.
//!
//! A drive is a block backend in waiting, as `-drive` makes one. The device that is given its name takes it, with its
//! error policy and write cache, and ends with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::block_core::{BlockInfo, BlockStats, BlockdevOnError, BlockdevOptions};

use crate::backend::node_stats;
use crate::graph::{Attachment, Graph};
use crate::node::Node;
use crate::policy::ErrorPolicy;
use crate::statistics::of_node;

/// What a drive is made of.
#[derive(Debug)]
pub struct DriveOptions {
    /// Its name; `none0` for the drive 0 if it has none.
    pub id: Option<String>,
    /// Its number; the first that is free if it has none.
    pub index: Option<u64>,
    /// Its disk; none for a drive without medium.
    pub node: Option<BlockdevOptions>,
    /// What to do about errors, unless the device says otherwise.
    pub on_error: OnError,
    /// Whether writes need a flush to be on stable storage.
    pub write_cache: bool,
}

/// `werror` and `rerror` of a drive or a device; absent or `auto` leaves it to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnError {
    /// For writes.
    pub werror: Option<BlockdevOnError>,
    /// For reads.
    pub rerror: Option<BlockdevOnError>,
}

impl OnError {
    /// These, where they say something, and else `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let said = |on_error: Option<BlockdevOnError>| on_error.filter(|on_error| *on_error != BlockdevOnError::Auto);
        Self { werror: said(self.werror).or(others.werror), rerror: said(self.rerror).or(others.rerror) }
    }

    /// The policy that they ask for.
    ///
    /// # Errors
    /// `rerror=enospc`: reading needs no space.
    pub fn policy(self) -> Result<ErrorPolicy, Error> {
        ErrorPolicy::new(self.werror, self.rerror)
    }
}

/// A drive that no device uses.
#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) id: String,
    pub(crate) node: Option<Attachment>,
    pub(crate) on_error: OnError,
    pub(crate) write_cache: bool,
}

/// What queries see of a drive.
struct View {
    id: String,
    node: Option<Arc<Node>>,
    write_cache: bool,
}

impl View {
    /// As `query-block` shows it.
    fn info(self) -> BlockInfo {
        let inserted = self.node.map(|node| {
            let mut info = node.info();
            info.cache.writeback = self.write_cache;
            info
        });
        BlockInfo {
            device: self.id,
            qdev: None,
            r#type: "unknown".into(),
            removable: true,
            locked: false,
            inserted,
            io_status: None,
        }
    }

    /// As `query-blockstats` shows it.
    fn stats(self) -> BlockStats {
        let node = self.node.as_deref();
        BlockStats {
            device: Some(self.id),
            qdev: None,
            node_name: node.map(|node| node.name().to_owned()),
            stats: of_node(node.map_or(0, |node| node.highest_written())),
            parent: node.and_then(|node| node.child()).map(|child| Box::new(node_stats(child))),
        }
    }
}

/// The drives that no device uses.
#[derive(Debug, Default)]
pub(crate) struct Drives {
    waiting: Mutex<Vec<Drive>>,
    /// The numbers of all that there ever were.
    numbers: Mutex<BTreeSet<u64>>,
}

impl Drives {
    /// Opens a drive. `is_taken` says which names others have.
    pub(crate) fn add(
        &self,
        options: DriveOptions,
        graph: &Graph,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let DriveOptions { id, index, node, on_error, write_cache } = options;
        on_error.policy()?;
        let number = self.number(index)?;
        let id = id.unwrap_or_else(|| format!("none{number}"));
        if !crate::graph::is_well_formed(&id) {
            return Err(Error::generic("Parameter 'id' expects an identifier"));
        }
        if is_taken(&id) || self.has(&id) {
            return Err(Error::generic(format!("Device with id '{id}' already exists")));
        }
        if graph.node(&id).is_some() {
            return Err(Error::generic(format!("Device name '{id}' conflicts with an existing node name")));
        }
        let node = node.map(|node| graph.open(node, &format!("drive '{id}'"))).transpose()?;
        self.waiting.lock().push(Drive { id, node, on_error, write_cache });
        self.numbers.lock().insert(number);
        Ok(())
    }

    fn number(&self, index: Option<u64>) -> Result<u64, Error> {
        let numbers = self.numbers.lock();
        match index {
            Some(index) if numbers.contains(&index) => Err(Error::generic(format!("drive with index={index} exists"))),
            Some(index) => Ok(index),
            None => Ok((0..)
                .zip(numbers.iter())
                .find(|(free, taken)| free != *taken)
                .map_or(numbers.len() as u64, |(free, _)| free)),
        }
    }

    /// Whether there is a drive of this name.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.look(id, |_| ()).is_some()
    }

    /// What `look` sees of the drive of this name.
    pub(crate) fn look<R>(&self, id: &str, look: impl FnOnce(&Drive) -> R) -> Option<R> {
        self.waiting.lock().iter().find(|drive| drive.id == id).map(look)
    }

    /// Takes a drive out.
    pub(crate) fn take(&self, id: &str) -> Option<Drive> {
        let mut drives = self.waiting.lock();
        drives.iter().position(|drive| drive.id == id).map(|at| drives.remove(at))
    }

    /// Puts a drive back that was not used.
    pub(crate) fn put_back(&self, drive: Drive) {
        self.waiting.lock().push(drive);
    }

    /// As `query-block` shows them.
    pub(crate) fn info(&self) -> Vec<BlockInfo> {
        self.views().into_iter().map(View::info).collect()
    }

    /// As `query-blockstats` shows them.
    pub(crate) fn stats(&self) -> Vec<BlockStats> {
        self.views().into_iter().map(View::stats).collect()
    }

    /// The drives without their lock: the host may have to be asked about them.
    fn views(&self) -> Vec<View> {
        let view = |drive: &Drive| View {
            id: drive.id.clone(),
            node: drive.node.as_ref().map(|node| Arc::clone(node.node())),
            write_cache: drive.write_cache,
        };
        self.waiting.lock().iter().map(view).collect()
    }
}
