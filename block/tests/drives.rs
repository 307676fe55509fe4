//! Drives and nodes as the disks of devices.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;

use block::backend::BlockBackend;
use block::block::{Block, DeviceOptions};
use block::drive::{DriveOptions, OnError};
use block::request::{Client, Operation, Request};
use qapi_schema::block_core::{BlockErrorAction, BlockInfo, BlockdevOnError, BlockdevOptions, Commands as _};
use qapi_schema::{FromValue, Visitor};
use serde_json::{Value, json};
use vl::{SystemClock, Vm};

use support::EventLog;

fn block() -> (Arc<Block>, Arc<EventLog>) {
    let log = Arc::new(EventLog::default());
    let vm = Arc::new(Vm::new(log.clone(), SystemClock));
    vm.transaction(|tx| tx.vm_start()).expect("started");
    (Arc::new(Block::new(vm)), log)
}

fn node(options: Value) -> BlockdevOptions {
    BlockdevOptions::from_value(options, &Visitor::json()).expect("options")
}

/// A drive whose `node` fails flushes, and writes in state 2, which a flush brings about.
fn add_drive(block: &Block, node: Option<BlockdevOptions>, on_error: OnError) {
    let options = DriveOptions { id: Some("drive0".into()), index: None, node, on_error, write_cache: false };
    block.add_drive(options).expect("a drive");
}

fn null() -> Option<BlockdevOptions> {
    Some(node(json!({"driver": "raw", "file": {"driver": "null-co", "size": 65536}})))
}

fn on_error(werror: BlockdevOnError) -> OnError {
    OnError { werror: Some(werror), rerror: None }
}

fn device(block: &Block, drive: &str, on_error: OnError) -> Result<Arc<BlockBackend>, String> {
    let options = DeviceOptions { qom_path: "/machine/disk".into(), drive, on_error };
    block.add_device(options).map_err(|error| error.desc().to_owned())
}

fn disks(block: &Block) -> Vec<BlockInfo> {
    block.query_block().expect("disks")
}

fn nodes(block: &Block) -> usize {
    block.query_named_block_nodes(None).expect("nodes").len()
}

#[test]
fn a_device_takes_a_drive_with_its_name_and_ends_with_it() {
    let (block, _) = block();
    add_drive(&block, null(), OnError::default());
    let before = disks(&block).pop().expect("the drive");
    assert_eq!((before.device.as_str(), before.qdev, before.removable, before.io_status), ("drive0", None, true, None));

    let disk = device(&block, "drive0", OnError::default()).expect("taken");
    let [taken] = disks(&block).try_into().expect("one disk");
    assert_eq!((taken.device.as_str(), taken.qdev.as_deref()), ("drive0", Some("/machine/disk")));
    assert!(!taken.removable && taken.io_status.is_some());
    let name = |info: &BlockInfo| info.inserted.as_ref().and_then(|node| node.node_name.clone());
    assert_eq!((name(&taken), nodes(&block)), (before.inserted.and_then(|node| node.node_name), 2));
    let again = device(&block, "drive0", OnError::default()).expect_err("in use");
    assert_eq!(again, "Drive 'drive0' is already in use by another device");

    block.remove_backend(&disk);
    assert_eq!((disks(&block).len(), nodes(&block)), (0, 0));
}

#[test]
fn a_node_used_by_a_device_has_no_device_name_and_stays() {
    let (block, _) = block();
    block.blockdev_add(node(json!({"driver": "null-co", "node-name": "a", "read-only": true}))).expect("added");
    let disk = device(&block, "a", OnError::default()).expect("a disk");
    let [info] = disks(&block).try_into().expect("one disk");
    assert_eq!((info.device.as_str(), info.qdev.as_deref()), ("", Some("/machine/disk")));
    assert!(disk.read_only());
    block.remove_backend(&disk);
    assert_eq!((disks(&block).len(), nodes(&block)), (0, 1));
    assert_eq!(device(&block, "b", OnError::default()).expect_err("none"), "Cannot find drive or block node 'b'");
}

fn in_use(node: &str) -> String {
    format!("Block node '{node}' is written to already, and a device's disk has one writer")
}

#[test]
fn a_node_is_written_to_by_one_device_and_read_by_any() {
    let (block, _) = block();
    block.blockdev_add(node(json!({"driver": "null-co", "node-name": "a"}))).expect("added");
    let disk = device(&block, "a", OnError::default()).expect("a disk");
    let again = device(&block, "a", OnError::default()).expect_err("in use");
    assert_eq!(again, in_use("a"));
    block.blockdev_add(node(json!({"driver": "raw", "node-name": "filter", "file": "a"}))).expect("added");
    assert_eq!(device(&block, "filter", OnError::default()).expect_err("in use beneath"), in_use("a"));
    let export = |writable| block.graph().attach("filter", writable, "export 'e'").map_err(|error| error.to_string());
    assert_eq!(export(true).expect_err("in use beneath"), in_use("a"));
    drop(export(false).expect("a reader"));
    block.remove_backend(&disk);
    let exports = [(); 2].map(|()| export(true).expect("they share a disk"));
    assert_eq!(device(&block, "a", OnError::default()).expect_err("in use"), in_use("a"));
    drop(exports);
    block.remove_backend(&device(&block, "a", OnError::default()).expect("free again"));
    block.blockdev_add(node(json!({"driver": "null-co", "node-name": "b", "read-only": true}))).expect("added");
    for disk in [(); 2].map(|()| device(&block, "b", OnError::default()).expect("a reader")) {
        block.remove_backend(&disk);
    }
}

