//! A VM with disks and exports, as the daemon puts it together.

use std::path::PathBuf;
use std::sync::Arc;

use block::block::Block;
use block::export::Exports;
use block::nbd::Address;
use block::nbd::client::{Client, ClientError};
use parking_lot::{Condvar, Mutex};
use qapi_schema::block_core::Commands as _;
use qapi_schema::block_export::Commands as _;
use qapi_schema::common::Timestamp;
use qapi_schema::run_state::{BlockIoErrorInfo, RunState};
use qapi_schema::{Error, Event, EventSink};
use serde_json::{Value, json};
use tempfile::TempDir;
use vl::{SystemClock, Vm};

pub struct Machine {
    pub vm: Arc<Vm>,
    pub block: Arc<Block>,
    pub exports: Exports,
    pub events: Arc<Events>,
    directory: TempDir,
}

impl Machine {
    /// A machine that runs, without disks and without a server.
    pub fn new() -> Self {
        let events = Arc::new(Events::default());
        let vm = Arc::new(Vm::new(events.clone(), SystemClock));
        let block = Arc::new(Block::new(vm.clone()));
        let exports = Exports::new(block.clone(), Arc::default());
        let directory = tempfile::tempdir().expect("directory");
        let machine = Self { vm, block, exports, events, directory };
        machine.cont();
        machine
    }

    /// A machine that exports a writable "disk" of this size, on a pool with room for `limit` bytes.
    pub fn with_thin_disk(size: u64, limit: u64) -> Self {
        let machine = Self::new();
        let image = machine.path("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(size)).expect("created");
        machine.add_node(json!({"driver": "file", "node-name": "image", "filename": image}));
        machine.add_node(json!({"driver": "quota", "node-name": "disk", "file": "image", "limit": limit}));
        machine.start_server().expect("starts");
        machine.export(json!({"id": "disk", "node-name": "disk", "writable": true})).expect("exported");
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn add_node(&self, options: Value) {
        self.block.blockdev_add(serde_json::from_value(options).expect("options")).expect("added");
    }

    pub fn add_null(&self, name: &str, read_only: bool) {
        self.add_node(json!({"driver": "null-co", "node-name": name, "size": 1 << 20, "read-only": read_only}));
    }

    pub fn extend(&self, limit: u64) {
        let options = json!([{"driver": "quota", "node-name": "disk", "file": "image", "limit": limit}]);
        self.block.blockdev_reopen(serde_json::from_value(options).expect("options")).expect("extended");
    }

    /// Adds `step` bytes to the pool at each stop, until an event. Returns how many stops there were: there can be more
    /// than steps were needed, for a request may fail before and tell so after the disk was extended.
    pub fn extend_until(&self, event: &str, step: u64) -> u64 {
        let mut stops = 0;
        while self.events.wait_for_either(("STOP", stops + 1), (event, 1)) {
            stops += 1;
            self.extend((1 + stops as u64) * step);
            self.cont();
        }
        stops as u64
    }

    pub fn start_server(&self) -> Result<(), Error> {
        let address = json!({"type": "unix", "data": {"path": self.path("nbd.sock")}});
        self.exports.nbd_server_start(serde_json::from_value(json!({"addr": address})).expect("options"))
    }

    /// Exports what an object without its `type` says.
    pub fn export(&self, mut options: Value) -> Result<(), Error> {
        options["type"] = "nbd".into();
        self.exports.block_export_add(serde_json::from_value(options).expect("options"))
    }

    pub fn connect(&self, export: &str) -> Result<Client, ClientError> {
        Client::connect(&Address::Unix(self.path("nbd.sock")), export)
    }

    pub fn stop(&self) {
        self.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stops");
    }

    pub fn cont(&self) {
        self.vm.transaction(|tx| tx.vm_start()).expect("starts");
    }

    /// The errors of the latest stop.
    pub fn io_errors(&self) -> Vec<BlockIoErrorInfo> {
        self.vm.stop_reason().last_stop.and_then(|stop| stop.io_errors).unwrap_or_default()
    }
}

/// Events by name, in order.
#[derive(Default)]
pub struct Events {
    log: Mutex<Vec<(&'static str, Value)>>,
    changed: Condvar,
}

impl EventSink for Events {
    fn emit(&self, _: Timestamp, event: &dyn Event) {
        self.log.lock().push((event.name(), event.data().map_or(Value::Null, |data| data.value())));
        self.changed.notify_all();
    }
}

impl Events {
    /// What an event of this name said, each time.
    pub fn of(&self, name: &str) -> Vec<Value> {
        self.log.lock().iter().filter(|(other, _)| *other == name).map(|(_, data)| data.clone()).collect()
    }

    /// Waits until an event of this name has happened so many times.
    pub fn wait_for(&self, name: &str, times: usize) {
        assert!(self.wait_for_either((name, times), ("", 1)));
    }

    /// The same for either of two. Returns whether the first has.
    pub fn wait_for_either(&self, first: (&str, usize), second: (&str, usize)) -> bool {
        let mut log = self.log.lock();
        loop {
            let happened =
                |(name, times): (&str, usize)| log.iter().filter(|(other, _)| *other == name).count() >= times;
            if happened(first) || happened(second) {
                return happened(first);
            }
            self.changed.wait(&mut log);
        }
    }

    /// Adds an event that no VM emits.
    pub fn note(&self, name: &'static str) {
        self.log.lock().push((name, Value::Null));
        self.changed.notify_all();
    }
}
