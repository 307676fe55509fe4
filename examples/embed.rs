//! A VMM's view: one VM, one disk that is too small, one monitor, and a guest that notices nothing.

use std::error::Error;
use std::sync::{Arc, mpsc};

use block::backend::BackendOptions;
use block::block::Block;
use block::policy::ErrorPolicy;
use block::request::{Client, Operation, Request};
use monitor::{Server, Version};
use qapi_schema::block_core::{BlockdevOptions, Commands as _};
use qapi_schema::run_state::{Commands as _, RunState};
use qapi_schema::{CommandTable, FromValue, Visitor, block_core, run_state};
use serde_json::{Value, json};
use vl::{SystemClock, Vm};

fn main() -> Result<(), Box<dyn Error>> {
    // The monitor is where events go; the VM emits them; the block layer stops the VM.
    let server = Server::new(&Version::of_package("embed 1.0"))?;
    let vm = Arc::new(Vm::new(server.broadcaster(), SystemClock));
    let block = Arc::new(Block::new(vm.clone()));

    // A disk of 1 MiB on 64 KiB of storage, and the backend that the VMM's device submits to.
    block.blockdev_add(options(json!({"driver": "null-co", "node-name": "file", "size": 1 << 20}))?)?;
    block.blockdev_add(pool(64 << 10)?)?;
    let node = block.graph().attach("pool", true, "device 'disk0'")?;
    let policy = ErrorPolicy::new(None, None)?;
    let options = BackendOptions { qom_path: "/machine/disk0".into(), device: "disk0".into(), node, policy };
    let disk = block.add_backend(options)?;

    // Add `server.listen(...)` and every QMP client can watch.
    let handle = server.handle();
    let commands = run_state::commands(&vm).into_iter().chain(block_core::commands(&block));
    let monitor = server.spawn(Arc::new(commands.collect::<CommandTable>()))?;
    vm.cont()?;

    // A guest's write that does not fit: it is not answered, and the VM stops.
    let (answer, answered) = mpsc::channel();
    let write = Operation::Write { offset: 0, data: vec![1; 128 << 10], fua: false };
    disk.submit(Request::new(Client::default(), write, move |result| answer.send(result.is_ok()).unwrap_or(())));
    assert_eq!(vm.query_status()?.status, RunState::IoError);
    println!("stopped: {}", serde_json::to_string_pretty(&vm.query_stop_reason()?)?);

    // More space, and the guest's write succeeds.
    block.blockdev_reopen(vec![pool(1 << 20)?])?;
    vm.cont()?;
    println!("the guest's write was answered: success is {}", answered.recv()?);
    handle.shutdown();
    monitor.join().map_err(|_| "the monitor's thread failed")??;
    Ok(())
}

fn pool(limit: u64) -> Result<BlockdevOptions, qapi_schema::Error> {
    options(json!({"driver": "quota", "node-name": "pool", "limit": limit, "file": "file"}))
}

fn options(value: Value) -> Result<BlockdevOptions, qapi_schema::Error> {
    BlockdevOptions::from_value(value, &Visitor::json())
}
