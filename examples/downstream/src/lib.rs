//! A VMM downstream of whystop: its schema includes whystop's and adds commands and an event.
//!
//! Types of the included part are whystop's own: `common::Timestamp` here *is* `qapi_schema::common::Timestamp`.

use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::{Command, Error};
use vl::Vm;

qapi_schema::include_schema!(
    "schema/thermal-vmm.json",
    extern = { ::qapi_schema = "../../qapi-schema/schema/qapi-schema.json" },
);

use run_state::RunState;
use thermal_vmm::event::ComExampleTooHot;
use thermal_vmm::{ComExampleTemperature, ComExampleThermalInfo};

/// The state that the VMM's own commands act on.
pub struct Thermal {
    vm: Arc<Vm>,
    limit: i64,
    last: Mutex<Option<ComExampleTemperature>>,
}

impl Thermal {
    /// Stops `vm` when a measurement is above `limit`, in thousandths of a degree Celsius.
    pub const fn new(vm: Arc<Vm>, limit: i64) -> Self {
        Self { vm, limit, last: Mutex::new(None) }
    }
}

impl thermal_vmm::Commands for Thermal {
    fn com_example_report_temperature(&self, temperature: ComExampleTemperature) -> Result<(), Error> {
        *self.last.lock() = Some(temperature);
        if temperature.millicelsius <= self.limit {
            return Ok(());
        }
        // One transaction, so that nothing comes between the event and the stop.
        self.vm.transaction(|vm| {
            vm.emit(&ComExampleTooHot { temperature });
            vm.vm_stop(RunState::Paused)
        })?;
        Ok(())
    }

    fn com_example_query_thermal(&self) -> Result<ComExampleThermalInfo, Error> {
        let status = self.vm.status().status;
        Ok(ComExampleThermalInfo { limit: self.limit, last: *self.last.lock(), status })
    }
}

/// What a monitor of this VMM serves: whystop's commands on the VM, and the VMM's own.
pub fn commands(vm: &Arc<Vm>, thermal: &Arc<Thermal>) -> Vec<Command> {
    run_state::commands(vm).into_iter().chain(thermal_vmm::commands(thermal)).collect()
}
