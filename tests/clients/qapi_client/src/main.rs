//! `qapi-client sync|tokio SOCKET`: a session of the crate `qapi` with the monitor there. It says `write` when a guest is
//! to fill the disk, and ends with an error as soon as it is told anything that it does not expect.

use std::env::args;
use std::error::Error;
use std::os::unix::net::UnixStream;

use futures::StreamExt;
use qapi::futures::QmpStreamTokio;
use qapi::qmp::{Event, IoOperationType, RunState, blockdev_del, cont, query_block, query_status, quit, stop};
use qapi::{ErrorClass, ExecuteError, Qmp};
use tokio::sync::mpsc::unbounded_channel;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (Some("sync"), Some(socket), None) => sync(&socket),
        (Some("tokio"), Some(socket), None) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asynchronous(&socket))
        }
        (Some("--version"), None, None) => Ok(()),
        _ => Err("usage: qapi-client sync|tokio SOCKET | --version".into()),
    }
}

fn sync(socket: &str) -> Outcome<()> {
    let stream = UnixStream::connect(socket)?;
    let mut qmp = Qmp::from_stream(&stream);
    expect("a release of QEMU", qmp.handshake()?.version.qemu.major >= 10)?;
    expect("a guest that runs", qmp.execute(&query_status {})?.running)?;
    qmp.execute(&stop {})?;
    expect("STOP before its reply", is_stop(qmp.events().next()))?;
    expect("a paused guest", matches!(qmp.execute(&query_status {})?.status, RunState::paused))?;
    qmp.execute(&cont {})?;
    expect("RESUME before its reply", is_resume(qmp.events().next()))?;
    expect("one disk", qmp.execute(&query_block {})?.len() == 1)?;
    expect("an error", is_refused(&qmp.execute(&unknown())))?;

    println!("write");
    // It reads events only on the way to a reply.
    let mut events = Vec::new();
    while events.len() < 2 {
        qmp.nop()?;
        events.extend(qmp.events());
    }
    let mut events = events.into_iter();
    expect("BLOCK_IO_ERROR", is_error(events.next()))?;
    expect("STOP", is_stop(events.next()))?;
    qmp.execute(&quit {})?;
    Ok(())
}

async fn asynchronous(socket: &str) -> Outcome<()> {
    let opened = QmpStreamTokio::open_uds(socket).await?;
    expect("a release of QEMU", opened.capabilities.QMP.version.qemu.major >= 10)?;
    let (qmp, mut stream) = opened.negotiate().await?.into_parts();
    let (tell, mut events) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(event)) = stream.next().await {
            if tell.send(event).is_err() {
                break;
            }
        }
    });

    expect("a guest that runs", qmp.execute(query_status {}).await?.running)?;
    qmp.execute(stop {}).await?;
    expect("STOP", is_stop(events.recv().await))?;
    expect("a paused guest", matches!(qmp.execute(query_status {}).await?.status, RunState::paused))?;
    qmp.execute(cont {}).await?;
    expect("RESUME", is_resume(events.recv().await))?;
    expect("one disk", qmp.execute(query_block {}).await?.len() == 1)?;
    expect("an error", is_refused(&qmp.execute(unknown()).await))?;

    println!("write");
    expect("BLOCK_IO_ERROR", is_error(events.recv().await))?;
    expect("STOP", is_stop(events.recv().await))?;
    qmp.execute(quit {}).await?;
    Ok(())
}

fn expect(what: &str, is_told: bool) -> Outcome<()> {
    if is_told { Ok(()) } else { Err(format!("not {what}").into()) }
}

fn unknown() -> blockdev_del {
    blockdev_del { node_name: "nonsense".into() }
}

fn is_refused<T>(outcome: &Result<T, ExecuteError>) -> bool {
    matches!(outcome, Err(ExecuteError::Qapi(error)) if matches!(error.class, ErrorClass::GenericError))
}

fn is_stop(event: Option<Event>) -> bool {
    matches!(event, Some(Event::STOP { .. }))
}

fn is_resume(event: Option<Event>) -> bool {
    matches!(event, Some(Event::RESUME { .. }))
}

fn is_error(event: Option<Event>) -> bool {
    matches!(event, Some(Event::BLOCK_IO_ERROR { data, .. })
        if matches!(data.operation, IoOperationType::write) && data.nospace == Some(true))
}
