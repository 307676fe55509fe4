//! Programs of others that tests talk to, found at run time.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Whether `probe` says that the peer is there. If not, the test has to end: it is skipped, and says so, or fails where
/// all peers are required (`WHYSTOP_REQUIRE_PEERS=1`).
pub fn is_there(peer: &str, probe: &mut Command) -> bool {
    let probed = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if probed.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(env::var_os("WHYSTOP_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs {peer}: {probe:?}");
    // Not by println!, which is not shown for a test that passes.
    let _ = writeln!(io::stderr(), "skipped: needs {peer}");
    false
}
