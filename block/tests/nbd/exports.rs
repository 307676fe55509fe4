//! Exports as QMP commands make and remove them, on real disks of a VM that stops and goes on.

use std::fs;
use std::thread;

use block::nbd::client::ClientError;
use block::nbd::protocol::NbdError;
use block::request::Operation;
use qapi_schema::block_core::Commands as _;
use qapi_schema::block_export::{BlockExportRemoveMode, Commands as _};
use serde_json::json;

use crate::machine::Machine;

const MIB: u64 = 1 << 20;

#[test]
fn every_refusal_says_what_qemu_says() {
    let machine = Machine::new();
    machine.add_null("disk", false);
    machine.add_null("rom", true);
    let refused = |options| machine.export(options).expect_err("is refused").desc().to_owned();
    let running = || machine.start_server();
    let remove = |id: &str| machine.exports.block_export_del(id.into(), None).map_err(|error| error.desc().to_owned());

    assert_eq!(refused(json!({"id": "e", "node-name": "disk"})), "NBD server not running");
    assert_eq!(machine.exports.nbd_server_stop().expect_err("refused").desc(), "NBD server not running");
    running().expect("starts");
    assert_eq!(running().expect_err("runs").desc(), "NBD server already running");
    for id in ["", "1x", "a b", "-a", "\u{e4}"] {
        assert_eq!(refused(json!({"id": id, "node-name": "disk"})), "Invalid block export id");
    }
    assert!(refused(json!({"id": "e", "node-name": "nowhere"})).contains("nowhere"));
    assert_eq!(
        refused(json!({"id": "e", "node-name": "rom", "writable": true})),
        "Cannot export read-only node as writable"
    );
    let long = "x".repeat(4097);
    let too_long = |what| format!("{what} '{long}' too long");
    assert_eq!(refused(json!({"id": "e", "node-name": "disk", "name": long})), too_long("export name"));
    assert_eq!(refused(json!({"id": "e", "node-name": "disk", "description": long})), too_long("description"));
    assert!(refused(json!({"id": "e", "node-name": "disk", "rerror": "enospc"})).contains("rerror"));

    machine.export(json!({"id": "e", "node-name": "disk"})).expect("exported");
    assert_eq!(refused(json!({"id": "e", "node-name": "rom"})), "Block export id 'e' is already in use");
    assert_eq!(refused(json!({"id": "f", "node-name": "disk"})), "NBD server already has export named 'disk'");
    assert_eq!(remove("f"), Err("Export 'f' is not found".into()));
    let client = machine.connect("disk").expect("connects");
    assert_eq!(remove("e"), Err("export 'e' still in use".into()));
    drop(client);
}

#[test]
fn a_removed_export_leaves_its_node_free() {
    let machine = Machine::new();
    machine.add_null("disk", false);
    machine.start_server().expect("starts");
    machine.export(json!({"id": "e", "node-name": "disk"})).expect("exported");
    machine.block.blockdev_del("disk".into()).expect_err("is in use");
    machine.exports.block_export_del("e".into(), None).expect("removed");
    assert_eq!(machine.events.of("BLOCK_EXPORT_DELETED"), [json!({"id": "e"})]);
    assert_eq!(machine.exports.query_block_exports(), Ok(vec![]));
    machine.block.blockdev_del("disk".into()).expect("is free");
}

#[test]
fn an_export_that_is_refused_leaves_its_node_free() {
    let machine = Machine::new();
    machine.add_null("disk", false);
    machine.start_server().expect("starts");
    machine.export(json!({"id": "e", "node-name": "disk", "rerror": "enospc"})).expect_err("is refused");
    machine.block.blockdev_del("disk".into()).expect("is free");
    assert_eq!(machine.exports.query_block_exports(), Ok(vec![]));
    assert!(machine.events.of("BLOCK_EXPORT_DELETED").is_empty());
}

#[test]
fn exports_are_listed_until_they_are_gone() {
    let machine = Machine::with_thin_disk(MIB, 0);
    let (mut submitter, _replies) = machine.connect("disk").expect("connects").split();
    submitter.submit(&Operation::Write { offset: 0, data: vec![1], fua: false }).expect("submitted");
    machine.events.wait_for("STOP", 1);
    let listed = machine.exports.query_block_exports().expect("listed");
    assert_eq!(
        serde_json::to_value(listed).expect("a value"),
        json!([{"id": "disk", "type": "nbd", "node-name": "disk", "shutting-down": false}])
    );
    machine.exports.block_export_del("disk".into(), Some(BlockExportRemoveMode::Hard)).expect("removed");
    machine.events.wait_for("BLOCK_EXPORT_DELETED", 1);
    assert_eq!(machine.exports.query_block_exports(), Ok(vec![]));
    assert_eq!(machine.io_errors()[0].held, 0);
}

#[test]
fn stopping_the_server_removes_every_export() {
    let machine = Machine::new();
    machine.add_null("one", false);
    machine.add_null("two", false);
    machine.start_server().expect("starts");
    machine.export(json!({"id": "one", "node-name": "one"})).expect("exported");
    machine.export(json!({"id": "two", "node-name": "two"})).expect("exported");
    let mut client = machine.connect("two").expect("connects");
    machine.exports.nbd_server_stop().expect("stops");
    assert_eq!(machine.events.of("BLOCK_EXPORT_DELETED").len(), 2);
    assert_eq!(machine.exports.query_block_exports(), Ok(vec![]));
    assert!(!machine.path("nbd.sock").exists());
    client.read(0, 1).expect_err("is closed");
    machine.start_server().expect("starts again");
    machine.export(json!({"id": "one", "node-name": "one"})).expect("exported again");
    machine.connect("one").expect("connects");
    machine.exports.stop();
    machine.exports.stop();
}

