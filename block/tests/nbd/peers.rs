//! Real clients: those of QEMU, where they are installed.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use block::nbd::ExportOptions;

use crate::disk::{Asked, Memory};
use crate::machine::Machine;
use crate::server::{TestServer, writable};

const MIB: usize = 1 << 20;

/// Runs a peer; `None` if it is not installed and may be missing.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if env::var_os("WHYSTOP_REQUIRE_PEERS").is_some_and(|value| value == "1") => {
            panic!("{program}: {error}")
        }
        Err(_) => {
            println!("skipped: needs {program}");
            None
        }
    }
}

/// The same, for a peer that must be content.
fn succeed(program: &str, arguments: &[&str]) -> Option<String> {
    let output = run(program, arguments)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}{complained}");
    Some(said)
}

fn uri(server: &TestServer, export: &str) -> String {
    format!("nbd+unix:///{export}?socket={}", server.path().display())
}

fn image(path: &Path, size: usize) -> Vec<u8> {
    let content: Vec<u8> = (0..size as u64 / 8).flat_map(|at| (at * at).to_le_bytes()).collect();
    fs::write(path, &content).expect("written");
    content
}

#[test]
fn qemu_img_copies_an_image_in_and_finds_it_identical() {
    let disk = Memory::new(8 * MIB);
    let server = TestServer::serving(&disk);
    let path = server.path().with_file_name("image");
    let content = image(&path, 8 * MIB);
    let (path, uri) = (path.display().to_string(), uri(&server, "disk"));
    let convert = ["convert", "-n", "-f", "raw", "-O", "raw", &path, &uri];
    if succeed("qemu-img", &convert).is_none() {
        return;
    }
    assert!(disk.content() == content);
    succeed("qemu-img", &["compare", "-f", "raw", "-F", "raw", &path, &uri]);
    // With requests in flight that overtake each other.
    succeed("qemu-img", &["bench", "-w", "-f", "raw", "-c", "2000", "-d", "64", "-s", "4096", &uri]);
}

#[test]
fn qemu_img_fills_a_disk_that_is_too_small_and_never_sees_an_error() {
    let size = 8 * MIB;
    let machine = Machine::with_thin_disk(size as u64, MIB as u64);
    let source = machine.path("source");
    let content = image(&source, size);
    let uri = format!("nbd+unix:///disk?socket={}", machine.path("nbd.sock").display());
    let convert = ["convert", "-n", "-f", "raw", "-O", "raw", &source.display().to_string(), &uri];
    let found = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let _exited = Exited(&machine);
            succeed("qemu-img", &convert).is_some()
        });
        let stops = machine.extend_until("EXITED", MIB as u64);
        let found = client.join().expect("is content");
        assert!(stops >= 7 || !found, "{stops} stops");
        found
    });
    assert!(!found || fs::read(machine.path("image")).expect("read") == content);
}

/// Tells the others that a client has exited, however it did.
struct Exited<'a>(&'a Machine);

impl Drop for Exited<'_> {
    fn drop(&mut self) {
        self.0.events.note("EXITED");
    }
}

#[test]
fn qemu_io_uses_every_command() {
    let disk = Memory::new(MIB);
    let server = TestServer::serving(&disk);
    let uri = uri(&server, "disk");
    let commands = [
        "write -P 0x5a 4k 64k",
        "write -f -P 0x5b 8k 4k",
        "read -P 0x5b 8k 4k",
        "write -z 16k 4k",
        "write -z -u 20k 4k",
        "discard 32k 4k",
        "flush",
    ];
    let arguments: Vec<_> =
        ["-t", "writeback", "-f", "raw", &uri].into_iter().chain(commands.iter().flat_map(|c| ["-c", c])).collect();
    let Some(said) = succeed("qemu-io", &arguments) else {
        return;
    };
    assert!(!said.contains("failed"), "{said}");
    let asked = disk.asked();
    for expected in [
        Asked::Write { fua: false },
        Asked::Write { fua: true },
        Asked::Read,
        Asked::WriteZeroes { fua: false, unmap: false },
        Asked::WriteZeroes { fua: false, unmap: true },
        Asked::Discard,
        Asked::Flush,
    ] {
        assert!(asked.contains(&expected), "{expected:?} is not among {asked:?}");
    }
    let content = disk.content();
    assert!(content[4 << 10..8 << 10].iter().all(|byte| *byte == 0x5a));
    assert!(content[16 << 10..24 << 10].iter().all(|byte| *byte == 0));
}

#[test]
fn qemu_io_opens_a_read_only_export_only_for_reading() {
    let server = TestServer::new();
    server.offer_as(ExportOptions { writable: false, ..writable("disk") }, &Memory::new(MIB));
    let uri = uri(&server, "disk");
    let Some(output) = run("qemu-io", &["-f", "raw", "-c", "write 0 4k", &uri]) else {
        return;
    };
    assert!(!output.status.success());
    let said = succeed("qemu-io", &["-r", "-f", "raw", "-c", "read -P 0 0 4k", &uri]);
    assert!(said.is_some_and(|said| !said.contains("failed")));
}

#[test]
fn qemu_nbd_lists_the_exports() {
    let server = TestServer::serving(&Memory::new(MIB));
    let described = ExportOptions { description: Some("a thin disk".into()), ..writable("thin") };
    server.offer_as(described, &Memory::new(2 * MIB));
    let path = server.path().display().to_string();
    let Some(said) = succeed("qemu-nbd", &["--list", "-k", &path]) else {
        return;
    };
    for expected in ["exports available: 2", "'disk'", "'thin'", "a thin disk", "size:  2097152", "min block: 1"] {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}

#[test]
fn a_client_is_told_that_there_is_no_such_export() {
    let server = TestServer::serving(&Memory::new(MIB));
    let Some(output) = run("qemu-img", &["info", "-f", "raw", &uri(&server, "nowhere")]) else {
        return;
    };
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(complained.contains("no export has this name"), "{complained}");
}
