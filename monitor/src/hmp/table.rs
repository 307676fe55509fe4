//! The commands of the human monitor: one table, from which they are found, completed and explained.

use qapi_schema::Error;
use serde_json::{Value, json};

use super::arguments::{Argument, Kind, Values};
use super::{Qmp, block, status};

/// A command.
#[derive(Debug)]
pub(super) struct Spec {
    /// Its name and its short ones.
    pub(super) names: &'static [&'static str],
    pub(super) arguments: &'static [Argument],
    pub(super) help: &'static str,
    /// Whether it is there before the machine is built.
    pub(super) in_preconfig: bool,
    pub(super) action: Action,
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Run(fn(&Qmp<'_>, &Values) -> Result<String, Error>),
    /// The next word says.
    Group(&'static [Spec]),
}

/// Every command, in the order of the alphabet, which is that of the help.
pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        names: &["block_resize"],
        arguments: &[Argument::required("device", Kind::Device), Argument::required("size", Kind::Size)],
        help: "change the size of a device or node; in MiB unless it ends in b, k, M, G, T, P or E",
        in_preconfig: true,
        action: Action::Run(block_resize),
    },
    Spec {
        names: &["cont", "c"],
        arguments: &[],
        help: "let the guest go on, and retry what is held",
        in_preconfig: false,
        action: Action::Run(cont),
    },
    Spec {
        names: &["exit_preconfig"],
        arguments: &[],
        help: "build the machine",
        in_preconfig: true,
        action: Action::Run(exit_preconfig),
    },
    Spec {
        names: &["help", "?"],
        arguments: &[Argument::optional("cmd", Kind::Command), Argument::optional("subcmd", Kind::Text)],
        help: "show the help",
        in_preconfig: true,
        action: Action::Run(help),
    },
    Spec {
        names: &["info"],
        arguments: INFO_ARGUMENTS,
        help: "show what is known of the VM",
        in_preconfig: true,
        action: Action::Group(INFO),
    },
    Spec {
        names: &["quit", "q"],
        arguments: &[],
        help: "end the process",
        in_preconfig: true,
        action: Action::Run(quit),
    },
    Spec {
        names: &["stop", "s"],
        arguments: &[],
        help: "stop the guest",
        in_preconfig: false,
        action: Action::Run(stop),
    },
    Spec {
        names: &["system_powerdown"],
        arguments: &[],
        help: "press the guest's power button",
        in_preconfig: false,
        action: Action::Run(system_powerdown),
    },
    Spec {
        names: &["system_reset"],
        arguments: &[],
        help: "reset the guest",
        in_preconfig: false,
        action: Action::Run(system_reset),
    },
];

const INFO_ARGUMENTS: &[Argument] = &[Argument::optional("subcommand", Kind::Text)];

const INFO: &[Spec] = &[
    Spec {
        names: &["block"],
        arguments: &[Argument::flag("-n"), Argument::flag("-v"), Argument::optional("device", Kind::Device)],
        help: "the disks (-n: all nodes; -v: with their images)",
        in_preconfig: false,
        action: Action::Run(block::info),
    },
    Spec {
        names: &["blockstats"],
        arguments: &[],
        help: "how much the disks were used",
        in_preconfig: false,
        action: Action::Run(block::statistics),
    },
    Spec {
        names: &["name"],
        arguments: &[],
        help: "the VM's name, if it has one",
        in_preconfig: true,
        action: Action::Run(status::name),
    },
    Spec {
        names: &["status"],
        arguments: &[],
        help: "whether the guest runs",
        in_preconfig: true,
        action: Action::Run(status::status),
    },
    Spec {
        names: &["stop-reason"],
        arguments: &[],
        help: "why the guest is stopped, and which devices failed",
        in_preconfig: true,
        action: Action::Run(status::stop_reason),
    },
    Spec {
        names: &["uuid"],
        arguments: &[],
        help: "the VM's UUID",
        in_preconfig: true,
        action: Action::Run(status::uuid),
    },
    Spec {
        names: &["version"],
        arguments: &[],
        help: "the version of QEMU that is followed, and ours",
        in_preconfig: true,
        action: Action::Run(status::version),
    },
];

/// The command of this name.
pub(super) fn find(commands: &'static [Spec], name: &str) -> Option<&'static Spec> {
    commands.iter().find(|command| command.names.contains(&name))
}

/// One line for each command of a group.
pub(super) fn overview(path: &str, commands: &[Spec]) -> String {
    let prefix = if path.is_empty() { String::new() } else { format!("{path} ") };
    let line = |command: &Spec| {
        let arguments: Vec<_> = command.arguments.iter().map(ToString::to_string).collect();
        format!("{prefix}{} {} -- {}\n", command.names.join("|"), arguments.join(" "), command.help)
    };
    commands.iter().map(line).collect()
}

fn help(_: &Qmp<'_>, values: &Values) -> Result<String, Error> {
    let Some(name) = values.text("cmd") else {
        return Ok(overview("", COMMANDS));
    };
    let unknown = |path: &str| format!("unknown command: '{path}'\n");
    let Some(command) = find(COMMANDS, name) else { return Ok(unknown(name)) };
    Ok(match (command.action, values.text("subcmd")) {
        (Action::Run(_), None) => overview("", std::slice::from_ref(command)),
        (Action::Group(beneath), None) => overview(command.names[0], beneath),
        (Action::Group(beneath), Some(sub)) => match find(beneath, sub) {
            Some(found) => overview(command.names[0], std::slice::from_ref(found)),
            None => unknown(&format!("{name} {sub}")),
        },
        (Action::Run(_), Some(sub)) => unknown(&format!("{name} {sub}")),
    })
}

fn quit(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    silent(qmp, "quit", json!({}))
}

fn stop(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    silent(qmp, "stop", json!({}))
}

fn cont(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    silent(qmp, "cont", json!({}))
}

fn system_powerdown(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    silent(qmp, "system_powerdown", json!({}))
}

fn system_reset(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    silent(qmp, "system_reset", json!({}))
}

fn exit_preconfig(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    silent(qmp, "x-exit-preconfig", json!({}))
}

/// A command of QMP that returns nothing.
fn silent(qmp: &Qmp<'_>, command: &str, arguments: Value) -> Result<String, Error> {
    qmp(command, arguments).map(|_| String::new())
}

/// By the name of a device, or, if there is none of this name, of a node.
fn block_resize(qmp: &Qmp<'_>, values: &Values) -> Result<String, Error> {
    let (name, size) = (values.text("device").unwrap_or_default(), values.size("size").unwrap_or_default());
    let is_known = |query: &str, key: &str| {
        let known = qmp(query, json!({}))?;
        Ok(known.as_array().into_iter().flatten().any(|one| one[key] == name))
    };
    let is_node = !is_known("query-block", "device")? && is_known("query-named-block-nodes", "node-name")?;
    let key = if is_node { "node-name" } else { "device" };
    silent(qmp, "block_resize", json!({key: name, "size": size}))
}
