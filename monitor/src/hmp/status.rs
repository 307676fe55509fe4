//! `info status` and `info stop-reason`, the run state in words, and what the VM and this program are called.

use std::fmt::Write;

use qapi_schema::Error;
use serde_json::{Value, json};

use super::Qmp;
use super::arguments::Values;
use super::moment::moment;

/// As QEMU says it.
pub(super) fn status(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    let status = qmp("query-status", json!({}))?;
    Ok(match (status["running"].as_bool(), status["status"].as_str()) {
        (Some(true), _) => "VM status: running\n".into(),
        (_, None | Some("paused")) => "VM status: paused\n".into(),
        (_, Some(state)) => format!("VM status: paused ({state})\n"),
    })
}

pub(super) fn stop_reason(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    let answer = qmp("query-stop-reason", json!({}))?;
    let mut text = match answer["reason"].as_str() {
        None => "VM is running\n".to_owned(),
        Some(reason) => format!("VM is stopped: {} ({reason})\n", in_words(reason)),
    };
    let stop = &answer["last-stop"];
    if !stop.is_object() {
        return Ok(text);
    }
    let (id, at) = (&stop["id"], moment(&stop["stopped-at"]));
    let until = stop.get("resumed-at").map_or_else(String::new, |resumed| format!(" until {}", moment(resumed)));
    let cause = in_words(stop["reason"].as_str().unwrap_or_default());
    // Into a string nothing fails.
    let _ = writeln!(text, "Stop {id}: {cause}, since {at}{until}");
    for error in stop["io-errors"].as_array().into_iter().flatten() {
        text += &failure(error);
    }
    Ok(text)
}

/// A line, or nothing.
pub(super) fn name(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    let answer = qmp("query-name", json!({}))?;
    Ok(answer["name"].as_str().map_or_else(String::new, |name| format!("{name}\n")))
}

pub(super) fn uuid(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    let answer = qmp("query-uuid", json!({}))?;
    Ok(format!("{}\n", answer["UUID"].as_str().unwrap_or_default()))
}

/// As QEMU says it: the package follows at once.
pub(super) fn version(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    let answer = qmp("query-version", json!({}))?;
    let (qemu, package) = (&answer["qemu"], answer["package"].as_str().unwrap_or_default());
    Ok(format!("{}.{}.{}{package}\n", qemu["major"], qemu["minor"], qemu["micro"]))
}

/// What failed, in three lines.
fn failure(error: &Value) -> String {
    let word = |key: &str| error[key].as_str().unwrap_or_default();
    let node = match word("node-name") {
        "" => String::new(),
        name => format!(" ({name})"),
    };
    let device = if word("device").is_empty() { word("qom-path") } else { word("device") };
    let place = match (error["offset"].as_u64(), error["length"].as_u64()) {
        (Some(offset), Some(length)) => format!(", at offset {offset}, length {length}"),
        (Some(offset), None) => format!(", at offset {offset}"),
        (None, _) => String::new(),
    };
    format!(
        "{device}{node}: {} failed: {} ({})\n    First:            {}{place}\n    Failed:           {}, held: {}\n",
        word("operation"),
        word("message"),
        word("reason"),
        moment(&error["first-at"]),
        error["count"],
        error["held"],
    )
}

fn in_words(reason: &str) -> &str {
    match reason {
        "user" => "by a command",
        "debug" => "by a debugger",
        "shutdown" => "the guest shut down",
        "ioerror" => "I/O error",
        "watchdog" => "a watchdog expired",
        "panic" => "the guest panicked",
        "savevm" => "a snapshot is being saved",
        "loadvm" => "a snapshot is being loaded",
        "migrate" => "migration",
        "prelaunch" => "not started yet",
        "incoming" => "waiting for an incoming migration",
        "suspended" => "the guest sleeps",
        "internal-error" => "internal error",
        other => other,
    }
}
