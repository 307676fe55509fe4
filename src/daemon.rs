//! A command line carried out, option by option, until the daemon ends.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::thread;

use block::error::message;
use monitor::{Mode, Options};
use qapi_schema::Members;
use qapi_schema::block_core::{BlockdevDriver, Commands as _};
use qapi_schema::block_export::{BlockExportType, Commands as _, NbdServerOptions};
use qapi_schema::qom::ObjectType;
use qapi_schema::run_state::{Commands as _, ShutdownCause};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::background::Background;
use crate::chardev::{BACKENDS, Chardev, Role};
use crate::command_line::{Directive, Given, Phase, help, parse};
use crate::identity::Uuid;
use crate::inherited::{self, AddFd};
use crate::keyval::Argument;
use crate::machine::{Machine, PACKAGE};
use crate::machine_options::MachineOptions;
use crate::monitor_options::{MODES, MonitorOptions};
use crate::notify::{Stage, notify};
use crate::pidfile::Pidfile;
use crate::{background, device_help, drive_options, identity, qtest, trace};

/// Runs the daemon with these arguments.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let outcome = parse(arguments).map_err(|error| error.to_string()).and_then(|given| carry_out(&given));
    outcome.unwrap_or_else(|message| {
        eprintln!("whystop: {message}");
        ExitCode::FAILURE
    })
}

fn carry_out(given: &[Given]) -> Result<ExitCode, String> {
    if let Some(answer) = given.iter().find_map(answer) {
        print!("{}", answer?);
        return Ok(ExitCode::SUCCESS);
    }
    let has = |directive| given.iter().any(|given| given.spec.directive == directive);
    let background = Background::entered();
    if has(Directive::Daemonize) && background.is_none() {
        return background::start().map_err(|error| format!("--daemonize: {error}"));
    }
    trace::to_stderr(given.iter().rfind(|given| given.spec.directive == Directive::Trace))?;
    allow_descriptors();
    let mut setup = Setup::new().map_err(|error| error.to_string())?;
    let (of_machine, others) = given.split_at(given.partition_point(|given| given.spec.phase == Phase::Machine));
    setup.carry_out_all(of_machine)?;
    setup.build()?;
    setup.carry_out_all(others)?;
    let (machine, pidfile) = setup.finish()?;
    end_on_signals(&machine).map_err(|error| error.to_string())?;
    let running = machine.start(!has(Directive::NoStart)).map_err(|error| error.to_string())?;
    if let Some(background) = background {
        background.ready().map_err(|error| format!("--daemonize: {error}"))?;
    }
    notify(Stage::Ready);
    let end = running.wait();
    notify(Stage::Stopping);
    running.shut_down().map_err(|error| error.to_string())?;
    drop(pidfile);
    Ok(ExitCode::from(end.status))
}

/// What an option that only asks something is answered.
fn answer(given: &Given) -> Option<Result<String, String>> {
    let list = |kind: &str, names: &[&str]| Some(Ok(format!("Available {kind}:\n{}\n", names.join("\n"))));
    let asked = given.value == "help";
    match given.spec.directive {
        Directive::Help => Some(Ok(help())),
        Directive::Version => Some(Ok(format!("{PACKAGE}\n"))),
        Directive::Blockdev if asked => {
            list("drivers", &BlockdevDriver::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>())
        }
        Directive::Export if asked => {
            list("export types", &BlockExportType::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>())
        }
        Directive::Object if asked => {
            list("object types", &ObjectType::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>())
        }
        Directive::Cpu if asked => Some(Ok("Any model will do: processors execute nothing.\n".into())),
        Directive::Display if asked => list("display types", &["none"]),
        Directive::Vga if asked => list("graphics cards", &["none"]),
        Directive::Audio if asked => list("audio drivers", &["none"]),
        Directive::Accel if asked => list("accelerators", qtest::ACCELERATORS),
        Directive::Monitor if asked => list("monitor modes", MODES),
        Directive::Chardev if asked => list("chardev backend types", BACKENDS),
        Directive::Machine if asked => Some(Ok(device_help::machines())),
        Directive::Device => {
            device_help::answer(&given.value).map(|answer| answer.map_err(|error| format!("{}: {error}", given.name())))
        }
        Directive::AddFd
        | Directive::Machine
        | Directive::Memory
        | Directive::Smp
        | Directive::Cpu
        | Directive::Global
        | Directive::NoDefaults
        | Directive::Display
        | Directive::Vga
        | Directive::Audio
        | Directive::Blockdev
        | Directive::Drive
        | Directive::Export
        | Directive::Object
        | Directive::Chardev
        | Directive::Monitor
        | Directive::Qmp
        | Directive::QmpPretty
        | Directive::NbdServer
        | Directive::Accel
        | Directive::Qtest
        | Directive::QtestLog
        | Directive::NoStart
        | Directive::Preconfig
        | Directive::Action
        | Directive::WatchdogAction
        | Directive::NoShutdown
        | Directive::NoReboot
        | Directive::Name
        | Directive::Uuid
        | Directive::Pidfile
        | Directive::Daemonize
        | Directive::Trace => None,
    }
}

