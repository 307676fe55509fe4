//! The block layer of one VM: its nodes and its backends, and what `block-core.json` asks of them.

use std::sync::Arc;

use qapi_schema::block_core::{BlockDeviceInfo, BlockInfo, BlockStats, BlockdevOptions, Commands};
use qapi_schema::{Error, ErrorClass};
use vl::sync::Mutex;
use vl::{Observer, Transaction, Vm};

use crate::backend::{BackendOptions, BlockBackend, node_stats};
use crate::error::message;
use crate::fdset::FdSets;
use crate::graph::Graph;
use crate::workers::Workers;

/// Nodes and backends of a VM.
pub struct Block {
    vm: Arc<Vm>,
    graph: Graph,
    backends: Arc<Backends>,
}

/// Backends are told of every change of the run state, before anybody who depends on disks at start, after them at stop.
const PRIORITY: vl::Priority = 0;

/// The backends in use, as an observer. Its lock comes after the VM's, before those of a backend.
#[derive(Default)]
struct Backends(Mutex<Vec<Arc<BlockBackend>>>);

impl Block {
    /// The block layer of `vm`, without nodes.
    pub fn new(vm: Arc<Vm>) -> Self {
        let backends = Arc::new(Backends::default());
        vm.observe(PRIORITY, backends.clone());
        Self { vm, graph: Graph::default(), backends }
    }

    /// The nodes.
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The descriptors that images can be opened from.
    pub const fn fdsets(&self) -> &Arc<FdSets> {
        self.graph.fdsets()
    }

    /// The VM that stops when a disk is full.
    pub const fn vm(&self) -> &Arc<Vm> {
        &self.vm
    }

    /// A new backend, for a device or an export.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn add_backend(&self, options: BackendOptions) -> Result<Arc<BlockBackend>, Error> {
        let workers = Workers::new().map_err(|error| Error::generic(message(&error)))?;
        // In one transaction, for it must neither miss a stop nor start out running in a stopped VM.
        Ok(self.vm.transaction(|tx| {
            let backend = Arc::new(BlockBackend::new(options, self.vm.clone(), workers, tx.is_live()));
            self.backends.0.lock().push(backend.clone());
            backend
        }))
    }

    /// Removes a backend whose last request was answered, and frees its node, whoever still looks at the backend.
    pub fn remove_backend(&self, backend: &Arc<BlockBackend>) {
        self.vm.transaction(|_| self.backends.0.lock().retain(|other| !Arc::ptr_eq(other, backend)));
        backend.node().detach();
    }

    fn resize(&self, node: &str, size: i64) -> Result<(), Error> {
        self.graph.resize(node, size)?;
        self.backends
            .all()
            .iter()
            .filter(|backend| backend.node().stands_on(node))
            .for_each(|backend| backend.resized());
        Ok(())
    }
}

impl Backends {
    fn all(&self) -> Vec<Arc<BlockBackend>> {
        self.0.lock().clone()
    }
}

impl Observer for Backends {
    fn will_start(&self) {
        self.all().iter().for_each(|backend| backend.reset_io_status());
    }

    fn started(&self) {
        self.all().iter().for_each(BlockBackend::started);
    }

    fn stopped(&self) {
        self.all().iter().for_each(|backend| backend.stopped());
    }

    fn reset(&self, _: &mut Transaction<'_>) {
        self.all().iter().for_each(|backend| backend.reset_io_status());
    }

    fn drain(&self) {
        self.all().iter().for_each(|backend| backend.drain());
    }
}

impl Commands for Block {
    fn blockdev_add(&self, arguments: BlockdevOptions) -> Result<(), Error> {
        self.graph.add(arguments)
    }

    fn blockdev_reopen(&self, options: Vec<BlockdevOptions>) -> Result<(), Error> {
        self.graph.reopen(options)
    }

    fn blockdev_del(&self, node_name: String) -> Result<(), Error> {
        self.graph.remove(&node_name)
    }

    fn block_resize(&self, device: Option<String>, node_name: Option<String>, size: i64) -> Result<(), Error> {
        match (device, node_name) {
            (Some(device), None) => {
                let backends = self.backends.all();
                let backend = backends.iter().find(|backend| !device.is_empty() && backend.device() == device);
                let backend = backend.ok_or_else(|| no_device(&device))?;
                self.resize(backend.node().name(), size)
            }
            (None, Some(node_name)) => self.resize(&node_name, size),
            (Some(_), Some(_)) | (None, None) => Err(Error::generic("Need exactly one of 'device' and 'node-name'")),
        }
    }

    fn query_block(&self) -> Result<Vec<BlockInfo>, Error> {
        Ok(self.backends.all().iter().map(|backend| backend.info()).collect())
    }

    fn query_named_block_nodes(&self, _flat: Option<bool>) -> Result<Vec<BlockDeviceInfo>, Error> {
        Ok(self.graph.nodes().iter().map(|node| node.info()).collect())
    }

    fn query_blockstats(&self, query_nodes: Option<bool>) -> Result<Vec<BlockStats>, Error> {
        if query_nodes != Some(true) {
            return Ok(self.backends.all().iter().map(|backend| backend.stats()).collect());
        }
        Ok(self.graph.nodes().iter().map(|node| node_stats(node)).collect())
    }
}

fn no_device(device: &str) -> Error {
    Error::new(ErrorClass::DeviceNotFound, format!("Cannot find device='{device}' nor node-name=''"))
}
