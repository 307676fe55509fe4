//! A whole machine: the only place where the run state, the block layer and the monitor meet.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use block::block::Block;
use block::export::Exports;
use block::fdset::ClientFdSets;
use hw::{Board, BoardOptions, VirtualClock};
use monitor::control::Control;
use monitor::misc::Misc;
use monitor::{Broadcaster, Handle, Options, Server, Version};
use qapi_schema::run_state::ShutdownCause;
use qapi_schema::{Client, Command, CommandTable, Error, INTROSPECTION};
use qapi_schema::{block_core, block_export, control, fdset, introspect, machine, misc, qdev, qom, run_state};
use sockets::tls::Credentials;
use sockets::{Access, Address};
use vl::{End, Observer, SystemClock, Vm};

use crate::commands::MachineCommands;
use crate::event_clock;
use crate::identity::Identity;
use crate::machine_options::MachineOptions;
use crate::objects::Objects;
use crate::qom::Qom;
use crate::qtest;

/// What `query-version` and `--version` call this program.
pub const PACKAGE: &str = concat!("whystop ", env!("CARGO_PKG_VERSION"));

/// The monitor hears of the guest's fate before its disks do, and of its stop after them.
const MONITOR_PRIORITY: vl::Priority = -1;

/// Devices go on after their disks, and stand still before them.
const BOARD_PRIORITY: vl::Priority = 1;

/// Time goes on before anything happens in it.
const CLOCK_PRIORITY: vl::Priority = -2;

/// A machine that is being set up.
pub struct Machine {
    vm: Arc<Vm>,
    block: Arc<Block>,
    exports: Arc<Exports>,
    objects: Arc<Objects>,
    server: Server,
    identity: Identity,
    board: Option<Arc<Board>>,
    qtest: Option<(qtest::Endpoint, qtest::Log)>,
    end: Receiver<End>,
}