/// The machine as the options so far have made it.
struct Setup {
    machine: Machine,
    options: MachineOptions,
    /// Those that neither a monitor nor qtest has taken.
    chardevs: HashMap<String, Chardev>,
    /// Those that have a name.
    monitors: HashSet<String>,
    qtest: Option<qtest::Endpoint>,
    qtest_log: Option<qtest::Log>,
    pidfile: Option<Pidfile>,
}

impl Setup {
    fn new() -> io::Result<Self> {
        Ok(Self {
            machine: Machine::new()?,
            options: MachineOptions::default(),
            chardevs: HashMap::new(),
            monitors: HashSet::new(),
            qtest: None,
            qtest_log: None,
            pidfile: None,
        })
    }

    fn carry_out_all(&mut self, given: &[Given]) -> Result<(), String> {
        given.iter().try_for_each(|one| {
            let is_only_one = given.iter().filter(|other| other.spec.directive == one.spec.directive).count() == 1;
            // Which of several it is must be told.
            let place = if is_only_one { one.name() } else { format!("{} {}", one.name(), one.value) };
            self.carry_out(one).map_err(|error| format!("{place}: {error}"))
        })
    }

    fn build(&mut self) -> Result<(), String> {
        let clock = (self.options.clock)().map_err(text)?;
        self.machine.build(&self.options, clock).map(drop).map_err(text)
    }

    fn carry_out(&mut self, given: &Given) -> Result<(), String> {
        let value = given.value.as_str();
        match given.spec.directive {
            Directive::AddFd => {
                let AddFd { fd, set, opaque } =
                    Argument::parse(value, None).and_then(|argument| argument.read(AddFd::read)).map_err(text)?;
                self.machine
                    .block()
                    .fdsets()
                    .add(Some(set), inherited::take(fd).map_err(text)?, opaque)
                    .map(drop)
                    .map_err(text)
            }
            Directive::Blockdev => {
                let options = Argument::parse(value, Some("driver")).and_then(Argument::into).map_err(text)?;
                self.machine.block().blockdev_add(options).map_err(text)
            }
            Directive::Drive => {
                let options = drive_options::parse(value).map_err(text)?;
                self.machine.block().add_drive(options).map_err(text)
            }
            Directive::Export => {
                let options = Argument::parse(value, Some("type")).and_then(Argument::into).map_err(text)?;
                self.machine.exports().block_export_add(options).map_err(text)
            }
            Directive::NbdServer => {
                let options: NbdServerOptions = Argument::parse(value, None).and_then(Argument::into).map_err(text)?;
                self.machine.exports().start_nbd_server(options).map_err(text)
            }
            Directive::Object => {
                let options = Argument::parse(value, Some("qom-type")).and_then(Argument::into).map_err(text)?;
                self.machine.objects().add(options).map_err(text)
            }
            Directive::Chardev => {
                let (id, chardev) = Chardev::parse(value, self.machine.objects().credentials()).map_err(text)?;
                if self.chardevs.contains_key(&id) {
                    return Err(format!("Duplicate chardev '{id}'"));
                }
                self.chardevs.insert(id, chardev);
                Ok(())
            }
            Directive::Monitor if self.is_legacy(value) => {
                self.monitor_legacy(value, Options { mode: Mode::Readline, ..Options::default() })
            }
            Directive::Monitor => {
                let MonitorOptions { chardev, id, options } = MonitorOptions::parse(value).map_err(text)?;
                if let Some(id) = id
                    && !self.monitors.insert(id.clone())
                {
                    return Err(format!("Duplicate ID '{id}' for monitor"));
                }
                let chardev = self.take_chardev(&chardev)?;
                self.monitor(chardev, options)
            }
            Directive::Qmp => self.monitor_legacy(value, Options::default()),
            Directive::QmpPretty => self.monitor_legacy(value, Options { pretty: true, ..Options::default() }),
            Directive::Machine => self.options.machine(value).map_err(text),
            Directive::Accel => self.options.accelerator(value).map_err(text),
            Directive::Memory => self.options.memory(value).map_err(text),
            Directive::Smp => self.options.processors(value).map_err(text),
            Directive::Cpu => self.options.cpu(value).map_err(text),
            Directive::Global => self.options.global(value).map_err(text),
            Directive::Display | Directive::Vga | Directive::Audio if value == "none" => Ok(()),
            Directive::Display => Err(format!("Parameter 'type' does not accept value '{value}': there is no display")),
            Directive::Vga => Err(format!("unknown vga type: {value}: there is no display")),
            Directive::Audio => Err(format!("Parameter 'driver' does not accept value '{value}': there is no sound")),
            Directive::Device => {
                let (arguments, dialect) =
                    Argument::parse(value, Some("driver")).and_then(Argument::into_object).map_err(text)?;
                let board = self.machine.board().ok_or("the machine is not built")?;
                board.device_add(arguments, dialect).map_err(text)
            }
            Directive::Qtest if self.qtest.is_some() => Err("there is one client of qtest".into()),
            Directive::Qtest => {
                let chardev = self.chardev_legacy(value)?;
                self.qtest = Some(qtest::Endpoint::open(chardev).map_err(text)?);
                Ok(())
            }
            Directive::QtestLog => {
                let failed = |error| format!("cannot create '{value}': {}", message(&error));
                self.qtest_log = Some(qtest::Log::create(value).map_err(failed)?);
                Ok(())
            }
            Directive::Preconfig => {
                self.machine.begin_preconfig();
                Ok(())
            }
            Directive::Action => self.set_action(value),
            Directive::WatchdogAction => {
                value.parse().and_then(|action| self.machine.vm().watchdog_set_action(action)).map_err(text)
            }
            Directive::NoShutdown => self.set_action("shutdown=pause"),
            Directive::NoReboot => self.set_action("reboot=shutdown"),
            Directive::Name => {
                self.machine.identity().name = identity::parse_name(value).map_err(text)?;
                Ok(())
            }
            Directive::Uuid => {
                self.machine.identity().uuid = Uuid::parse(value).map_err(text)?;
                Ok(())
            }
            Directive::Pidfile => {
                self.pidfile = Some(Pidfile::create(value)?);
                Ok(())
            }
            Directive::NoDefaults
            | Directive::NoStart
            | Directive::Daemonize
            | Directive::Trace
            | Directive::Help
            | Directive::Version => Ok(()),
        }
    }

