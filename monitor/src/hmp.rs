//! The human monitor: lines for people, each carried out by QMP commands and answered in words.
//!
//! ```text
//!   terminal <--> connection <--> session        a person types, and the session hears QMP
//!      |  editor (keys), completion
//!      +-- human-monitor-command --> run --> arguments --> a command of the table --> QMP commands by name
//! ```

mod arguments;
mod block;
mod completion;
mod editor;
mod keys;
mod moment;
mod status;
mod table;
mod terminal;

use qapi_schema::Error;
use serde_json::Value;

use crate::preconfig::Preconfig;
pub(crate) use terminal::Terminal;

/// Carries out a QMP command.
pub type Qmp<'a> = dyn Fn(&str, Value) -> Result<Value, Error> + 'a;

/// Carries out a line, and returns what it is answered, in lines that end with `\n`. Before the machine is built some
/// commands are not there.
pub fn run(qmp: &Qmp<'_>, preconfig: &Preconfig, line: &str) -> String {
    let (mut action, mut names, mut arguments) = (table::Action::Group(table::COMMANDS), String::new(), &[][..]);
    let mut rest = line.trim_start();
    while let table::Action::Group(commands) = action {
        let (name, after) = rest.split_at(rest.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(rest.len()));
        if rest.is_empty() {
            return if names.is_empty() { names } else { table::overview(&names, commands) };
        }
        // As it was typed.
        let path = line.strip_suffix(after).unwrap_or_default();
        let Some(command) = table::find(commands, name) else {
            return format!("unknown command: '{path}'\n");
        };
        if preconfig.is_on() && !command.in_preconfig {
            return format!("Command '{path}' not available until machine initialization has completed.\n");
        }
        (action, names, arguments) = (command.action, command.names.join("|"), command.arguments);
        rest = after.trim_start();
    }
    let table::Action::Run(run) = action else { return String::new() };
    match arguments::read(&names, arguments, rest) {
        Ok(values) => run(qmp, &values).unwrap_or_else(|error| format!("Error: {error}\n")),
        Err(error) => {
            let path = line.strip_suffix(rest).unwrap_or_default().trim_end();
            format!("{error}\nTry \"help {path}\" for more information\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qapi_schema::ErrorClass;
    use serde_json::json;

    /// A VM that stopped for want of space, with one disk that has a device and one without.
    fn qmp(command: &str, arguments: Value) -> Result<Value, Error> {
        let node = |name: &str| {
            json!({"node-name": name, "file": "a.img", "drv": "file", "ro": true, "detect_zeroes": "on",
                   "cache": {"writeback": false, "direct": true, "no-flush": true}, "image": {"filename": "a.img", "format": "raw", "virtual-size": 1536}})
        };
        let at = json!({"seconds": 0, "microseconds": 1});
        Ok(match command {
            "query-status" => json!({"running": false, "status": "io-error"}),
            "query-name" => json!({"name": "larder"}),
            "query-uuid" => json!({"UUID": "00000000-0000-0000-0000-000000000001"}),
            "query-version" => json!({"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": " (it)"}),
            "query-stop-reason" => json!({"reason": "ioerror", "last-stop": {
            "id": 7, "reason": "ioerror", "stopped-at": at, "io-errors": [
                {"qom-path": "/exports/e", "device": "", "node-name": "thin", "operation": "write",
                 "reason": "enospc", "message": "No space left on device", "first-at": at, "count": 3, "held": 2,
                 "offset": 4096, "length": 512},
                {"qom-path": "/machine/x", "device": "vda", "operation": "read", "reason": "eio",
                 "message": "Input/output error", "first-at": at, "count": 1, "held": 1},
            ]}}),
            "query-block" => json!([
                {"device": "vda", "qdev": "/machine/x", "io-status": "failed", "inserted": node("n")},
                {"device": "cd0", "io-status": "ok", "removable": true, "locked": false},
            ]),
            "query-named-block-nodes" => json!([node("m"), node("n")]),
            "query-blockstats" => json!([{"device": "vda", "stats": {"rd_bytes": 1, "wr_bytes": 2, "other": 3}}]),
            "block_resize" if arguments.get("device").is_some() => {
                return Err(Error::new(ErrorClass::DeviceNotFound, "no device"));
            }
            "block_resize" if arguments == json!({"node-name": "n", "size": 65536}) => json!({}),
            _ => return Err(Error::generic(format!("{command} {arguments}"))),
        })
    }

    fn say(line: &str) -> String {
        run(&qmp, &Preconfig::default(), line)
    }

    #[test]
    fn a_stop_is_explained_with_each_device_that_failed() {
        assert_eq!(say("info status"), "VM status: paused (io-error)\n");
        let expected = "\
VM is stopped: I/O error (ioerror)
Stop 7: I/O error, since 1970-01-01 00:00:00.000001 UTC
/exports/e (thin): write failed: No space left on device (enospc)
    First:            1970-01-01 00:00:00.000001 UTC, at offset 4096, length 512
    Failed:           3, held: 2
vda: read failed: Input/output error (eio)
    First:            1970-01-01 00:00:00.000001 UTC
    Failed:           1, held: 1
";
        assert_eq!(say("info stop-reason"), expected);
    }

    #[test]
    fn all_have_names() {
        let told = ["info name", "info uuid", "info version"].map(say);
        assert_eq!(told, ["larder\n", "00000000-0000-0000-0000-000000000001\n", "10.0.2 (it)\n"]);
    }

    #[test]
    fn disks_are_described() {
        let vda = "\
vda (n): a.img (file, read-only)
    Attached to:      /machine/x
    I/O status:       failed
    Cache mode:       writethrough, direct, ignore flushes
    Detect zeroes:    on
";
        let cd0 = "cd0: [not inserted]\n    Removable device: not locked, tray closed\n";
        assert_eq!(say("info block"), format!("{vda}\n{cd0}"));
        assert_eq!(say("info block n"), vda);
        let alone = "\
m: a.img (file, read-only)
    Cache mode:       writethrough, direct, ignore flushes
    Detect zeroes:    on
";
        assert_eq!(say("info block m"), alone, "a node that no device uses");
        assert_eq!(say("info block x"), "Error: Device 'x' not found\n");
        let image =
            "\nImages:\nimage: a.img\nfile format: raw\nvirtual size: 1.5 KiB (1536 bytes)\ndisk size: unavailable\n";
        assert_eq!(say("info block -v vda"), format!("{vda}{image}"));
        assert_eq!(say("info blockstats"), "vda: rd_bytes=1 wr_bytes=2\n");
    }

    #[test]
    fn a_name_that_is_no_device_is_that_of_a_node() {
        assert_eq!(say("block_resize n 64k"), "");
        assert_eq!(say("block_resize x 1"), "Error: no device\n");
    }

    #[test]
    fn the_help_is_the_table() {
        let help = say("help");
        assert!(
            table::COMMANDS.iter().all(|command| help.contains(&format!("{} ", command.names.join("|")))),
            "{help}"
        );
        assert_eq!(say("help stop"), "stop|s  -- stop the guest\n");
        assert_eq!(say("help info"), say("info"));
        assert_eq!(say("help info status"), "info status  -- whether the guest runs\n");
        assert_eq!(say("? nonsense"), "unknown command: 'nonsense'\n");
        assert_eq!(say("help stop now"), "unknown command: 'stop now'\n");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_in_the_words_that_were_typed() {
        for (line, answer) in [
            ("  ", ""),
            ("  nonsense x", "unknown command: '  nonsense'"),
            ("info   nonsense y", "unknown command: 'info   nonsense'"),
            ("s/x", "stop|s: extraneous characters at the end of line\nTry \"help s\" for more information"),
            (
                "info  status x",
                "status: extraneous characters at the end of line\nTry \"help info  status\" for more information",
            ),
            ("block_resize \"d", "block_resize: unterminated string\nTry \"help block_resize\" for more information"),
        ] {
            assert_eq!(say(line).trim_end(), answer, "{line}");
        }
    }

    #[test]
    fn before_the_machine_is_built_some_commands_are_not_there() {
        let preconfig = Preconfig::default();
        preconfig.begin();
        let say = |line: &str| run(&qmp, &preconfig, line);
        assert_eq!(say("info status"), "VM status: paused (io-error)\n");
        for line in ["stop", "c", "info block"] {
            let refusal = format!("Command '{line}' not available until machine initialization has completed.\n");
            assert_eq!(say(line), refusal);
        }
        assert_eq!(say("exit_preconfig"), "Error: x-exit-preconfig {}\n");
    }
}
