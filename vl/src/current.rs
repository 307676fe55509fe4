//! The process-wide VM, for code that has no other way to reach one. Everything here only forwards to a [`Vm`].

use std::sync::Arc;

use once_cell::sync::OnceCell;
use qapi_schema::Error;
use qapi_schema::run_state::RunState;

use crate::vm::Vm;

static CURRENT: OnceCell<Arc<Vm>> = OnceCell::new();

/// Makes `vm` the VM of this process.
///
/// # Errors
/// There is one already; `vm` is given back.
pub fn set(vm: Arc<Vm>) -> Result<(), Arc<Vm>> {
    CURRENT.set(vm)
}

/// The VM of this process.
///
/// # Errors
/// There is none yet.
pub fn vm() -> Result<&'static Arc<Vm>, Error> {
    CURRENT.get().ok_or_else(|| Error::generic("There is no virtual machine"))
}

/// Stops the VM of this process, see [`Transaction::vm_stop`](crate::Transaction::vm_stop).
///
/// # Errors
/// There is none, or `to` may not follow `running`.
pub fn vm_stop(to: RunState) -> Result<(), Error> {
    Ok(vm()?.transaction(|tx| tx.vm_stop(to))?)
}

/// Starts the VM of this process, see [`Transaction::vm_start`](crate::Transaction::vm_start).
///
/// # Errors
/// There is none, or it must be reset first.
pub fn vm_start() -> Result<(), Error> {
    Ok(vm()?.transaction(|tx| tx.vm_start())?)
}