#[test]
fn what_a_device_says_of_errors_counts_before_what_its_drive_says() {
    let failing = || {
        let rules = json!([{"event": "none", "iotype": "write", "errno": 28}]);
        Some(node(json!({"driver": "blkdebug", "image": {"driver": "null-co", "size": 65536}, "inject-error": rules})))
    };
    let action_of = |drive, of_device| {
        let (block, log) = block();
        add_drive(&block, failing(), on_error(drive));
        let disk = device(&block, "drive0", on_error(of_device)).expect("taken");
        let client = Client::default();
        disk.submit(Request::new(client.clone(), Operation::Write { offset: 0, data: vec![1; 512], fua: false }, drop));
        let events = log.all();
        let action = events[1].1["action"].as_str().expect("an action").parse::<BlockErrorAction>().expect("known");
        disk.cancel(&client);
        block.remove_backend(&disk);
        action
    };
    use BlockdevOnError::{Auto, Ignore, Report};
    assert_eq!(action_of(Ignore, Auto), BlockErrorAction::Ignore);
    assert_eq!(action_of(Ignore, Report), BlockErrorAction::Report);
    assert_eq!(action_of(Auto, Auto), BlockErrorAction::Stop);
}

#[test]
fn a_drive_without_write_cache_has_every_write_on_stable_storage() {
    let (block, _) = block();
    let rules = json!([{"event": "none", "iotype": "flush"}]);
    let failing = json!({"driver": "blkdebug", "image": {"driver": "null-co"}, "inject-error": rules});
    add_drive(&block, Some(node(failing)), OnError::default());
    let write_cache = |block: &Block| disks(block)[0].inserted.as_ref().map(|node| node.cache.writeback);
    assert_eq!(write_cache(&block), Some(false));
    let disk = device(&block, "drive0", OnError::default()).expect("taken");
    let errno = |operation| {
        let (sender, answer) = channel();
        disk.submit(Request::new(Client::default(), operation, move |result| sender.send(result).expect("heard")));
        answer.recv().expect("answered").err().and_then(|error| error.raw_os_error())
    };
    let write = || Operation::Write { offset: 0, data: vec![1; 512], fua: false };
    let zero = || Operation::WriteZeroes { offset: 0, length: 512, fua: false, unmap: false };
    assert_eq!((write_cache(&block), errno(write()), errno(zero())), (Some(false), Some(5), Some(5)));
    disk.set_write_cache(true);
    assert_eq!((write_cache(&block), errno(write()), errno(zero())), (Some(true), None, None));
    block.remove_backend(&disk);
}

#[test]
fn a_drive_that_a_device_cannot_use_stays() {
    let (block, _) = block();
    add_drive(&block, None, OnError::default());
    let empty = device(&block, "drive0", OnError::default()).expect_err("empty");
    assert_eq!(empty, "Device needs media, but drive 'drive0' is empty");
    let reading = OnError { werror: None, rerror: Some(BlockdevOnError::Enospc) };
    assert!(device(&block, "drive0", reading).is_err());
    assert_eq!(disks(&block).len(), 1);
}

#[test]
fn a_name_is_one_drive_s_only() {
    let (block, _) = block();
    block.blockdev_add(node(json!({"driver": "null-co", "node-name": "a"}))).expect("added");
    let add = |id: Option<&str>, index| {
        let options = DriveOptions {
            id: id.map(str::to_owned),
            index,
            node: None,
            on_error: OnError::default(),
            write_cache: true,
        };
        block.add_drive(options).map_err(|error| error.desc().to_owned())
    };
    assert_eq!(add(Some("a"), None), Err("Device name 'a' conflicts with an existing node name".into()));
    assert_eq!(add(Some("1"), None), Err("Parameter 'id' expects an identifier".into()));
    assert_eq!([add(None, Some(1)), add(Some("b"), None), add(None, None)], [Ok(()), Ok(()), Ok(())]);
    assert_eq!(add(None, Some(2)), Err("drive with index=2 exists".into()));
    assert_eq!(add(Some("none1"), None), Err("Device with id 'none1' already exists".into()));
    let names: Vec<_> = disks(&block).into_iter().map(|disk| disk.device).collect();
    assert_eq!(names, ["none1", "b", "none2"]);
}

#[test]
fn a_drive_that_cannot_be_opened_leaves_no_node() {
    let (block, _) = block();
    let image = json!({"driver": "null-co", "size": 512});
    let beyond = node(json!({"driver": "raw", "offset": 4096, "file": image}));
    let options =
        DriveOptions { id: None, index: None, node: Some(beyond), on_error: OnError::default(), write_cache: true };
    assert!(block.add_drive(options).is_err());
    assert_eq!((disks(&block).len(), nodes(&block)), (0, 0));
}
