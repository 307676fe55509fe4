//! The command line: a table of options, and a scan that turns arguments into directives in the order of their phases.
//!
//! Both `-option` and `--option` are accepted, with the value as the next argument or after `=`. What an option's value
//! means is decided where it is carried out, see [`daemon`](crate::daemon).

use std::ffi::OsString;
use std::fmt;

/// What an option asks for. Those with a text carry the option's value as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Add a descriptor to a set.
    AddFd,
    /// Create a block node.
    Blockdev,
    /// Open a disk under a name, for a device.
    Drive,
    /// Create an object that others refer to.
    Object,
    /// Create a character device for monitors.
    Chardev,
    /// Create a monitor on a character device.
    Monitor,
    /// Create a monitor with a character device of its own.
    Qmp,
    /// Start the NBD server.
    NbdServer,
    /// Create an export.
    Export,
    /// Choose the kind of machine.
    Machine,
    /// Set how much RAM there is.
    Memory,
    /// Set how many processors there are.
    Smp,
    /// Name the model of the processors.
    Cpu,
    /// Set a property for all devices of a type.
    Global,
    /// Plug a device in.
    Device,
    /// Leave out what there is by default: nothing.
    NoDefaults,
    /// Choose a display: none.
    Display,
    /// Choose sound: none.
    Audio,
    /// Choose what runs the guest.
    Accel,
    /// Serve qtest.
    Qtest,
    /// Write down what is said over qtest.
    QtestLog,
    /// Do not start the guest.
    NoStart,
    /// Do not build the machine yet.
    Preconfig,
    /// Decide what is done about acts of the guest.
    Action,
    /// Decide what is done when a watchdog expires.
    WatchdogAction,
    /// Stop when the guest shuts down.
    NoShutdown,
    /// Shut down when the guest is to be reset.
    NoReboot,
    /// Name the guest.
    Name,
    /// Give the guest a UUID.
    Uuid,
    /// Write the process id to a file.
    Pidfile,
    /// Go to the background.
    Daemonize,
    /// Set the log filter.
    Trace,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// When an option is carried out, so that options may stand in any order: what others refer to comes first. Within a phase
/// they are carried out in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The process, and the machine as a whole.
    Machine,
    /// Objects and descriptors, which any other option may refer to.
    Objects,
    /// Block nodes.
    Nodes,
    /// Drives, which may have such nodes beneath them.
    Drives,
    /// Servers and exports, which serve block nodes.
    Exports,
    /// Character devices and monitors: whoever connects finds all disks there.
    Monitors,
    /// Devices, which may refer to all of these.
    Devices,
}

/// An option: how it is spelt, and what the help says of it.
#[derive(Debug)]
pub struct Spec {
    /// Its names, without dashes; the first is the one that messages use.
    pub names: &'static [&'static str],
    /// What its value looks like; `None` if it takes none.
    pub value: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
    /// How it is used.
    pub example: &'static str,
    /// What it asks for.
    pub directive: Directive,
    /// When it is carried out.
    pub phase: Phase,
}

