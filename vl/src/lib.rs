//! The run state of a virtual machine, and why it is stopped.
//!
//! [`Vm`] stores the run state with the record of the latest stop. Whoever wants to stop or start it does so in a
//! [`Transaction`], which holds the VM's lock: what is told to [`Observer`]s and what is emitted as STOP, RESUME or RESET
//! leaves in the order in which it happened. Read on in this order:
//!
//! - [`run_state`]: which state may follow which, and what each says of the reason; pure.
//! - [`record`]: what is remembered of a stop; pure.
//! - [`action`]: what is done about acts of the guest; pure.
//! - [`vm`]: the lock, the transaction, the observers' turn.
//! - [`request`]: what devices tell the VM, and the host asks of it.
//! - `commands`: `run-state.json` served from a [`Vm`].
//! - [`current`]: the process-wide VM, for code that has no other way to reach it.

pub mod action;
pub mod clock;
mod commands;
pub mod current;
pub mod diagram;
pub mod observer;
pub mod record;
pub mod request;
pub mod run_state;
pub mod sync;
pub mod vm;

pub use action::{Actions, End};
pub use clock::{Clock, SystemClock};
pub use current::{vm_start, vm_stop};
pub use observer::{Observer, Priority, WakeupReason};
pub use qapi_schema::run_state::{RunState, StopReason};
pub use record::IoFailure;
pub use run_state::{IllegalTransition, NotSuspended, StartRefused};
pub use vm::{Transaction, Vm};
