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

pub(crate) use terminal::Terminal;

/// Carries out a QMP command.
pub type Qmp<'a> = dyn Fn(&str, Value) -> Result<Value, Error> + 'a;

/// Carries out a line, and returns what it is answered, in lines that end with `\n`.
pub fn run(qmp: &Qmp<'_>, line: &str) -> String {
    let words = match arguments::split(line) {
        Ok(words) => words,
        Err(error) => return format!("{error}\n"),
    };
    let Some((name, rest)) = words.split_first() else {
        return String::new();
    };
    let Some(mut command) = table::find(table::COMMANDS, name) else {
        return format!("unknown command: '{name}'\n");
    };
    let (mut path, mut rest) = (command.names[0].to_owned(), rest);
    while let table::Action::Group(beneath) = command.action {
        let Some((name, further)) = rest.split_first() else {
            return table::overview(&path, beneath);
        };
        let Some(found) = table::find(beneath, name) else {
            return format!("unknown command: '{path} {name}'\n");
        };
        path = format!("{path} {}", found.names[0]);
        (command, rest) = (found, further);
    }
    let table::Action::Run(action) = command.action else {
        return String::new();
    };
    match arguments::read(command.arguments, rest) {
        Err(error) => format!("{path}: {error}\nTry \"help {path}\" for more information\n"),
        Ok(values) => action(qmp, &values).unwrap_or_else(|error| format!("Error: {error}\n")),
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
                   "cache": {"writeback": false, "direct": true, "no-flush": true}, "image": {"virtual-size": 512}})
        };
        let at = json!({"seconds": 0, "microseconds": 1});
        Ok(match command {
            "query-status" => json!({"running": false, "status": "io-error"}),
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
                {"device": "cd0", "io-status": "ok"},
            ]),
            "query-blockstats" => json!([{"device": "vda", "stats": {"rd_bytes": 1, "wr_bytes": 2, "other": 3}}]),
            "block_resize" if arguments.get("device").is_some() => {
                return Err(Error::new(ErrorClass::DeviceNotFound, "no device"));
            }
            "block_resize" if arguments == json!({"node-name": "n", "size": 65536}) => json!({}),
            _ => return Err(Error::generic(format!("{command} {arguments}"))),
        })
    }

    #[test]
    fn a_stop_is_explained_with_each_device_that_failed() {
        assert_eq!(run(&qmp, "info status"), "VM status: paused (io-error)\n");
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
        assert_eq!(run(&qmp, "info stop-reason"), expected);
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
        assert_eq!(run(&qmp, "info block"), format!("{vda}\ncd0: [not inserted]\n"));
        assert_eq!(run(&qmp, "info block n"), vda);
        assert_eq!(run(&qmp, "info block -v vda"), format!("{vda}    Virtual size:     512 bytes\n"));
        assert_eq!(run(&qmp, "info blockstats"), "vda: rd_bytes=1 wr_bytes=2\n");
    }

    #[test]
    fn a_name_that_is_no_device_is_that_of_a_node() {
        assert_eq!(run(&qmp, "block_resize n 64k"), "");
        assert_eq!(run(&qmp, "block_resize x 1"), "Error: block_resize {\"node-name\":\"x\",\"size\":1048576}\n");
    }

    #[test]
    fn the_help_is_the_table() {
        let help = run(&qmp, "help");
        assert!(
            table::COMMANDS.iter().all(|command| help.contains(&format!("{} ", command.names.join("|")))),
            "{help}"
        );
        assert_eq!(run(&qmp, "help stop"), "stop|s -- stop the guest\n");
        assert_eq!(run(&qmp, "help info"), run(&qmp, "info"));
        assert_eq!(run(&qmp, "help info status"), "info status -- whether the guest runs\n");
        assert_eq!(run(&qmp, "? nonsense"), "Error: unknown command: 'nonsense'\n");
        assert_eq!(run(&qmp, "help stop now"), "Error: unknown command: 'stop now'\n");
    }
}
