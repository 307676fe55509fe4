//! The block graph: all nodes by name, how they come, change and go.
//!
//! `blockdev-add` builds nodes bottom up, those defined in place under generated names. A node stays as long as the
//! monitor owns it (it was added at the top level, and not deleted) or somebody uses it: a device, an export, another node.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use qapi_schema::Error;
use qapi_schema::block_core::BlockdevOptions;

use crate::driver::{DriverOptions, Usage, unchangeable};
use crate::error::message;
use crate::fdset::FdSets;
use crate::node::{Node, NodeReopening};
pub use attachment::Attachment;
use definition::{Child, Definition};
pub(crate) use name::is_well_formed;
use registry::Registry;

mod attachment;
mod build;
mod definition;
mod name;
mod registry;

/// All block nodes.
///
/// Locks, outermost first: `changes`, the registry, a node's users. Commands that change the graph are done one at a
/// time under `changes`, and may have to wait for the host there. No request, no lookup, attaching or detaching takes
/// it; the registry is never held while the host is waited for.
#[derive(Debug, Default)]
pub struct Graph {
    changes: Mutex<()>,
    registry: Arc<Registry>,
    fdsets: Arc<FdSets>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The descriptors that images can be opened from.
    pub const fn fdsets(&self) -> &Arc<FdSets> {
        &self.fdsets
    }

    /// `blockdev-add`: creates a node, and those that it defines in place. All of them or none.
    ///
    /// # Errors
    /// A name or an option is wrong, or an image can't be opened.
    pub fn add(&self, options: BlockdevOptions) -> Result<(), Error> {
        let definition = Definition::top_level(options, &self.fdsets)?;
        if definition.name.is_none() {
            return Err(Error::generic("'node-name' must be specified for the root node"));
        }
        self.enter(definition).map(drop)
    }

    /// Creates a node that stays as long as somebody uses it, under a generated name if it has none. The first who does is
    /// `user`, for writing if the node can be written to.
    ///
    /// # Errors
    /// As of [`add`](Self::add), or another process uses the image.
    pub fn open(&self, options: BlockdevOptions, user: &str) -> Result<Attachment, Error> {
        let (node, _changes) = self.enter(Definition::top_level(options, &self.fdsets)?)?;
        let attached = self.attach_disk(&node, user);
        let unused = self.registry.remove_unless_used(node.name());
        drop(unused);
        attached
    }

    /// Builds nodes and enters them, the monitor's for now. Nobody else changes the graph before the guard is dropped.
    fn enter(&self, mut definition: Definition) -> Result<(Arc<Node>, MutexGuard<'_, ()>), Error> {
        // Whoever waits here, for a FIFO perhaps, keeps nobody from changing the graph.
        build::check_names(&definition, &self.registry)?;
        definition.load()?;
        let changes = self.changes.lock();
        // Somebody else may have taken a name meanwhile.
        build::check_names(&definition, &self.registry)?;
        let (node, beneath) = build::build(definition, &self.registry)?;
        self.registry.enter(Arc::clone(&node), beneath);
        Ok((node, changes))
    }

