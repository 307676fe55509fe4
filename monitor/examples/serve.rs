//! A QMP server with a machine of one bit, to be tried by hand: `serve unix:/tmp/qmp.sock`, `serve stdio`, or
//! `serve connect:/tmp/qmp.sock`.

use std::env;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use monitor::{Access, Address, Server, Version};
use qapi_schema::{Command, CommandOptions, CommandTable, Error, Reply};
use serde_json::json;

fn main() -> io::Result<()> {
    let mut server = Server::new(&Version::of_package("serve 0.1"))?;
    for argument in env::args().skip(1) {
        match argument.split_once(':') {
            Some(("unix", path)) => {
                println!("listening at {:?}", server.listen(&Address::Unix(path.into()), &Access::default())?)
            }
            Some(("tcp", port)) => {
                let address = Address::inet("localhost", port.parse().map_err(io::Error::other)?);
                println!("listening at {:?}", server.listen(&address, &Access::default())?);
            }
            Some(("connect", path)) => {
                server.connect(Address::Unix(path.into()), None, Some(Duration::from_millis(100)))?;
            }
            _ => server.stdio()?,
        }
    }
    let handle = server.handle();
    let running = Arc::new(AtomicBool::new(true));
    let (status, stop) = (Arc::clone(&running), running);
    let commands: CommandTable = [
        command("query-status", move || Ok(Box::new(json!({"running": status.load(Ordering::Relaxed)})))),
        command("query-version", || Ok(Box::new(json!({"package": "serve"})))),
        command("stop", move || {
            stop.store(false, Ordering::Relaxed);
            Ok(Command::empty())
        }),
        command("quit", move || {
            handle.shutdown();
            Ok(Command::empty())
        }),
    ]
    .into_iter()
    .collect();
    server.run(Arc::new(commands))
}

fn command(name: &'static str, run: impl Fn() -> Result<Reply, Error> + Send + Sync + 'static) -> Command {
    let options = CommandOptions::default();
    Command::new(name, options, move |members| {
        members.finish()?;
        run()
    })
}