/// Every option, in the order of the help.
pub const OPTIONS: &[Spec] = &[
    Spec {
        names: &["add-fd"],
        value: Some("fd=<n>,set=<n>[,opaque=<text>]"),
        help: "add a file descriptor that the process was started with to a set; the filename /dev/fdset/<set> is that \
               image",
        example: "-add-fd fd=3,set=1,opaque=rw:disk.img",
        directive: Directive::AddFd,
        phase: Phase::Objects,
    },
    Spec {
        names: &["blockdev"],
        value: Some("[driver=]<driver>[,node-name=<name>][,<key>=<value>...] | <JSON> | help"),
        help: "create a block node, as the QMP command blockdev-add does",
        example: "--blockdev file,node-name=disk0,filename=disk.img",
        directive: Directive::Blockdev,
        phase: Phase::Nodes,
    },
    Spec {
        names: &["drive"],
        value: Some("if=none,id=<id>,format=<driver>,file=<path>|null-co://[,cache=<mode>][,<key>=<value>...]"),
        help: "open a disk under a name, for a device with drive=<id>; also cache=writeback|none|writethrough|directsync\
               |unsafe, werror=report|ignore|enospc|stop, rerror=report|ignore|stop, read-only=on|off, \
               discard=ignore|unmap, and the keys of --blockdev, those of the file beneath as file.<key>",
        example: "-drive if=none,id=drive0,file=disk.img,format=raw",
        directive: Directive::Drive,
        phase: Phase::Drives,
    },
    Spec {
        names: &["object"],
        value: Some("[qom-type=]<type>,id=<id>[,<key>=<value>...] | <JSON> | help"),
        help: "create an object, as the QMP command object-add does: tls-creds-x509,dir=<directory>[,endpoint=server]\
               [,verify-peer=off] reads ca-cert.pem, server-cert.pem and server-key.pem",
        example: "--object tls-creds-x509,id=tls0,dir=/etc/pki/whystop,endpoint=server",
        directive: Directive::Object,
        phase: Phase::Objects,
    },
    Spec {
        names: &["chardev"],
        value: Some("<backend>,id=<id>[,<key>=<value>...] | help"),
        help: "create a socket or terminal for a monitor: path=<path>[,abstract=on[,tight=off]], host=<host>,port=<port>\
               [,to=<port>][,ipv4=on|off][,ipv6=on|off][,nodelay=off] or fd=<name in LISTEN_FDNAMES, or number>; \
               with server=on also wait=off (else nothing starts before the first client is there), \
               mode=<octal, 0600 by default>, group=<group>, allow-uid=<user>, allow-gid=<group> \
               (allow-uid.0=<user>,allow-uid.1=<user> for several); tls-creds=<id of an object>",
        example: "--chardev socket,id=qmp0,path=qmp.sock,server=on,wait=off",
        directive: Directive::Chardev,
        phase: Phase::Monitors,
    },
    Spec {
        names: &["monitor", "mon"],
        value: Some(
            "[chardev=]<id>[,mode=control|readline][,pretty=on|off][,outbuf=<bytes>][,max-clients=<n>] | \
             unix:<path>[,...] | tcp:<host>:<port>[,...] | stdio",
        ),
        help: "serve QMP on a character device, indented for people if pretty, or with mode=readline, or anywhere but \
               there, the human monitor; keep outbuf bytes (1M) for a client that does not read; serve max-clients \
               (1024) at a time",
        example: "--monitor qmp0",
        directive: Directive::Monitor,
        phase: Phase::Monitors,
    },
    Spec {
        names: &["qmp"],
        value: Some("unix:<path>[,server=on][,wait=off] | tcp:<host>:<port>[,...] | stdio | chardev:<id>"),
        help: "serve QMP on a socket or the terminal",
        example: "-qmp unix:qmp.sock,server=on,wait=off",
        directive: Directive::Qmp,
        phase: Phase::Monitors,
    },
    Spec {
        names: &["nbd-server"],
        value: Some(
            "addr.type=unix,addr.path=<path> | addr.type=inet,addr.host=<host>,addr.port=<port> | \
             addr.type=fd,addr.str=<name in LISTEN_FDNAMES, or number>",
        ),
        help: "start the NBD server; also max-connections=<n>, handshake-max-seconds=<n>, and mode, group, allow-uid, \
               allow-gid and tls-creds as for --chardev",
        example: "--nbd-server addr.type=unix,addr.path=nbd.sock",
        directive: Directive::NbdServer,
        phase: Phase::Exports,
    },
    Spec {
        names: &["export"],
        value: Some("[type=]<type>,id=<id>,node-name=<node>[,<key>=<value>...] | <JSON> | help"),
        help: "export a block node, as the QMP command block-export-add does; also \
               werror=report|ignore|enospc|stop, rerror=report|ignore|stop",
        example: "--export nbd,id=exp0,node-name=disk0,writable=on",
        directive: Directive::Export,
        phase: Phase::Exports,
    },
    Spec {
        names: &["machine", "M"],
        value: Some("[type=]<machine> | help"),
        help: "build this kind of machine, which there is only one of",
        example: "-machine virt",
        directive: Directive::Machine,
        phase: Phase::Machine,
    },
    Spec {
        names: &["m"],
        value: Some("[size=]<size>"),
        help: "give the machine that much RAM, in MiB or with a unit (k, M, G, T)",
        example: "-m 1G",
        directive: Directive::Memory,
        phase: Phase::Machine,
    },
    Spec {
        names: &["smp"],
        value: Some("[cpus=]<n>"),
        help: "give the machine that many processors, which execute nothing",
        example: "-smp 2",
        directive: Directive::Smp,
        phase: Phase::Machine,
    },
    Spec {
        names: &["cpu"],
        value: Some("<model>[,...]"),
        help: "the model of the processors, any of QEMU's: they execute nothing",
        example: "-cpu qemu64",
        directive: Directive::Cpu,
        phase: Phase::Machine,
    },
    Spec {
        names: &["global"],
        value: Some("virtio-mmio.force-legacy=on|off"),
        help: "give the slots for virtio devices the legacy interface (the default), or that of virtio 1",
        example: "-global virtio-mmio.force-legacy=off",
        directive: Directive::Global,
        phase: Phase::Machine,
    },
    Spec {
        names: &["device"],
        value: Some("[driver=]<type>[,id=<id>][,bus=<bus>][,<property>=<value>...] | <JSON> | help | <type>,help"),
        help: "plug in a device, as the QMP command device_add does",
        example: "-device ib700,id=watchdog",
        directive: Directive::Device,
        phase: Phase::Devices,
    },
    Spec {
        names: &["nodefaults"],
        value: None,
        help: "leave out devices that were not asked for: there are none",
        example: "-nodefaults",
        directive: Directive::NoDefaults,
        phase: Phase::Machine,
    },
    Spec {
        names: &["display"],
        value: Some("none"),
        help: "have no display, the only choice",
        example: "-display none",
        directive: Directive::Display,
        phase: Phase::Machine,
    },
    Spec {
        names: &["audio"],
        value: Some("none"),
        help: "have no sound, the only choice",
        example: "-audio none",
        directive: Directive::Audio,
        phase: Phase::Machine,
    },
    Spec {
        names: &["accel"],
        value: Some("[accel=]qtest | help"),
        help: "let the client of qtest move the guest's clock, by which events are limited, too; there is no processor to \
               run by another accelerator",
        example: "-accel qtest",
        directive: Directive::Accel,
        phase: Phase::Machine,
    },
    Spec {
        names: &["qtest"],
        value: Some("unix:<path>[,server=on][,wait=off] | tcp:<host>:<port>[,...] | stdio"),
        help: "connect to a client of qtest, which reads and writes memory and ports, or listen for one",
        example: "-qtest unix:qtest.sock",
        directive: Directive::Qtest,
        phase: Phase::Machine,
    },
    Spec {
        names: &["qtest-log"],
        value: Some("<path> | none"),
        help: "write what is said over qtest to a file, instead of stderr",
        example: "-qtest-log none",
        directive: Directive::QtestLog,
        phase: Phase::Machine,
    },
    Spec {
        names: &["S"],
        value: None,
        help: "do not start the guest: serve no request before the QMP command cont",
        example: "-S",
        directive: Directive::NoStart,
        phase: Phase::Machine,
    },
    Spec {
        names: &["preconfig"],
        value: None,
        help: "do not start the guest before the QMP command x-exit-preconfig, and permit few commands until then",
        example: "--preconfig",
        directive: Directive::Preconfig,
        phase: Phase::Machine,
    },
    Spec {
        names: &["action"],
        value: Some(
            "[reboot=reset|shutdown][,shutdown=poweroff|pause][,panic=pause|shutdown|exit-failure|none]\
             [,watchdog=reset|shutdown|poweroff|pause|debug|none|inject-nmi]",
        ),
        help: "what is done when the guest is to be reset (reset), shuts down (poweroff), panics (shutdown), or its watchdog \
               expires (reset), as the QMP command set-action decides it; the last one given holds",
        example: "-action shutdown=pause,panic=pause",
        directive: Directive::Action,
        phase: Phase::Machine,
    },
    Spec {
        names: &["watchdog-action"],
        value: Some("reset|shutdown|poweroff|pause|debug|none|inject-nmi"),
        help: "short for -action watchdog=...",
        example: "-watchdog-action pause",
        directive: Directive::WatchdogAction,
        phase: Phase::Machine,
    },
    Spec {
        names: &["no-shutdown"],
        value: None,
        help: "short for -action shutdown=pause: the VM stops when the guest shuts down",
        example: "-no-shutdown",
        directive: Directive::NoShutdown,
        phase: Phase::Machine,
    },
    Spec {
        names: &["no-reboot"],
        value: None,
        help: "short for -action reboot=shutdown: a reset of the guest shuts it down",
        example: "-no-reboot",
        directive: Directive::NoReboot,
        phase: Phase::Machine,
    },
    Spec {
        names: &["name"],
        value: Some("[guest=]<name>[,debug-threads=on]"),
        help: "the guest's name, for query-name",
        example: "-name larder",
        directive: Directive::Name,
        phase: Phase::Machine,
    },
    Spec {
        names: &["uuid"],
        value: Some("<uuid>"),
        help: "the guest's UUID, for query-uuid",
        example: "-uuid 550e8400-e29b-41d4-a716-446655440000",
        directive: Directive::Uuid,
        phase: Phase::Machine,
    },
    Spec {
        names: &["daemonize"],
        value: None,
        help: "go to the background once everything is set up and the sockets listen",
        example: "--daemonize",
        directive: Directive::Daemonize,
        phase: Phase::Machine,
    },
    Spec {
        names: &["pidfile"],
        value: Some("<path>"),
        help: "write the process id to a file, which is locked, and removed at exit",
        example: "--pidfile whystop.pid",
        directive: Directive::Pidfile,
        phase: Phase::Machine,
    },
    Spec {
        names: &["T", "trace"],
        value: Some("<level> | <target>=<level>[,...]"),
        help: "log to stderr: off, error, warn (the default), info, debug or trace, per module if wanted",
        example: "-T info,block=debug",
        directive: Directive::Trace,
        phase: Phase::Machine,
    },
    Spec {
        names: &["h", "help"],
        value: None,
        help: "print this help",
        example: "--help",
        directive: Directive::Help,
        phase: Phase::Machine,
    },
    Spec {
        names: &["V", "version"],
        value: None,
        help: "print the version",
        example: "--version",
        directive: Directive::Version,
        phase: Phase::Machine,
    },
];

