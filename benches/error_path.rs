//! The error path: from the guest's failing write to STOP in a session's outbox, and to STOP at the client.
//!
//! Events are emitted on the thread that did the I/O: when `submit` returns, STOP is in the outbox of every session.
#![allow(clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use block::backend::BackendOptions;
use block::policy::ErrorPolicy;
use block::request::{Client, Operation, Request};
use monitor::{Access, Address};
use qapi_schema::block_core::{BlockdevOptions, Commands as _};
use qapi_schema::run_state::ShutdownCause;
use qapi_schema::{FromValue, Visitor};
use serde_json::{Value, json};
use support::{connect, micros, percentile, row};
use whystop::Machine;

mod support;

const ROUNDS: usize = 2_000;

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("qmp.sock");
    let mut machine = Machine::new().expect("a machine");
    machine.listen(&Address::Unix(socket.clone()), &Access::default()).expect("listening");
    let block = machine.block().clone();
    let add = |options: Value| {
        let options = BlockdevOptions::from_value(options, &Visitor::json()).expect("options");
        block.blockdev_add(options).expect("a node");
    };
    add(json!({"driver": "null-co", "node-name": "file", "size": 1 << 20}));
    add(json!({"driver": "quota", "node-name": "pool", "limit": 0, "file": "file"}));
    let node = block.graph().attach("pool", true, "benchmark").expect("attached");
    let policy = ErrorPolicy::new(None, None).expect("the default");
    let disk = block
        .add_backend(BackendOptions { qom_path: "/disk".into(), device: String::new(), node, policy })
        .expect("a thread");
    let vm = machine.vm().clone();
    let running = machine.start(true).expect("started");
    let daemon = std::thread::spawn(|| running.run());

    let mut reader = BufReader::new(connect(&socket));
    let mut line = String::new();
    reader.read_line(&mut line).expect("the greeting");
    writeln!(reader.get_mut(), r#"{{"execute": "qmp_capabilities"}}"#).expect("sent");
    reader.read_line(&mut line).expect("the reply");
    let mut wait_for_stop = || {
        while !line.contains("\"STOP\"") {
            line.clear();
            reader.read_line(&mut line).expect("an event");
        }
        line.clear();
    };
    let (mut outbox, mut client): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let write = Operation::Write { offset: 0, data: vec![1; 4096], fua: false };
        let guest = Client::default();
        let request = Request::new(guest.clone(), write, drop);
        let start = Instant::now();
        disk.submit(request);
        outbox.push(start.elapsed());
        wait_for_stop();
        client.push(start.elapsed());
        // What is held is dropped, so that `cont` finds the disk as it was.
        disk.cancel(&guest);
        vm.transaction(|tx| tx.vm_start()).expect("started");
    }
    row(
        "failing write to STOP in the outbox",
        "us",
        &[("median", micros(percentile(&mut outbox, 50))), ("99 of 100", micros(percentile(&mut outbox, 99)))],
    );
    row(
        "failing write to STOP at a client",
        "us",
        &[("median", micros(percentile(&mut client, 50))), ("99 of 100", micros(percentile(&mut client, 99)))],
    );
    vm.end(ShutdownCause::HostUi);
    daemon.join().expect("no panic").expect("a clean end");
}
