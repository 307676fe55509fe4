//! The command line: a table of options, and a scan that turns arguments into directives in the order of their phases.
//!
//! Both `-option` and `--option` are accepted, with the value as the next argument or after `=`. What an option's value
//! means is decided where it is carried out, see [`daemon`](crate::daemon).

use std::ffi::OsString;
use std::fmt;

mod options;

pub use options::{SECTIONS, Section};

/// How wide the help is.
const WIDTH: usize = 80;

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
    /// Create a character device for monitors and qtest.
    Chardev,
    /// Create a monitor on a character device.
    Monitor,
    /// Create a monitor with a character device of its own.
    Qmp,
    /// The same, indented for people.
    QmpPretty,
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
    /// Choose a graphics card: none.
    Vga,
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
    /// Character devices, which are opened by what stands on them.
    Chardevs,
    /// qtest: its client is there before a monitor waits for one.
    Qtest,
    /// Block nodes.
    Nodes,
    /// Drives, which may have such nodes beneath them.
    Drives,
    /// Servers and exports, which serve block nodes.
    Exports,
    /// Monitors: whoever connects finds all disks there.
    Monitors,
    /// Devices, which may refer to all of these.
    Devices,
}

/// An option: how it is spelt, and what the help says of it.
#[derive(Debug)]
pub struct Spec {
    /// Its names, without dashes.
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

/// An option as it was given.
#[derive(Debug)]
pub struct Given {
    /// Which.
    pub spec: &'static Spec,
    /// By which of its names.
    name: &'static str,
    /// Its value, "" if it takes none.
    pub value: String,
}

impl Given {
    /// The option's name as it was given, with its dashes, for messages.
    pub fn name(&self) -> String {
        dashed(self.name)
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
        let found = options().find_map(|spec| Some((spec, *spec.names.iter().find(|known| **known == name)?)));
        let (spec, name) = found.ok_or_else(|| UsageError::Unknown(dashed(name)))?;
        let value = match (spec.value, inline) {
            (None, None) => String::new(),
            (None, Some(_)) => return Err(UsageError::Value(dashed(name))),
            (Some(_), Some(value)) => value,
            (Some(_), None) => arguments.next().transpose()?.ok_or_else(|| UsageError::NoValue(dashed(name)))?,
        };
        given.push(Given { spec, name, value });
    }
    given.sort_by_key(|given| given.spec.phase);
    Ok(given)
}

fn options() -> impl Iterator<Item = &'static Spec> {
    SECTIONS.iter().flat_map(|section| section.options)
}

/// The help: every option with its example.
pub fn help() -> String {
    let mut text = String::from(
        "Usage: whystop [OPTION]...\n       whystop demo [--help]\n\n\
         Serves block devices whose guest is stopped, not failed, when storage runs out,\n\
         and monitors that say why. Options may stand in any order, -option or --option:\n\
         the machine is built first, then come objects, block nodes, drives, servers and\n\
         exports, monitors, and devices last.\n",
    );
    for Section { title, options } in SECTIONS {
        text += &format!("\n{title}\n");
        for Spec { names, value, help, example, .. } in *options {
            let names = names.iter().map(|name| dashed(name)).collect::<Vec<_>>().join(", ");
            text += &wrapped(2, 6, format!("{names} {}", value.unwrap_or_default()).split_inclusive([' ', '|', ']']));
            text += &wrapped(6, 6, help.split_inclusive(' '));
            text += &format!("      Example: {example}\n");
        }
    }
    text + "\n\
            With 'help' for a value, --accel, --audio, --blockdev, --chardev, --cpu,\n\
            --device, --display, --export, --machine, --monitor, --object and --vga list\n\
            the known kinds.\n"
}

/// Lines of these pieces, the first indented by `first` columns, the others by `rest`.
fn wrapped<'a>(first: usize, rest: usize, pieces: impl Iterator<Item = &'a str>) -> String {
    let (mut text, mut line) = (String::new(), " ".repeat(first));
    for piece in pieces {
        if line.len() + piece.trim_end().len() > WIDTH && !line.trim_start().is_empty() {
            text += line.trim_end();
            text += "\n";
            line = " ".repeat(rest);
        }
        line += piece;
    }
    text + line.trim_end() + "\n"
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
        let chardevs = ["-mon", "c", "-qtest", "chardev:c", "-chardev", "c"];
        let given = scan(&[&chardevs[..], &["--export", "e", "--blockdev", "b", "--blockdev", "a", "-S"]].concat());
        let directives: Vec<_> = given.into_iter().flatten().collect();
        let expected = [
            (Directive::NoStart, ""),
            (Directive::Chardev, "c"),
            (Directive::Qtest, "chardev:c"),
            (Directive::Blockdev, "b"),
            (Directive::Blockdev, "a"),
            (Directive::Export, "e"),
            (Directive::Monitor, "c"),
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
        let mut names: Vec<_> = options().flat_map(|spec| spec.names).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        for spec in options() {
            let given = parse(spec.example.split(' ').map(OsString::from)).expect(spec.example);
            assert_eq!(given[0].spec.directive, spec.directive);
        }
    }

    #[test]
    fn the_help_has_every_option_with_its_example_and_fits_a_terminal() {
        let help = help();
        let has = |line: &str| help.lines().any(|other| other.trim_start() == line);
        for spec in options() {
            assert!(has(&format!("Example: {}", spec.example)), "{}", spec.example);
        }
        assert!(SECTIONS.iter().all(|section| help.contains(&format!("\n\n{}\n", section.title))));
        // What is typed as one word is not broken.
        let mut long = help.lines().filter(|line| line.len() > WIDTH);
        assert_eq!(long.find(|line| !line.contains("Example: ") && line.trim_start().contains(' ')), None);
    }

    #[test]
    fn lines_are_broken_after_what_fits() {
        assert_eq!(wrapped(2, 4, ["ab ", "cd"].into_iter()), "  ab cd\n");
        let pieces = ["a".repeat(77) + " ", "bc ".into(), "d".into()];
        assert_eq!(wrapped(2, 4, pieces.iter().map(String::as_str)), format!("  {}\n    bc d\n", "a".repeat(77)));
    }
}