/// An option as it was given.
#[derive(Debug)]
pub struct Given {
    /// Which.
    pub spec: &'static Spec,
    /// Its value, "" if it takes none.
    pub value: String,
}

impl Given {
    /// The option's name with its dashes, for messages.
    pub fn name(&self) -> String {
        dashed(self.spec.names[0])
    }
}

/// What is wrong with the arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    /// There is no such option.
    Unknown(String),
    /// Not an option at all.
    Operand(String),
    /// The option lacks its value.
    NoValue(String),
    /// The option takes no value.
    Value(String),
    /// Not UTF-8.
    NotText(OsString),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(option) => write!(f, "{option}: invalid option"),
            Self::Operand(operand) => write!(f, "unexpected argument '{operand}'"),
            Self::NoValue(option) => write!(f, "{option}: option requires a value"),
            Self::Value(option) => write!(f, "{option}: option takes no value"),
            Self::NotText(argument) => write!(f, "'{}' is not valid UTF-8", argument.to_string_lossy()),
        }
    }
}

/// Reads arguments into options, in the order in which they are carried out.
///
/// # Errors
/// The first argument that makes no sense.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<Given>, UsageError> {
    let mut arguments = arguments.into_iter().map(|argument| argument.into_string().map_err(UsageError::NotText));
    let mut given = Vec::new();
    while let Some(argument) = arguments.next().transpose()? {
        let Some(text) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
            return Err(UsageError::Operand(argument));
        };
        let (name, inline) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        let spec = OPTIONS.iter().find(|spec| spec.names.contains(&name));
        let spec = spec.ok_or_else(|| UsageError::Unknown(dashed(name)))?;
        let value = match (spec.value, inline) {
            (None, None) => String::new(),
            (None, Some(_)) => return Err(UsageError::Value(dashed(name))),
            (Some(_), Some(value)) => value,
            (Some(_), None) => arguments.next().transpose()?.ok_or_else(|| UsageError::NoValue(dashed(name)))?,
        };
        given.push(Given { spec, value });
    }
    given.sort_by_key(|given| given.spec.phase);
    Ok(given)
}

