//! The block layer of one VM: its nodes and its backends, and what `block-core.json` asks of them.

use std::ptr;
use std::sync::Arc;

use qapi_schema::Error;
use qapi_schema::block_core::{BlockDeviceInfo, BlockInfo, BlockStats, BlockdevOptions, Commands};
use vl::sync::Mutex;
use vl::{Observer, Transaction, Vm};

use crate::backend::{BackendOptions, BlockBackend, Pause, node_stats};
use crate::drive::{Drive, DriveOptions, Drives, OnError};
use crate::error::message;
use crate::fdset::FdSets;
use crate::graph::Graph;
use crate::node::Node;
use crate::workers::Workers;

/// Nodes and backends of a VM.
pub struct Block {
    vm: Arc<Vm>,
    graph: Arc<Graph>,
    drives: Drives,
    backends: Arc<Backends>,
}

/// The disk of a device.
#[derive(Debug)]
pub struct DeviceOptions<'a> {
    /// The device, as BLOCK_IO_ERROR names it.
    pub qom_path: String,
    /// A drive that nobody uses, or a node.
    pub drive: &'a str,
    /// What to do about errors; what is not said here is as the drive says, or by default.
    pub on_error: OnError,
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
        let graph = Arc::<Graph>::default();
        vm.observe(PRIORITY, backends.clone());
        vm.observe(PRIORITY, graph.clone());
        Self { vm, graph, drives: Drives::default(), backends }
    }

    /// The nodes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The descriptors that images can be opened from.
    pub fn fdsets(&self) -> &Arc<FdSets> {
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
        Ok(self.add_backend_with(workers()?, options))
    }

    /// Opens a drive, for a device to come.
    ///
    /// # Errors
    /// Its name is taken or none at all, or its disk can't be opened.
    pub fn add_drive(&self, options: DriveOptions) -> Result<(), Error> {
        self.drives.add(options, &self.graph, |id| self.backends.of_device(id).is_some())
    }

    /// A new backend for a device, which takes a drive, or uses a node for writing if that can be written to.
    ///
    /// # Errors
    /// There is no such drive or node, the drive is empty or in use, or the policy makes no sense. A drive stays then.
    pub fn add_device(&self, options: DeviceOptions<'_>) -> Result<Arc<BlockBackend>, Error> {
        let DeviceOptions { qom_path, drive: name, on_error } = options;
        let workers = workers()?;
        let Some(drive) = self.drives.take(name) else {
            if self.backends.of_device(name).is_some() {
                return Err(Error::generic(format!("Drive '{name}' is already in use by another device")));
            }
            let policy = on_error.policy()?;
            let node = self.graph.node(name);
            let node = node.ok_or_else(|| Error::generic(format!("Cannot find drive or block node '{name}'")))?;
            let node = self.graph.attach_disk(&node, &format!("device '{qom_path}'"))?;
            let device = String::new();
            return Ok(self.add_backend_with(workers, BackendOptions { qom_path, device, node, policy }));
        };
        match (drive.node, on_error.or(drive.on_error).policy()) {
            (Some(node), Ok(policy)) => {
                let options = BackendOptions { qom_path, device: drive.id, node, policy };
                let backend = self.add_backend_with(workers, options);
                backend.set_write_cache(drive.write_cache);
                Ok(backend)
            }
            (node, policy) => {
                self.drives.put_back(Drive { node, ..drive });
                policy.and(Err(Error::generic(format!("Device needs media, but drive '{name}' is empty"))))
            }
        }
    }

    fn add_backend_with(&self, workers: Workers, options: BackendOptions) -> Arc<BlockBackend> {
        // In one transaction, for it must neither miss a stop nor start out running in a stopped VM.
        self.vm.transaction(|tx| {
            let backend = Arc::new(BlockBackend::new(options, self.vm.clone(), workers, tx.is_live()));
            self.backends.0.lock().push(backend.clone());
            backend
        })
    }

    /// Removes a backend whose last request was answered, and frees its node, whoever still looks at the backend.
    pub fn remove_backend(&self, backend: &Arc<BlockBackend>) {
        self.vm.transaction(|_| self.backends.0.lock().retain(|other| !Arc::ptr_eq(other, backend)));
        backend.node().detach();
    }

    fn resize(&self, node: &str, size: i64) -> Result<(), Error> {
        self.graph
            .resize(node, size, |node| self.backends.above(node).into_iter().map(Pause::new).collect::<Vec<_>>())?;
        if let Some(node) = self.graph.node(node) {
            self.backends.above(&node).iter().for_each(|backend| backend.resized());
        }
        Ok(())
    }
}

