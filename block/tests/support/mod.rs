//! A VM with one disk for the tests of held requests: an event log to check, and a thin pool that can be made larger.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::Arc;

use block::backend::{BackendOptions, BlockBackend};
use block::block::Block;
use block::policy::ErrorPolicy;
use qapi_schema::block_core::{BlockdevOptions, Commands as _};
use qapi_schema::common::Timestamp;
use qapi_schema::{Event, EventSink, FromValue, Visitor};
use serde_json::{Value, json};
use vl::sync::Mutex;
use vl::{SystemClock, Vm};

/// Every event that was emitted, in order.
#[derive(Default)]
pub struct EventLog {
    events: Mutex<Vec<(&'static str, Value)>>,
}

impl EventSink for EventLog {
    fn emit(&self, _: Timestamp, event: &dyn Event) {
        self.events.lock().push((event.name(), event.data().map_or(Value::Null, |data| data.value())));
    }
}

impl EventLog {
    /// What was emitted so far, in order.
    pub fn all(&self) -> Vec<(&'static str, Value)> {
        self.events.lock().clone()
    }

    /// Checks what no interleaving may break: STOP and RESUME alternate, stop ids count up by one, and no error that
    /// stopped the VM goes without its STOP before the next RESUME.
    pub fn check(&self) {
        let (mut running, mut id, mut unexplained) = (false, 0, false);
        for (name, data) in self.events.lock().iter() {
            match *name {
                "STOP" => {
                    assert!(running, "a second STOP");
                    id += 1;
                    assert_eq!(data["stop-id"], id);
                    assert_eq!(
                        data["reason"] == "ioerror",
                        unexplained,
                        "a STOP for another reason than the events said"
                    );
                    (running, unexplained) = (false, false);
                }
                "RESUME" => {
                    assert!(!running, "a second RESUME");
                    assert!(!unexplained, "an error that stopped the VM was followed by RESUME");
                    running = true;
                }
                "BLOCK_IO_ERROR" if data["action"] == "stop" && running => {
                    assert!(!unexplained, "an error came between another and its STOP");
                    unexplained = true;
                }
                _ => {}
            }
        }
        assert!(!unexplained, "an error that stopped the VM has no STOP");
    }
}

/// A running VM whose disk is a thin pool of `limit` bytes over `file`.
pub struct Setup {
    pub vm: Arc<Vm>,
    pub block: Arc<Block>,
    pub disk: Arc<BlockBackend>,
    pub log: Arc<EventLog>,
    file: Value,
}

impl Setup {
    pub fn new(file: Value, limit: u64) -> Self {
        Self::with_policy(file, limit, ErrorPolicy::new(None, None).expect("the default"))
    }

    pub fn with_policy(file: Value, limit: u64, policy: ErrorPolicy) -> Self {
        let log = Arc::new(EventLog::default());
        let vm = Arc::new(Vm::new(log.clone(), SystemClock));
        let block = Arc::new(Block::new(vm.clone()));
        block.blockdev_add(options(&file)).expect("the file");
        block.blockdev_add(pool(&file, limit)).expect("the pool");
        let node = block.graph().attach("pool", true, "test").expect("attached");
        let options = BackendOptions { qom_path: "/disk".into(), device: String::new(), node, policy };
        let disk = block.add_backend(options).expect("a thread");
        vm.transaction(|tx| tx.vm_start()).expect("started");
        Self { vm, block, disk, log, file }
    }

    /// Gives the pool another limit.
    pub fn set_limit(&self, limit: u64) {
        self.block.blockdev_reopen(vec![pool(&self.file, limit)]).expect("reopened");
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.block.remove_backend(&self.disk);
    }
}

fn pool(file: &Value, limit: u64) -> BlockdevOptions {
    options(
        &json!({"driver": "quota", "node-name": "pool", "limit": limit, "discard": "unmap", "file": file["node-name"]}),
    )
}

fn options(value: &Value) -> BlockdevOptions {
    BlockdevOptions::from_value(value.clone(), &Visitor::json()).expect("options")
}
