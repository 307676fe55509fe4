//! `whystop demo`: a guest fills a disk that has too little storage, and loses nothing.
//!
//! It is the real daemon code, a guest that speaks NBD, a client that manages, and one that comes late.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use qapi_schema::block_core::Commands as _;
use qapi_schema::block_export::Commands as _;
use qapi_schema::run_state::ShutdownCause;
use serde_json::Value;
use sockets::{Access, Address};

use crate::keyval::Argument;
use crate::machine::Machine;
use conversation::{Client, Happening};
use guest::Outcome;
use options::Options;
use screen::{Screen, mebibytes};
use storage::Storage;

mod conversation;
mod guest;
mod options;
mod screen;
mod storage;

/// Runs the demo with these arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let screen = Arc::new(Screen::new());
    let told = match Options::parse(arguments) {
        Ok(Some(options)) => tell(options, &screen).map_err(|error| error.to_string()),
        Ok(None) => {
            screen.line(options::HELP);
            Ok(true)
        }
        Err(message) => Err(message),
    };
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("whystop: demo: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Tells the story, and says whether nothing was lost.
fn tell(options: Options, screen: &Arc<Screen>) -> io::Result<bool> {
    let Options { directory, size, mut storage } = options;
    let sockets = tempfile::Builder::new().prefix("whystop-demo-").tempdir()?;
    let (qmp, nbd) = (sockets.path().join("qmp.sock"), sockets.path().join("nbd.sock"));
    let directory = directory.unwrap_or_else(|| sockets.path().to_owned());
    screen.scene(&format!(
        "A disk of {} MiB on {}, and a guest that writes all of it",
        mebibytes(size),
        storage.describe()
    ));
    let machine = machine(&storage.create(&directory, size)?, &qmp, &nbd)?;
    let vm = machine.vm().clone();
    let running = machine.start(true)?;
    let daemon = thread::spawn(|| running.run());

    let mut manager = Client::connect("mgmt", &qmp, screen)?;
    let (inbox, guest_screen) = (manager.inbox(), screen.clone());
    thread::spawn(move || {
        inbox.send(Happening::GuestFinished(guest::work(&Address::Unix(nbd), "thin", &guest_screen)))
    });
    let told = manage(&mut manager, &mut storage, &qmp, screen);

    // The daemon may have ended by itself, which its result tells.
    vm.end(ShutdownCause::HostUi);
    daemon.join().unwrap_or_else(|_| Err(io::Error::other("the daemon's thread failed")))?;
    storage::remove(&directory)?;
    let (outcome, stops) = told?;
    screen.scene("What became of it");
    Ok(report(screen, size, &outcome, &stops))
}

/// The daemon: one disk, one NBD server, one monitor.
fn machine(disk: &str, qmp: &Path, nbd: &Path) -> io::Result<Machine> {
    let mut machine = Machine::new()?;
    let options = |text: &str| Argument::parse(text, None).map_err(io::Error::other);
    machine.block().blockdev_add(options(disk)?.into().map_err(io::Error::other)?).map_err(io::Error::other)?;
    let server = format!("addr.type=unix,addr.path={}", nbd.display());
    machine
        .exports()
        .start_nbd_server(options(&server)?.into().map_err(io::Error::other)?)
        .map_err(io::Error::other)?;
    let export = options("type=nbd,id=thin,node-name=thin,writable=on")?;
    machine.exports().block_export_add(export.into().map_err(io::Error::other)?).map_err(io::Error::other)?;
    machine.listen(&Address::Unix(qmp.to_owned()), &Access::default())?;
    Ok(machine)
}

/// What was seen of the stops.
#[derive(Debug, Default)]
struct Stops {
    count: u64,
    held_at_most: u64,
    /// In microseconds.
    paused: i64,
}

/// Adds space at each stop, until the guest is done.
fn manage(
    manager: &mut Client,
    storage: &mut Storage,
    qmp: &Path,
    screen: &Arc<Screen>,
) -> io::Result<(Outcome, Stops)> {
    let mut stops = Stops::default();
    let mut stopped_at = 0;
    loop {
        match manager.next()? {
            Happening::GuestFinished(outcome) => return Ok((outcome?, stops)),
            Happening::Heard(message) if message["event"] == "RESUME" => {
                stops.paused += microseconds(&message) - stopped_at
            }
            Happening::Heard(message) if message["event"] == "STOP" => {
                stopped_at = microseconds(&message);
                stops.count += 1;
                if stops.count == 1 {
                    screen.scene("A client that connects now has missed the events, and asks");
                    Client::connect("late", qmp, screen)?.execute(WHY)?;
                    screen.scene("More space, a little at a time, until the disk is full size");
                }
                let why = manager.execute(WHY)?;
                stops.held_at_most = stops.held_at_most.max(held(&why));
                storage.extend(manager, screen)?;
                manager.execute(r#"{"execute": "cont"}"#)?;
            }
            Happening::Heard(_) | Happening::Closed => {}
        }
    }
}

const WHY: &str = r#"{"execute": "query-stop-reason"}"#;

fn held(why: &Value) -> u64 {
    let errors = why["last-stop"]["io-errors"].as_array();
    errors.into_iter().flatten().filter_map(|error| error["held"].as_u64()).sum()
}

fn microseconds(event: &Value) -> i64 {
    let part = |name: &str| event["timestamp"][name].as_i64().unwrap_or(0);
    part("seconds") * 1_000_000 + part("microseconds")
}

/// Shows the table, and says whether nothing was lost.
fn report(screen: &Screen, size: u64, outcome: &Outcome, stops: &Stops) -> bool {
    let same = outcome.checksum_written == outcome.checksum_read;
    let paused = format!("{}.{:06} s", stops.paused / 1_000_000, stops.paused % 1_000_000);
    let checksums = format!(
        "{:016x} {} {:016x}",
        outcome.checksum_written,
        if same { "=" } else { "is not" },
        outcome.checksum_read
    );
    for (what, value) in [
        ("bytes written", outcome.written.to_string()),
        ("requests acknowledged", outcome.acknowledged.to_string()),
        ("requests failed", outcome.failed.to_string()),
        ("requests held at most", stops.held_at_most.to_string()),
        ("stops", stops.count.to_string()),
        ("time paused", paused),
        ("checksum written, read", checksums),
    ] {
        screen.line(&format!("  {what:<24} {value}"));
    }
    let kept = same && outcome.failed == 0 && outcome.written == size;
    screen.line(if kept { "\nNothing was lost." } else { "\nSomething was lost." });
    kept
}
