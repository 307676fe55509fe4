//! The table of options, in the order of the help.

use super::{Directive, Phase, Spec};

/// Options that the help shows together.
#[derive(Debug)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The options.
    pub options: &'static [Spec],
}

/// Every option.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Disks",
        options: &[
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
                names: &["add-fd"],
                value: Some("fd=<n>,set=<n>[,opaque=<text>]"),
                help: "add a file descriptor that the process was started with to a set; the filename /dev/fdset/<set> is that \
                       image",
                example: "-add-fd fd=3,set=1,opaque=rw:disk.img",
                directive: Directive::AddFd,
                phase: Phase::Objects,
            },
        ],
    },
    Section {
        title: "Exports",
        options: &[
            Spec {
                names: &["nbd-server"],
                value: Some(
                    "addr.type=unix,addr.path=<path> | addr.type=inet,addr.host=<host>,addr.port=<port> | \
                     addr.type=fd,addr.str=<name in LISTEN_FDNAMES, or number>",
                ),
                help: "start the NBD server; also max-connections=<n>, handshake-max-seconds=<n>, addr.to, addr.ipv4, addr.ipv6 \
                       and addr.mptcp, and mode, group, allow-uid, allow-gid and tls-creds, as for --chardev",
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
        ],
    },
    Section {
        title: "Monitors",
        options: &[
            Spec {
                names: &["chardev"],
                value: Some("<backend>,id=<id>[,<key>=<value>...] | help"),
                help: "create a socket or terminal for a monitor or qtest: path=<path>[,abstract=on[,tight=off]], host=<host>,port=<port>\
                       [,to=<port>][,ipv4=on|off][,ipv6=on|off][,nodelay=off][,mptcp=on] or fd=<name in LISTEN_FDNAMES, or number>; \
                       connect again after reconnect-ms=<n> or reconnect=<seconds>; with server=on wait=off (else nothing \
                       starts before the first client is there), \
                       mode=<octal, 0600 by default>, group=<group>, allow-uid=<user>, allow-gid=<group> \
                       (allow-uid.0=<user>,allow-uid.1=<user> for several; without mode they alone decide, and the file is \
                       0666); tls-creds=<id of an object>",
                example: "--chardev socket,id=qmp0,path=qmp.sock,server=on,wait=off",
                directive: Directive::Chardev,
                phase: Phase::Chardevs,
            },
            Spec {
                names: &["monitor", "mon"],
                value: Some(
                    "[chardev=]<id>[,mode=control|readline][,pretty=on|off][,outbuf=<bytes>][,max-clients=<n>] | \
                     unix:<path>[,...] | tcp:<host>:<port>[,...] | stdio | help",
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
                names: &["qmp-pretty"],
                value: Some("unix:<path>[,...] | tcp:<host>:<port>[,...] | stdio | chardev:<id>"),
                help: "serve QMP in the same places, indented for people",
                example: "-qmp-pretty unix:qmp.sock,server=on,wait=off",
                directive: Directive::QmpPretty,
                phase: Phase::Monitors,
            },
            Spec {
                names: &["object"],
                value: Some("[qom-type=]<type>,id=<id>[,<key>=<value>...] | <JSON> | help"),
                help: "create an object, as the QMP command object-add does: tls-creds-x509,dir=<directory>[,endpoint=server]\
                       [,verify-peer=off] reads ca-cert.pem, server-cert.pem and server-key.pem; memory-backend-ram,\
                       size=<bytes> sets memory aside",
                example: "--object tls-creds-x509,id=tls0,dir=/etc/pki/whystop,endpoint=server",
                directive: Directive::Object,
                phase: Phase::Objects,
            },
        ],
    },
    Section {
        title: "The machine",
        options: &[
            Spec {
                names: &["machine", "M"],
                value: Some("[type=]<machine>[,accel=qtest][,ioapic2=off] | help"),
                help: "build this kind of machine, which there is only one of; accel as --accel; microvm has no second I/O APIC",
                example: "-machine virt",
                directive: Directive::Machine,
                phase: Phase::Machine,
            },
            Spec {
                names: &["m"],
                value: Some("[size=]<size>"),
                help: "give the machine that much RAM, in MiB or with a unit (k, M, G, T, P, E)",
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
                value: Some("<model>[,...] | help"),
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
                value: Some(
                    "[driver=]<type>[,id=<id>][,bus=<bus>][,<property>=<value>...] | <JSON> | help | <type>,help",
                ),
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
                value: Some("none | help"),
                help: "have no display, the only choice",
                example: "-display none",
                directive: Directive::Display,
                phase: Phase::Machine,
            },
            Spec {
                names: &["vga"],
                value: Some("none | help"),
                help: "have no graphics card, the only choice",
                example: "-vga none",
                directive: Directive::Vga,
                phase: Phase::Machine,
            },
            Spec {
                names: &["audio"],
                value: Some("none | help"),
                help: "have no sound, the only choice",
                example: "-audio none",
                directive: Directive::Audio,
                phase: Phase::Machine,
            },
        ],
    },
    Section {
        title: "The guest",
        options: &[
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
        ],
    },
    Section {
        title: "A test in the guest's place",
        options: &[
            Spec {
                names: &["qtest"],
                value: Some("unix:<path>[,server=on][,wait=off] | tcp:<host>:<port>[,...] | stdio | chardev:<id>"),
                help: "connect to a client of qtest, which reads and writes memory and ports, or listen for one",
                example: "-qtest unix:qtest.sock",
                directive: Directive::Qtest,
                phase: Phase::Qtest,
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
                names: &["accel"],
                value: Some("[accel=]qtest | help"),
                help: "let the client of qtest move the guest's clock, by which events are limited, too; there is no processor to \
                       run by another accelerator",
                example: "-accel qtest",
                directive: Directive::Accel,
                phase: Phase::Machine,
            },
        ],
    },
    Section {
        title: "The process",
        options: &[
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
        ],
    },
];