    fn set_action(&self, value: &str) -> Result<(), String> {
        let vm = self.machine.vm();
        let read = |members: &mut Members<'_>| {
            let (reboot, shutdown) = (members.optional("reboot")?, members.optional("shutdown")?);
            vm.set_action(reboot, shutdown, members.optional("panic")?, members.optional("watchdog")?)
        };
        Argument::parse(value, None).and_then(|argument| argument.read(read)).map_err(text)
    }

    /// All options have been carried out.
    fn finish(self) -> Result<(Machine, Option<Pidfile>), String> {
        let Self { mut machine, qtest, qtest_log, pidfile, .. } = self;
        match (qtest, qtest_log) {
            (Some(endpoint), Some(log)) => machine.serve_qtest(endpoint, log),
            (Some(endpoint), None) => machine.serve_qtest(endpoint, qtest::Log::stderr()),
            (None, Some(_)) => return Err("--qtest-log: there is no --qtest".into()),
            (None, None) => {}
        }
        Ok((machine, pidfile))
    }

    /// Whether `--monitor` says where the monitor is, as QEMU's does, and not on which character device.
    fn is_legacy(&self, value: &str) -> bool {
        let place = value.split([':', ',']).next().unwrap_or_default();
        ["stdio", "unix", "tcp", "chardev", "none"].contains(&place) && !self.chardevs.contains_key(value)
    }

    fn monitor_legacy(&mut self, value: &str, options: Options) -> Result<(), String> {
        if value == "none" {
            return Ok(());
        }
        let chardev = self.chardev_legacy(value)?;
        self.monitor(chardev, options)
    }

    fn chardev_legacy(&mut self, value: &str) -> Result<Chardev, String> {
        match value.strip_prefix("chardev:") {
            Some(id) => self.take_chardev(id),
            None => Chardev::parse_legacy(value, self.machine.objects().credentials()).map_err(text),
        }
    }

    fn take_chardev(&mut self, id: &str) -> Result<Chardev, String> {
        self.chardevs.remove(id).ok_or_else(|| format!("chardev '{id}' not found, or in use already"))
    }

    fn monitor(&mut self, chardev: Chardev, options: Options) -> Result<(), String> {
        let machine = &mut self.machine;
        machine.set_monitor_options(options);
        match chardev {
            Chardev::Stdio => machine.stdio().map_err(text),
            Chardev::Socket { address, role: Role::Server { access, wait } } => {
                machine.listen(&address, &access).map_err(text)?;
                if wait {
                    tracing::info!(%address, "waiting for a client");
                    machine.await_client().map_err(text)?;
                }
                Ok(())
            }
            Chardev::Socket { address, role: Role::Client { credentials, reconnect } } => {
                machine.connect(address, credentials, reconnect).map_err(text)
            }
        }
    }
}

/// As many descriptors as the system grants: monitors may have a thousand clients.
fn allow_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the number of descriptors");
    }
}

/// SIGTERM, SIGINT and SIGHUP end the daemon as `quit` does.
fn end_on_signals(machine: &Machine) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let vm = machine.vm().clone();
    let wait = move || {
        for signal in &mut signals {
            tracing::info!(signal, "terminating on signal");
            vm.end(ShutdownCause::HostSignal);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

fn text(error: impl Display) -> String {
    error.to_string()
}
