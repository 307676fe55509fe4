//! Arguments that make no sense: the command says which and why, and ends with status 1.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::daemon::{wait, whystop};

/// Runs the command in `directory`, which must be refused, and returns what it says.
fn refused(directory: &Path, arguments: &[impl AsRef<OsStr>]) -> String {
    let mut command = whystop();
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let status = wait(&mut child);
    // One that was not refused has not ended.
    let _ = child.kill();
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}\n{stderr}"));
    assert_eq!(status.code(), Some(1), "{command:?}\n{stderr}");
    stderr
}

/// Each of these command lines is refused with its line, in which `...` stands for any text.
pub(crate) fn each_is_refused(directory: &Path, cases: &[(&[&str], &str)]) {
    for (arguments, expected) in cases {
        let said = refused(directory, arguments);
        let line = said.strip_prefix("whystop: ").and_then(|said| said.strip_suffix('\n'));
        let line = line.unwrap_or_else(|| panic!("{arguments:?}: {said}"));
        assert!(is_like(line, expected), "{arguments:?}\n  - {expected}\n  + {line}");
    }
}

fn is_like(line: &str, expected: &str) -> bool {
    let Some((before, after)) = expected.split_once("...") else {
        return line == expected;
    };
    let rest = line.strip_prefix(before);
    rest.is_some_and(|rest| rest.char_indices().any(|(at, _)| is_like(&rest[at..], after)) || after.is_empty())
}

pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn an_option_that_does_not_exist_or_lacks_its_value_is_named() {
    each_is_refused(
        directory().path(),
        &[
            (&["--blokdev", "x"], "--blokdev: invalid option"),
            (&["-x"], "-x: invalid option"),
            (&["disk.img"], "unexpected argument 'disk.img'"),
            (&["--export"], "--export: option requires a value"),
            (&["-S=1"], "-S: option takes no value"),
            (&["-add-fd", "fd=99,set=1"], "--add-fd: fd 99 is not valid or already in use"),
            (&["-add-fd", "fd=0,set=1"], "--add-fd: fd cannot be a standard I/O stream"),
            (&["-add-fd", "fd=x,set=1"], "--add-fd: Invalid parameter type for 'fd', expected: integer"),
            (&["-add-fd", "set=1"], "--add-fd: Parameter 'fd' is missing"),
            (&["-add-fd", "fd=3"], "--add-fd: Parameter 'set' is missing"),
        ],
    );
    let not_text = OsStr::from_bytes(b"--pidfile=\xff");
    assert_eq!(refused(directory().path(), &[not_text]), "whystop: '--pidfile=\u{fffd}' is not valid UTF-8\n");
}

#[test]
fn what_qtest_can_not_do_is_named() {
    each_is_refused(
        directory().path(),
        &[
            (&["-accel", "kvm"], "--accel: invalid accelerator kvm: there is no processor, only 'qtest' is known"),
            (&["-accel", "qtest,thread=single"], "--accel: Parameter 'thread' is unexpected"),
            (&["-qtest-log", "none"], "--qtest-log: there is no --qtest"),
            (&["-qtest", "unix:nowhere"], "--qtest: Failed to connect to nowhere: No such file or directory"),
            (&["-qtest", "pty"], "--qtest: 'pty' is not a valid char driver"),
            (&["-qtest", "chardev:c"], "--qtest: chardev 'c' not found, or in use already"),
            (&["-qtest", "unix:q,reconnect-ms=1"], "--qtest: connecting again is not possible for qtest..."),
            (&["-qtest", "unix:q,server=on", "-qtest", "stdio"], "--qtest stdio: there is one client of qtest"),
            (
                &["-qtest", "unix:q,server=on", "-qtest-log", "no/log"],
                "--qtest-log: cannot create 'no/log': No such file or directory",
            ),
        ],
    );
}

