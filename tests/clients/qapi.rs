//! The crate `qapi` as the management, with and without tokio. `qapi_client` beside this file is its side: a workspace of
//! its own, because the crate brings forty others and a schema's worth of generated code. Whoever builds it says where it
//! is: `WHYSTOP_QAPI_CLIENT=<program>`.

use std::env;
use std::process::Command;

use crate::support::peer;

fn manage(kind: &str) {
    let program = env::var_os("WHYSTOP_QAPI_CLIENT").unwrap_or_else(|| "qapi-client".into());
    if !peer::is_there("qapi-client, see tests/clients/qapi.rs", Command::new(&program).arg("--version")) {
        return;
    }
    let mut management = Command::new(program);
    management.arg(kind);
    crate::fill_a_disk(management, false);
}

#[test]
fn the_crate_sees_a_vm_stop() {
    manage("sync");
}

#[test]
fn the_crate_sees_a_vm_stop_with_tokio() {
    manage("tokio");
}
