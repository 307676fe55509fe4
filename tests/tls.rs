//! TLS, with peers that nobody here wrote: QEMU's tools for NBD, Python's `ssl` for QMP.

#![cfg(feature = "tls")]
#![allow(clippy::expect_used)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::certificates::{self, object};
use support::daemon::Daemon;
use support::peer;
use support::qmp::QmpClient;

/// A port that is free now. Who takes it before the daemon does, makes the test fail.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// A daemon with an NBD server at this port, which wants TLS, and a disk.
fn serving(pki: &Path, port: u16) -> Daemon {
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("disk.img");
    File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("an image");
    let daemon = Daemon::start(
        directory,
        &[
            "--object",
            &object("tls0", pki, "server"),
            "--blockdev",
            &format!("file,node-name=disk,filename={}", image.display()),
        ],
    );
    let daemon = daemon.expect("a daemon");
    let mut client = QmpClient::connect(&daemon.qmp_socket()).expect("a client");
    client.execute("nbd-server-stop", Value::Null).expect("it runs");
    let address = json!({"type": "inet", "data": {"host": "localhost", "port": port.to_string()}});
    client.execute("nbd-server-start", json!({"addr": address, "tls-creds": "tls0"})).expect("a free port");
    let export = json!({"type": "nbd", "id": "disk", "node-name": "disk", "writable": true});
    client.execute("block-export-add", export).expect("exported");
    daemon
}

fn qemu_io(pki: Option<&Path>, port: u16, commands: &[&str]) -> Output {
    let mut command = Command::new("qemu-io");
    let mut image = format!("driver=nbd,host=localhost,port={port},export=disk");
    if let Some(pki) = pki {
        // Whether its certificate is a good one is for the server to find out.
        command.args(["--object", &format!("{},sanity-check=off", object("tls0", pki, "client"))]);
        image += ",tls-creds=tls0";
    }
    command.args(["--image-opts", &image]);
    command.args(commands.iter().flat_map(|text| ["-c", text])).stdin(Stdio::null());
    command.output().expect("it starts")
}

#[test]
fn a_guest_of_qemu_uses_its_disk_over_tls_and_nobody_does_without() {
    if !peer::is_there("qemu-io", Command::new("qemu-io").arg("--version")) {
        return;
    }
    let (pki, other) = (certificates::directory(), certificates::directory());
    let port = free_port();
    let mut daemon = serving(pki.path(), port);
    let said = |output: &Output| format!("{output:?}");
    let used = qemu_io(Some(pki.path()), port, &["write -P 7 1M 4M", "read -P 7 1M 4M", "read -P 0 0 1M", "flush"]);
    assert!(used.status.success() && !said(&used).contains("failed"), "{used:?}");
    let plain = qemu_io(None, port, &["read 0 1M"]);
    assert!(!plain.status.success() && said(&plain).contains("TLS"), "{plain:?}");
    // An authority that the server does not know, while it knows the server's.
    fs::copy(pki.path().join("ca-cert.pem"), other.path().join("ca-cert.pem")).expect("copied");
    let stranger = qemu_io(Some(other.path()), port, &["read 0 1M"]);
    assert!(!stranger.status.success(), "{stranger:?}");
    let again = qemu_io(Some(pki.path()), port, &["read -P 7 1M 4M"]);
    assert!(again.status.success() && !said(&again).contains("failed"), "{again:?}");
    daemon.terminate();
    daemon.wait().expect("a clean end");
    assert!(daemon.stderr().contains("TLS handshake failed"), "{}", daemon.stderr());
}

/// What comes between NBD_OPT_STARTTLS and the encryption could be said by anybody.
#[test]
fn what_is_smuggled_in_before_the_encryption_ends_the_session() {
    let pki = certificates::directory();
    let port = free_port();
    let _daemon = serving(pki.path(), port);
    let mut client = TcpStream::connect(("localhost", port)).expect("it listens");
    client.read_exact(&mut [0; 18]).expect("a greeting");
    let list: &[u8] = b"IHAVEOPT\0\0\0\x03\0\0\0\0";
    let start: &[u8] = b"IHAVEOPT\0\0\0\x05\0\0\0\0";
    client.write_all(&[b"\0\0\0\x03", start, list].concat()).expect("room");
    let mut reply = Vec::new();
    // With input unread the connection may be reset.
    let _ = client.read_to_end(&mut reply);
    assert!(reply.len() <= 20, "{reply:?}");
}