/// The help: every option with its example.
pub fn help() -> String {
    let mut text = String::from(
        "Usage: whystop [OPTION]...\n       whystop demo [--help]\n\n\
         Serves block devices whose guest is stopped, not failed, when storage runs out,\n\
         and monitors that say why. Options may stand in any order: objects are created\n\
         before block nodes, these before servers and exports, then monitors, and devices last.\n\n",
    );
    for spec in OPTIONS {
        let names = spec.names.iter().map(|name| dashed(name)).collect::<Vec<_>>().join(", ");
        let value = spec.value.map(|value| format!(" {value}")).unwrap_or_default();
        text += &format!("  {names}{value}\n      {}\n      Example: {}\n", spec.help, spec.example);
    }
    text + "\nWith 'help' for a value, --accel, --blockdev, --chardev, --device, --export, --machine and --object list the known kinds.\n"
}

fn dashed(name: &str) -> String {
    format!("{}{name}", if name.len() == 1 { "-" } else { "--" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(arguments: &[&str]) -> Result<Vec<(Directive, String)>, String> {
        let given = parse(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())?;
        Ok(given.into_iter().map(|given| (given.spec.directive, given.value)).collect())
    }

    #[test]
    fn one_dash_or_two_and_value_apart_or_joined() {
        let expected = Ok(vec![(Directive::NoStart, String::new()), (Directive::Qmp, "stdio".to_owned())]);
        assert_eq!(scan(&["-qmp", "stdio", "-S"]), expected);
        assert_eq!(scan(&["--qmp=stdio", "-S"]), expected);
        assert_eq!(scan(&["--trace", "-x"]), Ok(vec![(Directive::Trace, "-x".to_owned())]));
    }

    #[test]
    fn what_others_refer_to_is_carried_out_first_and_else_in_the_order_given() {
        let given = scan(&["-mon", "c", "-chardev", "c", "--export", "e", "--blockdev", "b", "--blockdev", "a", "-S"]);
        let directives: Vec<_> = given.into_iter().flatten().collect();
        let expected = [
            (Directive::NoStart, ""),
            (Directive::Blockdev, "b"),
            (Directive::Blockdev, "a"),
            (Directive::Export, "e"),
            (Directive::Monitor, "c"),
            (Directive::Chardev, "c"),
        ];
        assert!(directives.iter().map(|(directive, value)| (*directive, value.as_str())).eq(expected));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(scan(&["--blokdev", "x"]), Err("--blokdev: invalid option".into()));
        assert_eq!(scan(&["-x"]), Err("-x: invalid option".into()));
        assert_eq!(scan(&["disk.img"]), Err("unexpected argument 'disk.img'".into()));
        assert_eq!(scan(&["--export"]), Err("--export: option requires a value".into()));
        assert_eq!(scan(&["-S=1"]), Err("-S: option takes no value".into()));
    }

    #[test]
    fn no_two_options_share_a_name_and_every_example_is_accepted() {
        let mut names: Vec<_> = OPTIONS.iter().flat_map(|spec| spec.names).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        for spec in OPTIONS {
            let given = parse(spec.example.split(' ').map(OsString::from)).expect(spec.example);
            assert_eq!(given[0].spec.directive, spec.directive);
        }
    }
}
