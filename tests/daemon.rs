//! The life of the process: how it starts, where it listens, how it ends.

#![allow(clippy::expect_used)]

mod support;

use std::fs::{self, Permissions};
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::await_readable;
use support::daemon::{Daemon, wait, wait_for_end, whystop};
use support::qmp::{NoMessage, QmpClient};
use tempfile::TempDir;

const RUNNING: &str = r#"{"running":true,"status":"running"}"#;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn start(options: &[&str]) -> Daemon {
    Daemon::start(directory(), options).expect("a daemon")
}

/// A daemon whose only monitor is the one that `options` ask for.
fn start_with_monitor(directory: &Path, options: &[&str]) -> Child {
    let mut command = whystop();
    command.args(options).current_dir(directory).stdin(Stdio::null());
    command.spawn().expect("it starts")
}

/// Negotiates, looks around and says quit.
fn use_and_quit(client: QmpClient) {
    let mut client = client.negotiate().expect("a monitor");
    assert_eq!(client.execute("query-status", Value::Null).expect("an answer").to_string(), RUNNING);
    client.execute("quit", Value::Null).expect("an answer");
    assert_eq!(client.event("SHUTDOWN"), Ok(json!({"guest": false, "reason": "host-qmp-quit"})));
    assert_eq!(client.receive(), Err(NoMessage::Closed));
}

#[test]
fn in_the_background_it_listens_before_the_command_returns_and_its_pidfile_goes_with_it() {
    let directory = directory();
    let mut command = whystop();
    command.args(["--daemonize", "--pidfile", "pid", "-qmp", "unix:q,server=on,wait=off"]);
    let status = command.current_dir(directory.path()).stdin(Stdio::null()).status().expect("it starts");
    assert!(status.success());

    // No second try.
    let client = QmpClient::open(&directory.path().join("q")).expect("it listens");
    let pid = fs::read_to_string(directory.path().join("pid")).expect("a pidfile");
    let pid = pid.trim_end().parse().ok().and_then(Pid::from_raw).expect("a process id");
    use_and_quit(client);
    wait_for_end(pid).expect("an end");
    let left: Vec<_> = fs::read_dir(directory.path()).expect("readable").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Who reads what the command says until its end would wait for the end of the daemon.
#[test]
fn in_the_background_nothing_of_the_command_s_output_is_kept_open() {
    let directory = directory();
    let mut command = whystop();
    command.args(["--daemonize", "-qmp", "unix:q,server=on,wait=off", "-qtest", "unix:t,server=on,wait=off"]);
    let [(stdout, of_stdout), (stderr, of_stderr)] = [(); 2].map(|()| std::io::pipe().expect("a pipe"));
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(of_stdout).stderr(of_stderr);
    assert!(command.status().expect("it starts").success());
    drop(command);
    for mut output in [stdout, stderr] {
        let mut said = String::new();
        await_readable("the end of an output", &output).expect("nobody holds it");
        output.read_to_string(&mut said).expect("UTF-8");
        assert_eq!(said, "");
    }
    use_and_quit(QmpClient::open(&directory.path().join("q")).expect("it listens"));
}

#[test]
fn with_wait_on_nothing_starts_before_a_client_is_there() {
    let directory = directory();
    let options = ["-qmp", "unix:q,server=on", "-qmp", "unix:r,server=on,wait=off"];
    let mut child = start_with_monitor(directory.path(), &options);
    let client = loop {
        match QmpClient::open(&directory.path().join("q")) {
            Ok(client) => break client,
            Err(_) => assert!(child.try_wait().expect("a child").is_none(), "it has ended"),
        }
    };
    use_and_quit(client);
    assert!(wait(&mut child).expect("an end").success());
}

#[test]
fn in_the_background_an_error_is_that_of_the_command() {
    let output = whystop().args(["--daemonize", "--blockdev", "nonsense,node-name=a"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(stderr, "whystop: --blockdev: Parameter 'driver' does not accept value 'nonsense'\n");
}

#[test]
fn a_pidfile_of_a_process_that_lives_is_refused_and_left_alone() {
    let mut daemon = start(&["--pidfile", "pid"]);
    let path = daemon.directory().join("pid");
    let pid = fs::read_to_string(&path).expect("a pidfile");
    let output = whystop().args(["--pidfile".as_ref(), path.as_os_str()]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(stderr.starts_with("whystop: --pidfile: ") && stderr.contains(&path.display().to_string()), "{stderr}");
    assert_eq!(fs::read_to_string(&path).expect("still there"), pid);
    daemon.terminate();
    daemon.wait().expect("a clean end");
    assert!(!path.exists());
}

#[test]
fn a_signal_ends_it_with_shutdown() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = start(&[]);
        let mut client = QmpClient::connect(&daemon.qmp_socket()).expect("a client");
        kill_process(daemon.pid(), signal).expect("it is alive");
        assert_eq!(client.event("SHUTDOWN"), Ok(json!({"guest": false, "reason": "host-signal"})));
        assert_eq!(client.receive(), Err(NoMessage::Closed));
        daemon.wait().expect("a clean end");
        assert!(!daemon.qmp_socket().exists() && !daemon.nbd_socket().exists(), "sockets are left behind");
    }
}

#[test]
fn its_sockets_are_for_its_user_only() {
    let daemon = start(&[]);
    for socket in [daemon.qmp_socket(), daemon.nbd_socket()] {
        let mode = fs::metadata(&socket).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", socket.display());
    }
}

#[test]
fn a_monitor_can_be_on_standard_input_and_output() {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    let output = theirs.try_clone().expect("a copy");
    let mut command = whystop();
    command.args(["-qmp", "stdio"]).stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(output));
    let mut child = command.spawn().expect("it starts");
    drop(command);
    use_and_quit(QmpClient::over(ours).expect("a socket"));
    assert!(wait(&mut child).expect("an end").success());
}

#[test]
fn a_monitor_for_people_indents_what_it_says() {
    let daemon = start(&["-qmp-pretty", "unix:pretty,server=on,wait=off"]);
    let mut stream = UnixStream::connect(daemon.directory().join("pretty")).expect("it listens");
    stream.set_read_timeout(Some(support::DEADLINE)).expect("a timeout");
    let mut greeting = [0; 17];
    stream.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(str::from_utf8(&greeting), Ok("{\r\n    \"QMP\": {\r\n"));
}

#[test]
fn a_monitor_can_connect_over_tcp() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let directory = directory();
    let mut child = start_with_monitor(directory.path(), &["-qmp", &format!("tcp:127.0.0.1:{port}")]);
    await_readable("a connection", &listener).expect("it connects");
    let (stream, _) = listener.accept().expect("a connection");
    use_and_quit(QmpClient::over(stream).expect("a socket"));
    assert!(wait(&mut child).expect("an end").success());
}