impl Backends {
    fn all(&self) -> Vec<Arc<BlockBackend>> {
        self.0.lock().clone()
    }

    /// Those whose storage is that of a node.
    fn above(&self, node: &Node) -> Vec<Arc<BlockBackend>> {
        let shares = |backend: &Arc<BlockBackend>| ptr::eq(backend.node().lowest(), node.lowest());
        self.0.lock().iter().filter(|backend| shares(backend)).cloned().collect()
    }

    fn of_device(&self, device: &str) -> Option<Arc<BlockBackend>> {
        self.0.lock().iter().find(|backend| !device.is_empty() && backend.device() == device).cloned()
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

impl Observer for Graph {
    fn flush(&self) {
        self.flush_ahead();
    }
}

impl Commands for Block {
    fn blockdev_add(&self, arguments: BlockdevOptions) -> Result<(), Error> {
        if let Some(name) = arguments.node_name.as_deref()
            && (self.drives.has(name) || self.backends.of_device(name).is_some())
        {
            return Err(Error::generic(format!("node-name={name} is conflicting with a device id")));
        }
        self.graph.add(arguments)
    }

    fn blockdev_reopen(&self, options: Vec<BlockdevOptions>) -> Result<(), Error> {
        let sized = |backend: Arc<BlockBackend>| (backend.length().ok(), backend);
        let before: Vec<_> = self.backends.all().into_iter().map(sized).collect();
        self.graph.reopen(options)?;
        let resized = before.iter().filter(|(size, backend)| backend.length().ok() != *size);
        resized.for_each(|(_, backend)| backend.resized());
        Ok(())
    }

    fn blockdev_del(&self, node_name: String) -> Result<(), Error> {
        self.graph.remove(&node_name)
    }

    /// By the name of a device, or, if there is none of this name, of a node.
    fn block_resize(&self, device: Option<String>, node_name: Option<String>, size: i64) -> Result<(), Error> {
        let of_drive = |device: &str| self.drives.look(device, |drive| drive.node.as_deref().map(node_name_of));
        let of_backend =
            |device: &str| self.backends.of_device(device).map(|backend| Some(node_name_of(backend.node())));
        let of_device = |device: &str| of_drive(device).or_else(|| of_backend(device));
        let of_node = |name: &String| self.graph.node(name).is_some().then(|| name.clone());

        let (device, name) = (device.as_deref(), node_name.as_ref());
        let node = device.and_then(of_device).or_else(|| name.and_then(of_node).map(Some));
        let (device, name) = (device.unwrap_or_default(), name.map_or("", String::as_str));
        let unknown = || Error::generic(format!("Cannot find device='{device}' nor node-name='{name}'"));
        let empty = || Error::generic(format!("Device '{device}' has no medium"));
        self.resize(&node.ok_or_else(unknown)?.ok_or_else(empty)?, size)
    }

    fn query_block(&self) -> Result<Vec<BlockInfo>, Error> {
        let backends = self.backends.all();
        Ok(self.drives.info().into_iter().chain(backends.iter().map(|backend| backend.info())).collect())
    }

    fn query_named_block_nodes(&self, _flat: Option<bool>) -> Result<Vec<BlockDeviceInfo>, Error> {
        Ok(self.graph.nodes().iter().map(|node| node.info()).collect())
    }

    fn query_blockstats(&self, query_nodes: Option<bool>) -> Result<Vec<BlockStats>, Error> {
        if query_nodes != Some(true) {
            let backends = self.backends.all();
            return Ok(self.drives.stats().into_iter().chain(backends.iter().map(|backend| backend.stats())).collect());
        }
        Ok(self.graph.nodes().iter().map(|node| node_stats(node)).collect())
    }
}

fn workers() -> Result<Workers, Error> {
    Workers::new().map_err(|error| Error::generic(message(&error)))
}

fn node_name_of(node: &Node) -> String {
    node.name().to_owned()
}