impl Machine {
    /// A machine with neither disks nor monitors.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub fn new() -> io::Result<Self> {
        let server = Server::new(&Version::of_package(PACKAGE))?;
        let vm = Arc::new(Vm::new(server.broadcaster(), SystemClock));
        vm.observe(MONITOR_PRIORITY, Arc::new(DelayedEvents(server.broadcaster())));
        let (ended, end) = channel();
        vm.observe(MONITOR_PRIORITY, Arc::new(Ended(ended)));
        let block = Arc::new(Block::new(vm.clone()));
        let objects = Arc::<Objects>::default();
        let exports = Arc::new(Exports::new(block.clone(), objects.credentials().clone()));
        Ok(Self { vm, block, exports, objects, server, identity: Identity::default(), board: None, qtest: None, end })
    }

    /// The block layer.
    pub const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The exports.
    pub const fn exports(&self) -> &Arc<Exports> {
        &self.exports
    }

    /// The objects that others refer to.
    pub const fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// The run state. [`Vm::end`] ends the machine.
    pub const fn vm(&self) -> &Arc<Vm> {
        &self.vm
    }

    /// Builds the machine that these options describe, with this time. Devices are plugged into its board from here on.
    ///
    /// # Errors
    /// There can't be that much RAM, or that many processors; or an object has the name of the RAM.
    pub fn build(&mut self, options: &MachineOptions, clock: VirtualClock) -> Result<&Arc<Board>, Error> {
        let MachineOptions { kind, ram_size, cpus, virtio_mmio, clock: _ } = *options;
        let (clock, ram_size) = (Arc::new(clock), ram_size.unwrap_or(kind.default_ram));
        let board = Board::new(
            kind,
            BoardOptions {
                ram_size,
                cpus,
                virtio_mmio,
                clock: Arc::clone(&clock),
                vm: Arc::clone(&self.vm),
                block: Arc::clone(&self.block),
            },
        )?;
        if ram_size > 0 {
            self.objects.add_machine_ram(kind.ram_id, ram_size)?;
        }
        if clock.is_driven() {
            event_clock::follow(&self.server.broadcaster(), &clock);
        }
        self.vm.observe(CLOCK_PRIORITY, clock);
        self.vm.observe(BOARD_PRIORITY, board.clone());
        Ok(self.board.insert(board))
    }

    /// The machine's board, once it is built.
    pub const fn board(&self) -> Option<&Arc<Board>> {
        self.board.as_ref()
    }

    /// Who the guest is.
    pub const fn identity(&mut self) -> &mut Identity {
        &mut self.identity
    }

    /// Serves qtest to whoever is at `endpoint`.
    pub fn serve_qtest(&mut self, endpoint: qtest::Endpoint, log: qtest::Log) {
        self.qtest = Some((endpoint, log));
    }

    /// Begins the phase before the machine is built, which the QMP command `x-exit-preconfig` ends: the guest does not run.
    pub fn begin_preconfig(&self) {
        self.server.preconfig().begin();
    }

    /// Sets how the clients of the monitors are treated that are added from now on.
    pub const fn set_monitor_options(&mut self, options: Options) {
        self.server.set_options(options);
    }

    /// Serves QMP to any number of clients that connect to `address`.
    ///
    /// # Errors
    /// The address is in use, not allowed, or can't be created.
    pub fn listen(&mut self, address: &Address, access: &Access) -> io::Result<()> {
        self.server.listen(address, access).map(drop)
    }

    /// Waits for a client of the latest address.
    ///
    /// # Errors
    /// Waiting failed.
    pub fn await_client(&mut self) -> io::Result<()> {
        self.server.await_client()
    }

    /// Serves QMP to whoever listens at `address`; with `credentials`, over TLS.
    ///
    /// # Errors
    /// Nobody listens there, and there is no interval to try again.
    pub fn connect(
        &mut self,
        address: Address,
        credentials: Option<Credentials>,
        reconnect: Option<Duration>,
    ) -> io::Result<()> {
        self.server.connect(address, credentials, reconnect)
    }

    /// Serves QMP on standard input and output.
    ///
    /// # Errors
    /// They can't be used that way.
    pub fn stdio(&mut self) -> io::Result<()> {
        self.server.stdio()
    }

    /// Serves the monitors, and starts the guest if it is to be. A machine that was not built is an empty one.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(mut self, start_guest: bool) -> io::Result<Running> {
        let board = match &self.board {
            Some(board) => Arc::clone(board),
            None => {
                self.build(&MachineOptions::empty(), VirtualClock::host()?).map(Arc::clone).map_err(io::Error::other)?
            }
        };
        board.built();
        let Self { vm, block, exports, objects, server, identity, board: _, qtest, end } = self;
        let handle = server.handle();
        let quit = {
            let (handle, vm) = (handle.clone(), vm.clone());
            move || {
                let vm = vm.clone();
                // After the reply, so that whoever says `quit` is not left in doubt.
                handle.after_replies(move || vm.end(ShutdownCause::HostQmpQuit));
            }
        };
        let names = [
            control::COMMANDS,
            introspect::COMMANDS,
            run_state::COMMANDS,
            machine::COMMANDS,
            block_core::COMMANDS,
            block_export::COMMANDS,
            qom::COMMANDS,
            qdev::COMMANDS,
            fdset::COMMANDS,
            misc::COMMANDS,
        ];
        let control = Arc::new(Control::new(Version::of_package(PACKAGE), names.concat(), &INTROSPECTION, quit));
        let preconfig = server.preconfig();
        let built = !preconfig.is_on();
        let phase = Arc::clone(&preconfig);
        let of_machine = Arc::new(MachineCommands {
            identity,
            preconfig,
            vm: vm.clone(),
            board: board.clone(),
            objects: objects.clone(),
            start_guest,
        });
        let tree = Arc::new(Qom { objects, board: board.clone() });
        let fdsets = Arc::clone(block.fdsets());
        let commands = Arc::new_cyclic(|table: &Weak<CommandTable>| {
            let table = Weak::clone(table);
            let mut commands = CommandTable::default();
            commands.extend(control::commands(&control));
            commands.extend(introspect::commands(&control));
            commands.extend(run_state::commands(&vm));
            commands.extend(machine::commands(&of_machine));
            commands.extend(block_core::commands(&block));
            let of_client = Arc::clone(&exports);
            let of_client = move |client: &Arc<Client>| of_client.for_client(Arc::clone(client));
            commands.extend(Command::for_each_client(block_export::commands, of_client));
            commands.extend(qom::commands(&tree));
            commands.extend(qdev::commands(&board));
            let fdsets = move |client: &Arc<Client>| ClientFdSets::new(Arc::clone(&fdsets), Arc::clone(client));
            commands.extend(Command::for_each_client(fdset::commands, fdsets));
            let misc =
                move |client: &Arc<Client>| Misc::new(Arc::clone(client), Weak::clone(&table), Arc::clone(&phase));
            commands.extend(Command::for_each_client(misc::commands, misc));
            commands
        });
        if built {
            of_machine.start();
        }
        let serve = |(endpoint, log)| qtest::serve(endpoint, log, board);
        let qtest = qtest.map(serve).transpose()?;
        let monitor = server.spawn(commands)?;
        Ok(Running { vm, block, exports, qtest, handle, monitor, end })
    }
}