#[test]
fn a_value_that_is_malformed_is_quoted() {
    each_is_refused(
        directory().path(),
        &[
            (&["-uuid", "550e8400"], "--uuid: '550e8400' is not a UUID"),
            (&["-name", "a,process=b"], "--name: Parameter 'process' is unexpected"),
            (
                &["--monitor", "c,max-clients=0"],
                "--monitor: Parameter 'max-clients' expects an integer from 1 to 1000000",
            ),
            (&["--blockdev", "file,node-name"], "--blockdev: Expected '=' after parameter 'node-name'"),
            (&["--blockdev", "file,=x"], "--blockdev: Invalid parameter ''"),
            (&["--blockdev", "null-co,a.b=1,a=2"], "--blockdev: Parameters 'a.*' used inconsistently"),
            (&["--blockdev", "{\"driver\": "], "--blockdev: JSON parse error, premature end of input"),
            (&["--blockdev", "{} {}"], "--blockdev: Expecting at most one JSON value"),
            (&["-drive", "file=a,format=raw"], "--drive: Parameter 'if' is missing: only if=none is supported"),
            (&["-drive", "if=none,file=a"], "--drive: Parameter 'format' is missing: ..."),
            (&["-drive", "if=none,file=none,format=raw"], "--drive: Could not open 'none': No such file or directory"),
            (&["-drive", "if=none,id=0,file=null-co://,format=raw"], "--drive: Parameter 'id' expects an identifier"),
            (
                &["-drive", "if=none,id=d", "-drive", "if=none,id=d"],
                "--drive if=none,id=d: Device with id 'd' already exists",
            ),
            (&["--chardev", "pty,id=c"], "--chardev: 'pty' is not a valid char driver name"),
            (&["--chardev", "socket,path=q"], "--chardev: Parameter 'id' is missing"),
            (
                &["--chardev", "socket,id=c,path=q,server=perhaps"],
                "--chardev: Parameter 'server' expects 'on' or 'off'",
            ),
            (&["-qmp", "carrier-pigeon:x"], "--qmp: 'carrier-pigeon:x' is not a valid char driver"),
            (&["-qmp-pretty", "carrier-pigeon:x"], "--qmp-pretty: 'carrier-pigeon:x' is not a valid char driver"),
            (&["-qmp", "tcp:127.0.0.1:99999,server=on"], "--qmp: address resolution failed for ...99999: ..."),
            (&["-T", "block=loud"], "-T: 'block=loud': ..."),
            (&["-action", "panic"], "--action: Expected '=' after parameter 'panic'"),
            (&["-action", "panic=faint"], "--action: Parameter 'panic' does not accept value 'faint'"),
            (&["-action", "panic=none,debugger=pause"], "--action: Parameter 'debugger' is unexpected"),
            (&["-watchdog-action", "none,panic=none"], "--watchdog-action: ...'none,panic=none'..."),
            (&["-no-reboot=on"], "--no-reboot: option takes no value"),
        ],
    );
}

