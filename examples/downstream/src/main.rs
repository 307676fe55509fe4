//! The VMM, with a monitor at a socket: `downstream /tmp/qmp.sock`.

use std::env;
use std::error::Error;
use std::sync::Arc;

use downstream::{Thermal, commands};
use monitor::{Access, Address, Server, Version};
use qapi_schema::run_state::Commands as _;
use vl::{SystemClock, Vm};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: downstream SOCKET")?;
    let mut server = Server::new(&Version::of_package("thermal-vmm 1.0"))?;
    let vm = Arc::new(Vm::new(server.broadcaster(), SystemClock));
    let thermal = Arc::new(Thermal::new(Arc::clone(&vm), 90_000));
    let address = Address::Unix(path.into());
    server.listen(&address, &Access::default())?;
    println!("QMP at {address}");
    vm.cont()?;
    server.run(Arc::new(commands(&vm, &thermal).into_iter().collect()))?;
    Ok(())
}