#[test]
fn a_monitor_that_connects_comes_again_after_it_was_left() {
    let directory = directory();
    let listener = UnixListener::bind(directory.path().join("q")).expect("a socket");
    let options = ["--chardev", "socket,id=c,path=q,reconnect-ms=1", "--mon", "chardev=c,mode=control"];
    let mut child = start_with_monitor(directory.path(), &options);
    for _ in 0..3 {
        let (stream, _) = listener.accept().expect("it connects");
        QmpClient::over(stream)
            .and_then(|client| client.negotiate().map_err(std::io::Error::other))
            .expect("a monitor");
    }
    let (stream, _) = listener.accept().expect("it connects");
    use_and_quit(QmpClient::over(stream).expect("a socket"));
    assert!(wait(&mut child).expect("an end").success());
}

/// As a service manager reads it, on a socket with a file and on one without.
#[test]
fn a_service_manager_is_told_of_the_start_and_the_end() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let directory = directory();
    let hidden = format!("whystop-notify-{}", std::process::id());
    let path = directory.path().join("notify");
    let managers = [
        (format!("@{hidden}"), SocketAddr::from_abstract_name(&hidden).expect("an address")),
        (path.display().to_string(), SocketAddr::from_pathname(&path).expect("an address")),
    ];
    for (name, address) in managers {
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        manager.set_read_timeout(Some(support::DEADLINE)).expect("a timeout");
        let mut command = whystop();
        command.args(["-qmp", "unix:q,server=on,wait=off"]).env("NOTIFY_SOCKET", name);
        let mut child = command.current_dir(directory.path()).stdin(Stdio::null()).spawn().expect("it starts");
        let told = || {
            let mut buffer = [0; 64];
            let length = manager.recv(&mut buffer).expect("it tells");
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        assert_eq!(told(), "READY=1\n");
        // No second try.
        use_and_quit(QmpClient::open(&directory.path().join("q")).expect("it listens"));
        assert_eq!(told(), "STOPPING=1\n");
        assert!(wait(&mut child).expect("an end").success());
    }
}