#[test]
fn a_socket_that_makes_no_sense_is_refused_by_its_key() {
    let chardev = |options: &str, expected: &str| {
        let socket = format!("socket,id=c,{options},server=on,wait=off");
        each_is_refused(directory().path(), &[(&["--chardev", &socket], &format!("--chardev: {expected}"))]);
    };
    chardev("path=q,mode=rw", "Parameter 'mode' expects an octal file mode from 0 to 0777, such as 0660");
    chardev("path=q,group=no-such-group", "Parameter 'group': there is no group 'no-such-group'");
    chardev("path=q,allow-uid=no-such-user", "Parameter 'allow-uid': there is no user 'no-such-user'");
    chardev(
        "path=q,allow-gid.0=0,allow-gid.1=nobody-at-all",
        "Parameter 'allow-gid': there is no group 'nobody-at-all'",
    );
    chardev("host=localhost,port=1,allow-uid=0", "Parameter 'allow-uid' is for unix sockets");
    chardev("path=q,abstract=on,mode=0600", "Parameter 'mode' is for sockets with a file; ...");
    chardev("host=localhost,port=1,ipv4=off,ipv6=off", "Parameters 'ipv4' and 'ipv6' are both off");
    chardev("host=localhost,port=7,to=6", "Parameter 'to' is below the port 7");
    chardev("host=localhost,port=7,websocket=on", "Parameter 'websocket' is unexpected");
    let monitor = |options: &str, expected: &str| {
        let expected = format!("--qmp: {expected}");
        each_is_refused(directory().path(), &[(&["-qmp", options], expected.as_str())]);
    };
    monitor("tcp:0.0.0.0:0,server=on,wait=off", "TCP at 0.0.0.0:0 is refused: ...");
    monitor("tcp:127.0.0.1:1,keep-alive=off,server=on", "...keep-alive=off is for sockets that connect");
    monitor("tcp:127.0.0.1:1,to=3", "'to' is for sockets that listen");
    monitor("unix:,server=on", "the path of a unix socket is empty");
    let nbd = |options: &str, expected: &str| {
        let expected = format!("--nbd-server: {expected}");
        each_is_refused(directory().path(), &[(&["--nbd-server", options], expected.as_str())]);
    };
    nbd("addr.type=inet,addr.host=,addr.port=0", "TCP at :0 is refused: ...");
    nbd("addr.type=unix,addr.path=n,mode=9", "Parameter 'mode' expects an octal file mode ...");
    nbd("addr.type=fd,addr.str=nbd", "there is no socket 'nbd': LISTEN_FDS is not set");
    nbd("addr.type=fd,addr.str=0", "File descriptor '0' is not a socket");
    nbd("addr.type=vsock,addr.cid=1,addr.port=1", "Parameter 'addr.type' does not accept value 'vsock'");
}

