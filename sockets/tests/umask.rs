//! The mode of a socket's file under any umask. In a process of its own, because all threads share it.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use qapi_schema::sockets::SocketAccess;
use rustix::fs::Mode;
use rustix::process::umask;
use sockets::{Access, Address, Listener, Objects};

#[test]
fn the_mode_is_what_was_asked_for_whatever_the_umask() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("socket");
    let address = Address::Unix(path.clone());
    for mask in [0, 0o022, 0o777] {
        umask(Mode::from_raw_mode(mask));
        for (asked, expected) in [(None, 0o600), (Some("0666"), 0o666), (Some("0"), 0)] {
            let access = SocketAccess {
                mode: asked.map(Into::into),
                group: None,
                allow_uid: None,
                allow_gid: None,
                tls_creds: None,
            };
            let access = Access::new(access, &address, &Objects::default()).expect("accepted");
            let listeners = Listener::bind(&address, &access).expect("listens");
            let mode = fs::symlink_metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o7777, expected, "umask {mask:o}");
            drop(listeners);
        }
    }
}