    /// `blockdev-del`: removes a node that nobody uses, and those defined in place that nobody uses then.
    ///
    /// # Errors
    /// There is no such node, it is in use (by whom is said), or it goes with the node that defines it.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let _changes = self.changes.lock();
        let removed = self.registry.remove(name)?;
        for node in removed.iter().filter(|node| may_be_unflushed(node)) {
            if let Err(error) = node.flush() {
                tracing::warn!("flush of node {} before it was closed: {error}", node.name());
            }
        }
        Ok(())
    }

    /// `blockdev-reopen`: gives nodes new options, all of them or none.
    ///
    /// # Errors
    /// A node doesn't exist, or an option can't be what it should be.
    pub fn reopen(&self, options: Vec<BlockdevOptions>) -> Result<(), Error> {
        let definitions: Result<Vec<_>, _> =
            options.into_iter().map(|options| Definition::top_level(options, &self.fdsets)).collect();
        let _changes = self.changes.lock();
        let mut changes = Vec::new();
        for definition in definitions? {
            let Some(name) = &definition.name else {
                return Err(Error::generic("node-name not specified"));
            };
            let node = self.registry.find(name).ok_or_else(|| registry::not_found(name))?;
            self.changes_of(node, definition, &mut changes)?;
        }
        let prepared = changes.iter().map(|change| change.node.prepare_reopen(&change.driver, change.settings));
        let prepared: Vec<NodeReopening<'_>> = prepared.collect::<Result<_, _>>()?;
        prepared.into_iter().for_each(NodeReopening::commit);
        Ok(())
    }

    /// `block_resize`: changes the size of a node. `quiesce` is called before it becomes smaller: there must be no request
    /// under way to it, or to a node that shares its storage, as long as the result lives.
    ///
    /// # Errors
    /// There is no such node, it is read-only, has not that size to give, or would become smaller than a user can do with.
    pub fn resize<Q>(&self, name: &str, size: i64, quiesce: impl FnOnce(&Node) -> Q) -> Result<(), Error> {
        let _changes = self.changes.lock();
        let node = self.registry.lookup(name)?;
        let size = u64::try_from(size).map_err(|_| Error::generic("Parameter 'size' expects a >0 size"))?;
        node.resize(size, || quiesce(&node))
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.registry.find(name)
    }

    /// All nodes, the newest first, as QEMU lists them.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.registry.nodes()
    }

    /// Makes `user` (`export 'x'`) a user of a node, which may write if it says so here. Keeps other processes out of the
    /// image accordingly.
    ///
    /// # Errors
    /// There is no such node, it can't be written to, or another process uses the image.
    pub fn attach(&self, name: &str, writable: bool, user: &str) -> Result<Attachment, Error> {
        let usage = if writable { Usage::Write } else { Usage::Read };
        Attachment::new(&self.registry, name, usage, user)
    }

    /// The same for a device's disk, which is written to if it can be, and by nobody else then.
    ///
    /// # Errors
    /// As of [`attach`](Self::attach); or somebody writes to it already.
    pub fn attach_disk(&self, node: &Node, user: &str) -> Result<Attachment, Error> {
        let usage = if node.read_only() { Usage::Read } else { Usage::WriteAlone };
        Attachment::new(&self.registry, node.name(), usage, user)
    }

    /// Brings everything written so far to stable storage, for every node that was written to even if one fails.
    ///
    /// # Errors
    /// The first failure, with the name of its node.
    pub fn flush_all(&self) -> Result<(), Error> {
        // All are flushed before the first failure is told.
        self.flush_by(Node::flush).into_iter().next().map_or(Ok(()), Err)
    }

    /// The same, for nobody who waits for the answer: whoever flushes a node next is told its failure, too.
    pub fn flush_ahead(&self) {
        for failure in self.flush_by(Node::flush_ahead) {
            tracing::warn!("{failure}; the guest hears of it when it flushes");
        }
    }

    fn flush_by(&self, flush: fn(&Node) -> io::Result<()>) -> Vec<Error> {
        let nodes = self.registry.nodes();
        let failures = nodes.iter().filter(|node| may_be_unflushed(node)).filter_map(|node| {
            let error = flush(node).err()?;
            Some(Error::generic(format!("Could not flush node {}: {}", node.name(), message(&error))))
        });
        failures.collect()
    }

    /// Adds what a definition changes of `node`, and of the node that it defines in place.
    fn changes_of(&self, node: Arc<Node>, definition: Definition, changes: &mut Vec<Change>) -> Result<(), Error> {
        let Definition { name: _, settings, driver } = definition;
        let driver = driver.with_child(|child| match (child, node.child()) {
            (Child::Reference(name), _) => self.registry.find(&name).ok_or_else(|| registry::no_such_child(&name)),
            (Child::Definition(child), Some(present)) if self.registry.is_defined_in_place(present) => {
                if child.name.as_deref().is_some_and(|name| name != present.name()) {
                    return Err(unchangeable("file.node-name"));
                }
                self.changes_of(Arc::clone(present), *child, changes)?;
                Ok(Arc::clone(present))
            }
            (Child::Definition(_), Some(_)) => Err(unchangeable("file")),
            (Child::Definition(_), None) => Err(unchangeable("driver")),
        })?;
        changes.push(Change { node, driver, settings });
        Ok(())
    }
}

/// Whether a node keeps data itself, and perhaps not yet on stable storage. The host may be unable to flush, for which
/// whoever has changed nothing need not wait.
fn may_be_unflushed(node: &Node) -> bool {
    node.child().is_none() && node.changed()
}

/// New options for one node.
struct Change {
    node: Arc<Node>,
    driver: DriverOptions,
    settings: crate::node::Settings,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use crate::backend::{BackendOptions, BlockBackend};
    use crate::block::Block;
    use crate::driver::{BlockDriver, Reopening};
    use crate::node::Settings;
    use crate::policy::ErrorPolicy;
    use crate::request::{Client, Operation, Request};
    use qapi_schema::block_core::Commands as _;
    use qapi_schema::common::Timestamp;
    use qapi_schema::run_state::Commands as _;
    use qapi_schema::{Event, EventSink};
    use vl::{SystemClock, Vm};

    struct NoEvents;

    impl EventSink for NoEvents {
        fn emit(&self, _: Timestamp, _: &dyn Event) {}
    }

    /// A disk whose writes take until they are let go, and which tells when they end and when it is flushed.
    struct Slow {
        writing: Sender<()>,
        go: Mutex<Receiver<()>>,
        done: Mutex<Vec<&'static str>>,
    }

    fn slow(block: &Block, writing: Sender<()>, go: Receiver<()>) -> (Arc<Slow>, Arc<BlockBackend>) {
        let disk = Arc::new(Slow { writing, go: Mutex::new(go), done: Mutex::default() });
        let node = Node::new("slow", Box::new(Arc::clone(&disk)), Settings::default()).expect("a node");
        block.graph().registry.enter(node, Vec::new());
        let node = block.graph().attach("slow", true, "test").expect("attached");
        let policy = ErrorPolicy::new(None, None).expect("the default");
        let options = BackendOptions { qom_path: "/disk".into(), device: String::new(), node, policy };
        (disk, block.add_backend(options).expect("a thread"))
    }