#[test]
#[cfg(feature = "tls")]
fn credentials_that_can_t_be_used_are_named() {
    use crate::support::certificates::{self, object};

    let pki = certificates::directory();
    let path = |name: &str| pki.path().join(name);
    let server = object("tls0", pki.path(), "server");
    let object_says = |options: &str, expected: &str| {
        each_is_refused(directory().path(), &[(&["--object", options], &format!("--object: {expected}"))]);
    };
    object_says("secret,id=s", "Parameter 'qom-type' does not accept value 'secret'");
    object_says("tls-creds-x509,id=tls0,endpoint=server", "Parameter 'dir' is missing");
    object_says("tls-creds-x509,id=0,dir=/", "Parameter 'id' expects an identifier: ...");
    object_says("tls-creds-x509,id=tls0,dir=/,priority=NORMAL", "Parameter 'priority' is unexpected");
    object_says(
        "tls-creds-x509,id=tls0,dir=/nowhere",
        "cannot use TLS credentials '/nowhere/ca-cert.pem': No such file or directory",
    );
    object_says(&format!("{},verify-peer=off", object("tls0", pki.path(), "client")), "'verify-peer=off' is for ...");
    let said = |options: &[&str], expected: &str| each_is_refused(directory().path(), &[(options, expected)]);
    said(&["--object", &server, "--object", &server], "--object ...: Duplicate object 'tls0'");
    said(&["-qmp", "unix:q,server=on,tls-creds=tls0"], "--qmp: No TLS credentials with id 'tls0'");
    let nbd = "addr.type=unix,addr.path=n,tls-creds=tls0";
    let client = object("tls0", pki.path(), "client");
    said(&["--object", &client, "--nbd-server", nbd], "--nbd-server: ...create them with endpoint=server");
    said(&["--object", &client, "-qmp", "unix:q,tls-creds=tls0,reconnect-ms=1"], "--qmp: TLS takes a host name ...");

    fs::copy(path("client-key.pem"), path("server-key.pem")).expect("copied");
    object_says(&server, "cannot use TLS credentials '.../server-cert.pem': ...");
    fs::write(path("server-key.pem"), "no key").expect("written");
    object_says(&server, "cannot use TLS credentials '.../server-key.pem': no private key in it, or an encrypted one");
    fs::write(path("ca-cert.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    object_says(&server, "cannot use TLS credentials '.../ca-cert.pem': ...");
}

#[test]
#[cfg(not(feature = "tls"))]
fn a_build_without_tls_says_so() {
    let options = ["--object", "tls-creds-x509,id=tls0,dir=/,endpoint=server"];
    let said = "--object: TLS is not supported: this build lacks the feature 'tls'";
    each_is_refused(directory().path(), &[(&options, said)]);
}

#[test]
fn a_value_that_the_schema_refuses_is_named_by_its_path() {
    each_is_refused(
        directory().path(),
        &[
            (&["--blockdev", "node-name=a"], "--blockdev: Parameter 'driver' is missing"),
            (&["--blockdev", "null-co"], "--blockdev: 'node-name' must be specified for the root node"),
            (&["--blockdev", "qcow2,node-name=a"], "--blockdev: Parameter 'driver' does not accept value 'qcow2'"),
            (&["--blockdev", "null-co,node-name=a,filename=x"], "--blockdev: Parameter 'filename' is unexpected"),
            (&["--blockdev", "file,node-name=a"], "--blockdev: Parameter 'filename' is missing"),
            (
                &["--blockdev", "blkdebug,node-name=a,align=3,image.driver=null-co"],
                "--blockdev: Cannot meet constraints with align 3",
            ),
            (
                &["--blockdev", "blkdebug,node-name=a,take-child-perms.0=write,image.driver=null-co"],
                "--blockdev: Parameter 'take-child-perms' is unexpected",
            ),
            (
                &["--blockdev", "blkdebug,node-name=a,config=/dev/null/x,image.driver=null-co"],
                "--blockdev: Could not read blkdebug config file '/dev/null/x': Not a directory",
            ),
            (&["--blockdev", "raw,node-name=a,file.driver=file"], "--blockdev: Parameter 'file.filename' is missing"),
            (&["--export", "nbd,id=e"], "--export: Parameter 'node-name' is missing"),
            (
                &["--export", "nbd,id=e,node-name=a,werror=panic"],
                "--export: Parameter 'werror' does not accept value 'panic'",
            ),
            (&["--nbd-server", "addr.type=unix"], "--nbd-server: Parameter 'addr.path' is missing"),
        ],
    );
}

#[test]
fn a_size_that_no_disk_has_is_refused() {
    each_is_refused(
        directory().path(),
        &[
            (
                &["--blockdev", "null-co,node-name=a,size=-1"],
                "--blockdev: Value '-1' is out of range for parameter 'size'",
            ),
            (
                &["--blockdev", "null-co,node-name=a,size=99999999999999999999"],
                "--blockdev: Parameter 'size' expects an integer from ...",
            ),
            (
                &["--blockdev", "null-co,node-name=a,size=large"],
                "--blockdev: Invalid parameter type for 'size', expected: integer",
            ),
            (
                &["--blockdev", "quota,node-name=a,limit=-1,file.driver=null-co"],
                "--blockdev: Parameter 'limit' expects ...",
            ),
            (
                &["--blockdev", "raw,node-name=a,offset=-512,file.driver=null-co"],
                "--blockdev: Value '-512' is out of range for parameter 'offset'",
            ),
            (
                &["--blockdev", "raw,node-name=a,size=2048,file.driver=null-co,file.size=1024"],
                "--blockdev: ...size (2048)...actual size of the containing file (1024)",
            ),
        ],
    );
}

#[test]
fn a_file_that_is_not_there_or_no_image_is_named() {
    let directory = directory();
    fs::create_dir(directory.path().join("folder")).expect("a new directory");
    each_is_refused(
        directory.path(),
        &[
            (
                &["--blockdev", "file,node-name=a,filename=missing.img"],
                "--blockdev: Could not open 'missing.img': No such file or directory",
            ),
            (
                &["--blockdev", "file,node-name=a,filename=folder"],
                "--blockdev: Could not open 'folder': Is a directory",
            ),
            (
                &["--blockdev", "file,node-name=a,filename=/dev/null"],
                "--blockdev: 'file' driver requires '/dev/null' to be a regular file",
            ),
            (
                &["--blockdev", "host_device,node-name=a,filename=folder"],
                "--blockdev: 'host_device' driver requires 'folder' to be either a character or block device",
            ),
            (&["--pidfile", "folder"], "--pidfile: ...'folder': Is a directory..."),
            (&["--pidfile", "missing/pid"], "--pidfile: ...'missing/pid': No such file or directory..."),
            (
                &["--chardev", "socket,id=c,path=missing/q,server=on,wait=off", "--monitor", "c"],
                "--monitor: ...missing/q...No such file or directory...",
            ),
            (
                &["--nbd-server", "addr.type=unix,addr.path=missing/n"],
                "--nbd-server: ...missing/n...No such file or directory...",
            ),
        ],
    );
}

/// Nothing can be created in /proc, by nobody: a read-only directory for root, too.
#[test]
fn a_directory_that_can_t_be_written_is_named() {
    each_is_refused(
        directory().path(),
        &[
            (&["--pidfile", "/proc/pid"], "--pidfile: ...'/proc/pid': ..."),
            (&["-qmp", "unix:/proc/q,server=on,wait=off"], "--qmp: .../proc/q: ..."),
            (&["--nbd-server", "addr.type=unix,addr.path=/proc/n"], "--nbd-server: .../proc/n..."),
        ],
    );
}

#[test]
fn what_refers_to_nothing_or_comes_twice_is_named() {
    let node = ["--blockdev", "null-co,node-name=a,read-only=on"];
    let server = ["--nbd-server", "addr.type=unix,addr.path=n"];
    each_is_refused(
        directory().path(),
        &[
            (&["--monitor", "nonsense"], "--monitor: chardev 'nonsense' not found..."),
            (&["-mon", "nonsense"], "--mon: chardev 'nonsense' not found..."),
            (
                &[
                    &["--chardev", "socket,id=a,path=a,server=on,wait=off", "--mon", "a,id=m"][..],
                    &["--chardev", "socket,id=b,path=b,server=on,wait=off", "--mon", "b,id=m"],
                ]
                .concat(),
                "--mon b,id=m: Duplicate ID 'm' for monitor",
            ),
            (&["--chardev", "stdio,id=c", "--chardev", "stdio,id=c"], "--chardev stdio,id=c: Duplicate chardev 'c'"),
            (&["--blockdev", "raw,node-name=a,file=b"], "--blockdev: Cannot find device='b' nor node-name='b'"),
            (&[node, node].concat(), "--blockdev null-co,...: Duplicate nodes with node-name='a'"),
            (&[server, server].concat(), "--nbd-server addr...: NBD server already running"),
            (&[&node[..], &["--export", "nbd,id=e,node-name=a"]].concat(), "--export: NBD server not running"),
            (
                &[&server[..], &["--export", "nbd,id=e,node-name=b"]].concat(),
                "--export: Cannot find device='' nor node-name='b'",
            ),
            (
                &[&server[..], &node, &["--export", "nbd,id=e,node-name=a,writable=on"]].concat(),
                "--export: Cannot export read-only node as writable",
            ),
        ],
    );
}

#[test]
fn a_refused_command_leaves_nothing_behind() {
    let directory = directory();
    refused(directory.path(), &["--pidfile", "pid", "-qmp", "unix:q,server=on,wait=off", "--blockdev", "nonsense"]);
    let left: Vec<_> = fs::read_dir(directory.path()).expect("readable").collect();
    assert!(left.is_empty(), "{left:?}");
}