/// Speaks QMP over TLS with the standard library of Python: `query-status`, then the end.
const PYTHON: &str = r#"
import json, socket, ssl, sys
pki, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(cafile=pki + "/ca-cert.pem")
if len(sys.argv) > 3:
    context.load_cert_chain(pki + "/client-cert.pem", pki + "/client-key.pem")
with socket.create_connection(("localhost", port), timeout=60) as plain:
    with context.wrap_socket(plain, server_hostname="localhost") as stream:
        lines = stream.makefile("rwb")
        assert "QMP" in json.loads(lines.readline())
        for command in ["qmp_capabilities", "query-commands", "query-status"]:
            lines.write(json.dumps({"execute": command}).encode())
            lines.flush()
            reply = json.loads(lines.readline())["return"]
print(reply["status"])
"#;

fn python() -> Command {
    Command::new(std::env::var_os("WHYSTOP_PYTHON").unwrap_or_else(|| "python3".into()))
}

#[test]
fn qmp_is_spoken_over_tls_while_others_never_finish_their_handshake() {
    if !peer::is_there("Python's ssl", python().args(["-c", "import ssl"])) {
        return;
    }
    let pki = certificates::directory();
    let port = free_port();
    let directory = tempfile::tempdir().expect("a directory");
    let monitor = format!("tcp:localhost:{port},server=on,wait=off,tls-creds=tls0");
    let options = ["--object", &object("tls0", pki.path(), "server"), "-qmp", &monitor];
    let mut daemon = Daemon::start(directory, &options).expect("a daemon");

    // Some say nothing, some half of a record, some nonsense: only the last are told at once.
    let connect = || TcpStream::connect(("localhost", port)).expect("it listens");
    let mut idle: Vec<_> = (0..20).map(|_| connect()).collect();
    for client in idle.iter_mut().skip(10) {
        client.write_all(b"\x16\x03\x01\x02\x00\x01").expect("room");
    }
    let mut lost = connect();
    let (address, peer) = (lost.peer_addr().expect("connected"), lost.local_addr().expect("connected"));
    lost.write_all(b"{\"execute\": \"quit\"}\r\n\r\n").expect("room");
    let mut told = Vec::new();
    let _ = lost.read_to_end(&mut told);
    assert!(!String::from_utf8_lossy(&told).contains("QMP"), "{told:?}");

    let speak = |more: &[&str]| {
        let mut command = python();
        command.args(["-c", PYTHON]).arg(pki.path()).arg(port.to_string()).args(more).stdin(Stdio::null());
        command.output().expect("it starts")
    };
    let spoken = speak(&["certificate"]);
    assert_eq!(String::from_utf8_lossy(&spoken.stdout), "running\n", "{spoken:?}");
    assert!(!speak(&[]).status.success(), "a client without a certificate was served");
    let mut local = QmpClient::connect(&daemon.qmp_socket()).expect("a client");
    local.execute("query-status", Value::Null).expect("an answer");
    drop(idle);
    daemon.terminate();
    daemon.wait().expect("a clean end");
    let told = daemon.stderr();
    let blamed =
        |line: &str| line.contains("handshake failed") && line.contains(&format!("address={address} peer={peer} "));
    assert!(told.lines().any(blamed), "{told}");
}

#[test]
fn a_monitor_connects_to_its_client_over_tls() {
    use std::os::fd::AsFd;

    let pki = certificates::directory();
    let objects = whystop::objects::Objects::default();
    let server = whystop::keyval::Argument::parse(&object("tls0", pki.path(), "server"), Some("qom-type"));
    let server = server.and_then(|argument| argument.into()).expect("good options");
    objects.add(server).expect("good files");
    let credentials =
        objects.credentials().tls_creds("tls0", qapi_schema::crypto::QCryptoTLSCredsEndpoint::Server).expect("added");

    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let monitor = format!("tcp:localhost:{port},tls-creds=tls0,reconnect-ms=1");
    let options = ["--object", &object("tls0", pki.path(), "client"), "-qmp", &monitor];
    let _daemon = Daemon::start(tempfile::tempdir().expect("a directory"), &options).expect("a daemon");
    let (socket, _) = listener.accept().expect("it connects");
    let mut session = credentials.accept().expect("a server's");
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\r\n") {
        let mut buffer = [0; 1024];
        match session.receive(socket.as_fd(), &mut buffer) {
            Ok(length) => greeting.extend_from_slice(&buffer[..length]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                support::await_readable("the greeting", &socket).expect("it comes");
            }
        }
    }
    assert!(greeting.starts_with(b"{\"QMP\""));
}
