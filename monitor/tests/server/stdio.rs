//! A client on stdin and stdout: the server is this test program, started again.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use monitor::{Server, Version};
use qapi_schema::{CommandOptions, CommandTable};

const SERVER: &str = "stdio::server";

/// Not a test of itself: the server that the tests below start.
#[test]
fn server() {
    if env::var_os("QMP_ON_STDIO").is_none() {
        return;
    }
    let mut server = Server::new(&Version::of_package("test")).expect("descriptors");
    server.stdio().expect("stdio");
    let handle = server.handle();
    let options = CommandOptions::default();
    let quit = qapi_schema::Command::new("quit", options, move |_| {
        handle.shutdown();
        Ok(qapi_schema::Command::empty())
    });
    server.run(Arc::new([quit].into_iter().collect::<CommandTable>())).expect("no error");
}

fn start(stdin: Stdio) -> std::process::Child {
    let mut program = Command::new(env::current_exe().expect("a path"));
    program.args(["--exact", SERVER, "--nocapture"]).env("QMP_ON_STDIO", "1");
    program.stdin(stdin).stdout(Stdio::piped()).spawn().expect("this program")
}

/// The lines of the protocol, among those of the test harness.
fn messages(output: impl std::io::Read) -> impl Iterator<Item = String> {
    BufReader::new(output).lines().map(|line| line.expect("text")).filter(|line| line.contains('{'))
}

const CONVERSATION: &str = "{'execute': 'qmp_capabilities'} {'execute': 'nonsense'} {'execute': 'quit'}";

/// Reads to the end: the harness writes after the server.
fn check(messages: impl Iterator<Item = String>) {
    let mut messages = messages.collect::<Vec<_>>().into_iter();
    let mut next = || messages.next().expect("a message");
    assert!(next().contains("\"QMP\""));
    assert!(next().ends_with(r#"{"return": {}}"#));
    assert!(next().contains("CommandNotFound"));
    assert!(next().ends_with(r#"{"return": {}}"#));
}

#[test]
fn a_client_may_be_on_pipes() {
    let mut child = start(Stdio::piped());
    child.stdin.take().expect("a pipe").write_all(CONVERSATION.as_bytes()).expect("it reads");
    check(messages(child.stdout.take().expect("a pipe")));
    assert!(child.wait().expect("a child").success());
}

#[test]
fn requests_may_be_in_a_file() {
    let mut file = tempfile::tempfile().expect("file");
    file.write_all(CONVERSATION.as_bytes()).expect("room");
    std::io::Seek::rewind(&mut file).expect("a file");
    let mut child = start(Stdio::from(file));
    check(messages(child.stdout.take().expect("a pipe")));
    assert!(child.wait().expect("a child").success());
}