#[test]
fn an_export_has_the_name_and_the_description_that_it_was_given() {
    let machine = Machine::new();
    machine.add_null("disk", false);
    machine.start_server().expect("starts");
    machine.export(json!({"id": "a", "node-name": "disk"})).expect("exported");
    machine.export(json!({"id": "b", "node-name": "disk", "name": "", "description": "text"})).expect("exported");
    for name in ["disk", ""] {
        assert!(machine.connect(name).expect("connects").terms().read_only, "by default");
    }
}

#[test]
fn a_write_into_a_full_disk_is_answered_after_the_disk_was_extended() {
    let machine = Machine::with_thin_disk(4 * MIB, MIB);
    let (mut submitter, mut replies) = machine.connect("disk").expect("connects").split();
    let writes = 4 * MIB / (64 << 10);
    for at in 0..writes {
        let data = vec![at as u8 + 1; 64 << 10];
        submitter.submit(&Operation::Write { offset: at * (64 << 10), data, fua: false }).expect("submitted");
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..writes {
                replies.next_reply().expect("answered").result.expect("written");
            }
            machine.events.note("WRITTEN");
        });
        machine.extend_until("WRITTEN", MIB);
    });
    for at in 0..writes {
        submitter.submit(&Operation::Read { offset: at * (64 << 10), length: 64 << 10 }).expect("submitted");
        let read = replies.next_reply().expect("answered").result.expect("read");
        assert!(read == vec![at as u8 + 1; 64 << 10], "block {at} differs");
    }
}

#[test]
fn nothing_is_started_while_the_vm_is_stopped() {
    let machine = Machine::with_thin_disk(MIB, MIB);
    let (mut submitter, mut replies) = machine.connect("disk").expect("connects").split();
    machine.stop();
    for at in 0..10 {
        submitter.submit(&Operation::Write { offset: at * 4096, data: vec![1; 4096], fua: false }).expect("submitted");
    }
    let mut other = machine.connect("disk").expect("a handshake is no request");
    let image = fs::read(machine.path("image")).expect("read");
    assert!(image.iter().all(|byte| *byte == 0));
    machine.cont();
    for _ in 0..10 {
        replies.next_reply().expect("answered").result.expect("written");
    }
    assert_eq!(other.read(9 * 4096, 1).expect("read"), [1]);
}

#[test]
fn a_client_that_leaves_takes_its_held_requests_with_it() {
    let machine = Machine::with_thin_disk(MIB, 0);
    let (mut submitter, replies) = machine.connect("disk").expect("connects").split();
    submitter.submit(&Operation::Write { offset: 0, data: vec![1], fua: false }).expect("submitted");
    machine.events.wait_for("STOP", 1);
    assert_eq!(machine.io_errors()[0].held, 1);
    submitter.disconnect().expect("said");
    drop(replies);
    while machine.io_errors()[0].held > 0 {
        thread::yield_now();
    }
    machine.extend(MIB);
    machine.cont();
    assert_eq!(machine.events.of("STOP").len(), 1);
    let image = fs::read(machine.path("image")).expect("read");
    assert!(image.iter().all(|byte| *byte == 0), "what the client gave up was written");
}

#[test]
fn an_error_that_is_reported_reaches_the_client_by_its_name() {
    let machine = Machine::with_thin_disk(MIB, 0);
    let options = json!({"id": "report", "node-name": "disk", "name": "report", "writable": true, "werror": "report"});
    machine.export(options).expect("exported");
    let mut client = machine.connect("report").expect("connects");
    let refused = client.write(0, &[1]).expect_err("is full");
    assert!(matches!(refused, ClientError::Request(NbdError::NoSpace)), "{refused}");
    assert!(machine.events.of("STOP").is_empty());
    let told = machine.events.of("BLOCK_IO_ERROR");
    assert_eq!((&told[0]["qom-path"], &told[0]["reason"]), (&json!("/exports/report"), &json!("enospc")));
}

#[test]
fn an_address_that_can_t_be_had_is_named() {
    let machine = Machine::new();
    let refused = |address| {
        let options = serde_json::from_value(json!({"addr": address})).expect("options");
        machine.exports.nbd_server_start(options).expect_err("is refused").desc().to_owned()
    };
    assert_eq!(
        refused(json!({"type": "unix", "data": {"path": "/nowhere/nbd.sock"}})),
        "Failed to bind socket to /nowhere/nbd.sock: No such file or directory"
    );
    let inet = |host: &str, port: &str| json!({"type": "inet", "data": {"host": host, "port": port}});
    assert!(refused(inet("127.0.0.1", "zork")).starts_with("address resolution failed for 127.0.0.1:zork: "));
    assert!(refused(inet("127.0.0.1", "65536")).starts_with("address resolution failed for 127.0.0.1:65536: "));
    // An address of a network for documentation (RFC 5737).
    assert!(refused(inet("192.0.2.1", "0")).starts_with("TCP at 192.0.2.1:0 is refused: it is not on loopback"));
}
