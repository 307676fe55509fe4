//! `-drive` beside QEMU's: what `query-block` says of the same drives.
//!
//! Compared is all that QEMU says but generated node names, what it knows of image formats that there are none of here, and
//! the name of an image that it can only give as JSON.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::fs::File;
use std::process::Command;

use serde_json::Value;
use support::daemon::{Daemon, whystop};
use support::peer;
use support::qmp::QmpClient;

const DRIVES: &[&str] = &[
    "if=none,id=file,file=disk.img,format=raw",
    "if=none,id=node,file=file:read-only.img,driver=file,readonly=on",
    "if=none,id=options,file=options.img,format=raw,cache.no-flush=on,read-only=on,detect-zeroes=on,discard=unmap",
    "if=none,id=auto-read-only-off,file=null-co://,format=raw,auto-read-only=off",
    "if=none,id=zeroes,file=null-co://,file.read-zeroes=on,format=raw",
    "if=none,id=small,file.driver=null-co,file.size=65536,format=raw,cache=writethrough,werror=stop,rerror=ignore",
    "driver=null-co,read-zeroes=on,if=none,id=bare,cache=unsafe",
    "file=blkdebug::null-co://,id=debug,if=none,format=raw,cache=directsync,cache.direct=off",
    "if=none,file=null-co://,format=raw,media=disk,snapshot=off",
    "if=none,file=null-co://,format=raw,index=20",
    "if=none,id=aio,file=null-aio://,format=raw",
    "if=none,id=empty",
];

/// Those whose options say more than a file name can: QEMU names them by JSON.
const JSON_NAMED: &[&str] = &["zeroes", "small", "bare"];

/// What a daemon says of its drives, in the order of their names.
fn drives(mut command: Command, monitor: &str) -> Vec<Value> {
    let directory = tempfile::tempdir().expect("a directory");
    for image in ["disk.img", "read-only.img", "options.img"] {
        File::create(directory.path().join(image)).and_then(|image| image.set_len(1 << 20)).expect("an image");
    }
    command.args(DRIVES.iter().flat_map(|drive| ["-drive", drive]));
    let daemon = Daemon::run(command, directory, monitor).expect("a daemon");
    let mut client = QmpClient::connect(&daemon.qmp_socket()).expect("connected");
    let mut disks = client.execute("query-block", Value::Null).expect("an answer").as_array().expect("a list").clone();
    disks.iter_mut().for_each(comparable);
    disks.sort_by_key(|disk| disk["device"].to_string());
    disks
}

fn comparable(disk: &mut Value) {
    let Some(node) = disk["inserted"].as_object_mut() else { return };
    assert!(node.remove("node-name").is_some_and(|name| name.as_str().is_some_and(|name| name.starts_with('#'))));
    for format in ["dirty-flag", "format-specific", "backing-image"] {
        node["image"].as_object_mut().expect("an object").remove(format);
    }
    // QEMU can't tell how much is allocated beneath blkdebug; a quota above it wants to know.
    if disk["device"] == "debug" {
        disk["inserted"]["image"]["actual-size"] = Value::Null;
    }
    if JSON_NAMED.iter().any(|name| disk["device"] == *name) {
        disk["inserted"]["file"] = Value::Null;
        disk["inserted"]["image"]["filename"] = Value::Null;
    }
}

#[test]
fn drives_look_as_in_qemu() {
    let ours = drives(whystop(), "qmp");
    assert_eq!(ours.len(), DRIVES.len());
    let probe = "qemu-system-x86_64 --version | grep -Eq 'version [1-9][0-9]+'";
    if !peer::is_there("qemu-system-x86_64 10 or later", Command::new("sh").args(["-c", probe])) {
        return;
    }
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-M", "none", "-nodefaults", "-display", "none", "-mon", "chardev=qmp,mode=control"]);
    for (ours, theirs) in ours.into_iter().zip(drives(qemu, "none")) {
        assert_eq!(ours, theirs);
    }
}