/// What a service manager does: the sockets come first, as descriptors from 3 on, and the process id is that of the daemon.
#[test]
fn sockets_that_a_service_manager_created_are_served() {
    let directory = directory();
    let qmp = UnixListener::bind(directory.path().join("q")).expect("a socket");
    let nbd = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let nbd_address = nbd.local_addr().expect("bound");
    // Connected before there is a daemon.
    let early = QmpClient::open(&directory.path().join("q")).expect("it listens");
    let mut command = std::process::Command::new("sh");
    // The shell puts the descriptors in their places: its own input and output are the only ones that survive.
    command
        .args(["-c", "exec 3<&0 4<&1 </dev/null >&2; export LISTEN_PID=$$; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_whystop"))
        .args(["--chardev", "socket,id=c,fd=qmp,server=on,wait=off", "--monitor", "c"])
        .args(["--nbd-server", "addr.type=fd,addr.str=nbd"])
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "qmp:nbd")
        .stdin(OwnedFd::from(qmp))
        .stdout(OwnedFd::from(nbd));
    let mut child = command.spawn().expect("it starts");
    drop(command);
    let mut client = early.negotiate().expect("a monitor");
    let greets = || {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(nbd_address).expect("it listens");
        let mut greeting = [0; 8];
        stream.read_exact(&mut greeting).expect("a greeting");
        assert_eq!(&greeting, b"NBDMAGIC");
    };
    greets();
    client.execute("nbd-server-stop", Value::Null).expect("it runs");
    let again = json!({"addr": {"type": "fd", "data": {"str": "nbd"}}});
    client.execute("nbd-server-start", again).expect("it is still there");
    greets();
    client.execute("quit", Value::Null).expect("an answer");
    assert!(wait(&mut child).expect("an end").success());
    assert!(directory.path().join("q").exists(), "the socket is not the daemon's to remove");
}

#[test]
fn a_user_who_is_not_allowed_is_shown_the_door_and_named_in_the_log() {
    let daemon = start(&["-qmp", "unix:guarded,server=on,wait=off,mode=0666,allow-uid.0=65533,allow-uid.1=65534"]);
    let path = daemon.directory().join("guarded");
    assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o666);
    let mut client = QmpClient::open(&path).expect("it listens");
    assert_eq!(client.receive(), Err(NoMessage::Closed));
    let told = daemon.stderr();
    assert!(told.contains("client refused") && told.contains(&format!("pid={}", std::process::id())), "{told}");
    let mut allowed = QmpClient::connect(&daemon.qmp_socket()).expect("another socket");
    allowed.execute("query-status", Value::Null).expect("an answer");
}

/// What the command prints, which must be all that it does.
/// The shell opens the image for the daemon, and removes its name before the daemon starts.
#[test]
fn an_image_is_taken_from_a_descriptor_that_it_was_started_with() {
    let directory = directory();
    fs::write(directory.path().join("a"), vec![0x5a; 65536]).expect("writable");
    let binary = whystop();
    let script = format!(
        "exec 7<>a; rm a; exec {} -add-fd fd=7,set=2,opaque=rw:a --blockdev file,node-name=a,filename=/dev/fdset/2 \
         -qmp stdio",
        binary.get_program().display()
    );
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    let theirs = OwnedFd::from(theirs);
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory.path())
        .stdin(theirs.try_clone().expect("descriptor"))
        .stdout(theirs)
        .spawn()
        .expect("a shell");
    let mut client = QmpClient::over(ours).expect("timeouts").negotiate().expect("a daemon");
    let sets = client.execute("query-fdsets", Value::Null).expect("sets");
    assert_eq!(sets[0]["fdset-id"], 2);
    assert_eq!(sets[0]["fds"][0]["opaque"], "rw:a");
    let nodes = client.execute("query-named-block-nodes", Value::Null).expect("nodes");
    assert_eq!((&nodes[0]["file"], &nodes[0]["image"]["virtual-size"]), (&json!("/dev/fdset/2"), &json!(65536)));
    let open = || {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", child.id())).expect("readable");
        let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().ends_with("/a (deleted)")).count()
    };
    assert!(open() > 0);
    client.execute("blockdev-del", json!({"node-name": "a"})).expect("unused");
    client.execute("remove-fd", json!({"fdset-id": 2})).expect("there");
    assert_eq!(open(), 0, "the number that it was started with was not given up");
    client.execute("quit", Value::Null).expect("an answer");
    assert!(wait(&mut child).expect("it ends").success());
}

