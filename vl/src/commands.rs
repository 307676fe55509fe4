//! `run-state.json` served from a [`Vm`].

use qapi_schema::Error;
use qapi_schema::run_state::{Commands, RunState, ShutdownCause, StatusInfo, StopReasonInfo};

use crate::vm::Vm;

impl Commands for Vm {
    fn query_status(&self) -> Result<StatusInfo, Error> {
        Ok(self.status())
    }

    fn query_stop_reason(&self) -> Result<StopReasonInfo, Error> {
        Ok(self.stop_reason())
    }

    fn stop(&self) -> Result<(), Error> {
        self.transaction(|tx| tx.vm_stop(RunState::Paused))?;
        self.drain();
        Ok(())
    }

    fn cont(&self) -> Result<(), Error> {
        Ok(self.transaction(|tx| tx.vm_start())?)
    }

    fn system_reset(&self) -> Result<(), Error> {
        Ok(self.transaction(|tx| tx.reset(ShutdownCause::HostQmpSystemReset))?)
    }
}
