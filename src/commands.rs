//! `machine.json` served from what the command line said.

use std::sync::Arc;

use hw::Board;
use hw::board::BOARDS;
use monitor::Preconfig;
use qapi_schema::Error;
use qapi_schema::machine::{Commands, CpuInfoFast, MachineInfo, Memdev, NameInfo, UuidInfo};
use vl::Vm;

use crate::identity::Identity;
use crate::objects::Objects;

/// The commands of the machine as a whole.
pub struct MachineCommands {
    /// Who the guest is.
    pub identity: Identity,
    /// The phase that `x-exit-preconfig` ends.
    pub preconfig: Arc<Preconfig>,
    /// The run state.
    pub vm: Arc<Vm>,
    /// The machine that is built.
    pub board: Arc<Board>,
    /// The objects, among them the machine's RAM.
    pub objects: Arc<Objects>,
    /// Whether the guest runs once the machine is built.
    pub start_guest: bool,
}

impl MachineCommands {
    /// The machine is built: the guest runs, if it is to.
    pub fn start(&self) {
        if self.start_guest {
            // A machine that was never stopped needs no reset.
            let _ = self.vm.transaction(|tx| tx.vm_start());
        }
    }
}

impl Commands for MachineCommands {
    fn query_name(&self) -> Result<NameInfo, Error> {
        Ok(NameInfo { name: self.identity.name.clone() })
    }

    fn query_uuid(&self) -> Result<UuidInfo, Error> {
        Ok(UuidInfo { uuid: self.identity.uuid.to_string() })
    }

    fn query_cpus_fast(&self) -> Result<Vec<CpuInfoFast>, Error> {
        Ok(self.board.cpus())
    }

    fn query_machines(&self, compat_props: Option<bool>) -> Result<Vec<MachineInfo>, Error> {
        let compat_props = (compat_props == Some(true)).then(Vec::new);
        Ok(BOARDS.iter().map(|kind| MachineInfo { compat_props: compat_props.clone(), ..kind.info() }).collect())
    }

    fn query_memdev(&self) -> Result<Vec<Memdev>, Error> {
        Ok(self.objects.memdevs())
    }

    fn x_exit_preconfig(&self) -> Result<(), Error> {
        if !self.preconfig.end() {
            return Err(Error::generic("The command is permitted only before machine initialization"));
        }
        self.start();
        Ok(())
    }
}