/// The client opens the socket, and the daemon serves on it.
#[test]
fn the_nbd_server_listens_on_a_socket_that_a_client_hands_over() {
    let daemon = start(&["--blockdev", "null-co,node-name=a,size=65536"]);
    let path = daemon.directory().join("ours.sock");
    let socket = UnixListener::bind(&path).expect("a socket");
    let mut client = QmpClient::connect(&daemon.qmp_socket()).expect("a monitor");
    client.execute("nbd-server-stop", Value::Null).expect("it runs");
    let on = |name: &str| json!({"addr": {"type": "fd", "data": {"str": name}}});
    let refused = client.execute("nbd-server-start", on("s")).expect_err("not handed over");
    assert_eq!(refused, "File descriptor named 's' has not been found");

    let getfd = br#"{"execute": "getfd", "arguments": {"fdname": "s"}}"#;
    client.send_with(getfd, fs::File::open("/dev/null").expect("there")).expect("room");
    client.receive().expect("kept");
    let refused = client.execute("nbd-server-start", on("s")).expect_err("no socket");
    assert!(refused.contains("is not a stream socket"), "{refused}");

    client.send_with(getfd, &socket).expect("room");
    client.receive().expect("kept");
    let mut other = QmpClient::connect(&daemon.qmp_socket()).expect("a monitor");
    other.execute("nbd-server-start", on("s")).expect_err("it is the other's");
    client.execute("nbd-server-start", on("s")).expect("a socket");
    client.execute("block-export-add", json!({"type": "nbd", "id": "e", "node-name": "a"})).expect("a server");
    let mut guest = support::guest::Guest::connect(&path, "a").expect("served");
    guest.start(&block::request::Operation::Read { offset: 0, length: 512 }).expect("sent");
    assert_eq!(guest.answer().expect("answered").expect("read").len(), 512);
    drop(guest);
    client.execute("nbd-server-stop", Value::Null).expect("it runs");
    assert!(path.exists(), "its name is not the daemon's to remove");
}

fn printed(arguments: &[&str]) -> String {
    let output = whystop().args(arguments).stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn help_and_version_are_printed_and_nothing_is_started() {
    let help = printed(&["--help"]);
    assert_eq!(printed(&["-h"]), help);
    for option in ["--blockdev", "--chardev", "--monitor", "--qmp", "--nbd-server", "--export", "-S", "--daemonize"] {
        assert!(help.contains(&format!("  {option}")), "{option}\n{help}");
    }
    assert!(printed(&["--version"]).starts_with("whystop "));
    let kinds = [("--blockdev", "quota"), ("--export", "nbd"), ("--chardev", "socket"), ("--mon", "readline")];
    for (option, kind) in kinds {
        assert!(printed(&[option, "help"]).lines().any(|line| line.trim() == kind), "{option}");
    }
}

/// What a guest was told is safe, is: the process may die at once, and a new one finds it.
#[test]
fn what_was_flushed_survives_the_death_of_the_process() {
    use block::request::Operation;
    use support::guest::Guest;

    let directory = directory();
    let image = directory.path().join("disk.img");
    fs::write(&image, [0; 65536]).expect("an image");
    fs::set_permissions(&image, Permissions::from_mode(0o600)).expect("ours");
    let node = format!("file,node-name=disk,filename={}", image.display());
    let daemon = start(&["--blockdev", &node, "--export", "nbd,id=disk,node-name=disk,writable=on"]);
    let mut guest = Guest::connect(&daemon.nbd_socket(), "disk").expect("a guest");
    guest.start(&Operation::Write { offset: 4096, data: vec![0x5a; 4096], fua: false }).expect("it is taken");
    guest.answer().expect("an answer").expect("success");
    guest.start(&Operation::Flush).expect("it is taken");
    guest.answer().expect("an answer").expect("success");
    drop(daemon);

    let content = fs::read(&image).expect("an image");
    assert_eq!((&content[..4096], &content[4096..8192]), (&[0; 4096][..], &[0x5a; 4096][..]));
}