/// A machine that runs.
pub struct Running {
    vm: Arc<Vm>,
    block: Arc<Block>,
    exports: Arc<Exports>,
    qtest: Option<qtest::Handle>,
    handle: Handle,
    monitor: JoinHandle<io::Result<()>>,
    end: Receiver<End>,
}

impl Running {
    /// The run state.
    pub const fn vm(&self) -> &Arc<Vm> {
        &self.vm
    }

    /// Serves until the VM ends, then [takes the machine down](Self::shut_down). Returns how it ended.
    ///
    /// # Errors
    /// A disk could not be flushed, or the monitor failed.
    pub fn run(self) -> io::Result<End> {
        let end = self.wait();
        self.shut_down()?;
        Ok(end)
    }

    /// Serves until the VM ends. Returns how.
    pub fn wait(&self) -> End {
        // The VM, which is here, has the sender.
        self.end.recv().unwrap_or(End::of(ShutdownCause::HostError))
    }

    /// Ends the VM, if nothing else has, and takes the machine down: no request is started any more, those under way are
    /// answered, connections are closed, everything is flushed, and monitors have heard of it.
    ///
    /// # Errors
    /// As of [`Self::run`].
    pub fn shut_down(self) -> io::Result<()> {
        self.vm.end(ShutdownCause::HostUi);
        drop(self.qtest);
        self.vm.drain();
        self.exports.stop();
        let flushed = self.block.graph().flush_all().map_err(io::Error::other);
        self.handle.shutdown();
        let served = self.monitor.join().unwrap_or_else(|_| Err(io::Error::other("the monitor's thread failed")));
        flushed.and(served)
    }
}

/// A reset makes events that the rate limit has delayed pointless.
struct DelayedEvents(Arc<Broadcaster>);

impl Observer for DelayedEvents {
    fn reset(&self, _: &mut vl::Transaction<'_>) {
        self.0.reset();
    }
}

/// Wakes whoever waits for the end.
struct Ended(Sender<End>);

impl Observer for Ended {
    fn ended(&self, end: End) {
        // Nobody waits for a machine that was dropped.
        let _ = self.0.send(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qapi_schema::run_state::{Commands, PanicAction};

    #[test]
    fn how_the_guest_ends_is_how_the_machine_ends() {
        let machine = Machine::new().expect("threads");
        let vm = machine.vm().clone();
        vm.set_action(None, None, Some(PanicAction::ExitFailure), None).expect("set");
        let running = machine.start(true).expect("threads");
        vm.guest_panicked(None);
        vm.end(ShutdownCause::HostSignal);
        assert_eq!(running.run().expect("taken down"), End { cause: ShutdownCause::GuestPanic, status: 1 });
    }
}
