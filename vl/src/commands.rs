//! `run-state.json` served from a [`Vm`].

use qapi_schema::Error;
use qapi_schema::run_state::{
    Commands, CurrentMachineParams, PanicAction, RebootAction, RunState, ShutdownAction, ShutdownCause, StatusInfo,
    StopReasonInfo, WatchdogAction,
};

use crate::observer::WakeupReason;
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
        self.flush();
        Ok(())
    }

    fn cont(&self) -> Result<(), Error> {
        Ok(self.transaction(|tx| tx.vm_start())?)
    }

    fn system_reset(&self) -> Result<(), Error> {
        Ok(self.reset_request(ShutdownCause::HostQmpSystemReset)?)
    }

    fn system_powerdown(&self) -> Result<(), Error> {
        self.powerdown_request();
        Ok(())
    }

    fn system_wakeup(&self) -> Result<(), Error> {
        if !self.supports_wakeup() {
            return Err(Error::generic("wake-up from suspend is not supported by this guest"));
        }
        Ok(self.wakeup_request(WakeupReason::Other)?)
    }

    fn query_current_machine(&self) -> Result<CurrentMachineParams, Error> {
        Ok(CurrentMachineParams { wakeup_suspend_support: self.supports_wakeup() })
    }

    fn inject_nmi(&self) -> Result<(), Error> {
        self.nmi_request()
    }

    fn watchdog_set_action(&self, action: WatchdogAction) -> Result<(), Error> {
        self.set_action(None, None, None, Some(action))
    }

    fn set_action(
        &self,
        reboot: Option<RebootAction>,
        shutdown: Option<ShutdownAction>,
        panic: Option<PanicAction>,
        watchdog: Option<WatchdogAction>,
    ) -> Result<(), Error> {
        self.update_actions(|actions| {
            actions.reboot = reboot.unwrap_or(actions.reboot);
            actions.shutdown = shutdown.unwrap_or(actions.shutdown);
            actions.panic = panic.unwrap_or(actions.panic);
            actions.watchdog = watchdog.unwrap_or(actions.watchdog);
        });
        Ok(())
    }
}