    impl BlockDriver for Arc<Slow> {
        fn name(&self) -> &'static str {
            "slow"
        }
        fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            self.writing.send(()).map_err(io::Error::other)?;
            self.go.lock().recv().map_err(io::Error::other)?;
            self.done.lock().push("write");
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            self.done.lock().push("flush");
            Err(io::Error::from_raw_os_error(5))
        }
        fn discard(&self, _: u64, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
            Ok(())
        }
        fn length(&self) -> io::Result<u64> {
            Ok(4096)
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            self.done.lock().push("truncate");
            Ok(())
        }
        fn allocated(&self) -> io::Result<Option<u64>> {
            Ok(None)
        }
        fn next_data(&self, _: u64) -> io::Result<Option<Range<u64>>> {
            Ok(None)
        }
        fn prepare_reopen(&self, _: &DriverOptions) -> Result<Reopening<'_>, Error> {
            Ok(Reopening::unchanged())
        }
    }

    #[test]
    fn a_disk_becomes_smaller_when_no_write_is_under_way_and_then_goes_on() {
        let vm = Arc::new(Vm::new(Arc::new(NoEvents), SystemClock));
        let block = Block::new(Arc::clone(&vm));
        vm.transaction(|tx| tx.vm_start()).expect("started");
        let ((writing, is_writing), (let_go, go)) = (channel(), channel());
        let (disk, backend) = slow(&block, writing, go);
        let write = |offset| {
            let operation = Operation::Write { offset, data: vec![1; 512], fua: false };
            backend.submit(Request::new(Client::default(), operation, drop));
        };
        thread::scope(|scope| {
            scope.spawn(|| write(0));
            is_writing.recv().expect("it writes");
            let resizing = scope.spawn(|| block.block_resize(None, Some("slow".into()), 1024));
            while !resizing.is_finished() && block.graph().attach("slow", false, "test").is_ok() {
                thread::yield_now();
            }
            assert_eq!(*disk.done.lock(), [""; 0]);
            let_go.send(()).expect("it waits");
            resizing.join().expect("no panic").expect("resized");
            scope.spawn(|| write(512));
            is_writing.recv().expect("it writes");
            let_go.send(()).expect("it waits");
        });
        assert_eq!(*disk.done.lock(), ["write", "truncate", "write"]);
        block.remove_backend(&backend);
    }

    #[test]
    fn stop_flushes_when_the_last_write_has_ended_and_succeeds_all_the_same() {
        let vm = Arc::new(Vm::new(Arc::new(NoEvents), SystemClock));
        let block = Block::new(Arc::clone(&vm));
        vm.transaction(|tx| tx.vm_start()).expect("started");
        let ((writing, is_writing), (let_go, go)) = (channel(), channel());
        let (disk, backend) = slow(&block, writing, go);
        let write = Operation::Write { offset: 0, data: vec![1; 512], fua: false };
        thread::scope(|scope| {
            scope.spawn(|| backend.submit(Request::new(Client::default(), write, drop)));
            is_writing.recv().expect("it writes");
            let stopping = scope.spawn(|| vm.stop());
            while vm.status().running {
                thread::yield_now();
            }
            assert!(disk.done.lock().is_empty());
            let_go.send(()).expect("it waits");
            stopping.join().expect("no panic").expect("stopped");
        });
        assert_eq!(*disk.done.lock(), ["write", "flush"]);
        // One that is stopped already is flushed again, as in QEMU.
        vm.stop().expect("stopped");
        assert_eq!(*disk.done.lock(), ["write", "flush", "flush"]);
        block.remove_backend(&backend);
    }

    #[test]
    fn a_node_is_flushed_with_all_and_before_it_goes_if_anything_was_changed() {
        let flushed = |change: fn(&Node) -> io::Result<()>| {
            let ((writing, _is_writing), (let_go, go)) = (channel(), channel());
            let_go.send(()).expect("not written yet");
            let disk = Arc::new(Slow { writing, go: Mutex::new(go), done: Mutex::default() });
            let node = Node::new("slow", Box::new(Arc::clone(&disk)), Settings::default()).expect("a node");
            let graph = Graph::new();
            graph.registry.enter(Arc::clone(&node), Vec::new());
            change(&node).expect("done");
            let all = graph.flush_all().is_err();
            assert_eq!(disk.done.lock().last() == Some(&"flush"), all, "it fails");
            disk.done.lock().clear();
            graph.remove("slow").expect("nobody uses it");
            assert_eq!(!disk.done.lock().is_empty(), all);
            all
        };
        assert!(!flushed(|node| node.read(0, &mut [0; 512])));
        assert!(flushed(|node| node.write(0, &[1; 512], false)));
        assert!(flushed(|node| node.truncate(512)));
    }
}
