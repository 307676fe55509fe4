//! `info block` and `info blockstats`: disks in the form that QEMU gives them.

use std::fmt::Write;

use qapi_schema::Error;
use serde_json::{Value, json};

use super::Qmp;
use super::arguments::Values;

/// Members of statistics, in QEMU's order.
const COUNTERS: &[&str] = &[
    "rd_bytes",
    "wr_bytes",
    "rd_operations",
    "wr_operations",
    "flush_operations",
    "wr_total_time_ns",
    "rd_total_time_ns",
    "flush_total_time_ns",
    "rd_merged",
    "wr_merged",
    "idle_time_ns",
];

pub(super) fn info(qmp: &Qmp<'_>, values: &Values) -> Result<String, Error> {
    let (wanted, nodes_only) = (values.text("device"), values.has("-n"));
    let is_wanted =
        |disk: &&Value| wanted.is_none_or(|name| [disk["device"].as_str(), node_name(disk)].contains(&Some(name)));
    let texts = |disks: Vec<Value>| -> Vec<_> {
        disks.iter().filter(is_wanted).map(|disk| describe(disk, values.has("-v"))).collect()
    };
    let list = |query: &str| Ok(qmp(query, json!({}))?.as_array().cloned().unwrap_or_default());
    let mut found = if nodes_only { Vec::new() } else { texts(list("query-block")?) };
    // A name that no device has may be that of a node without one.
    if found.is_empty() && (nodes_only || wanted.is_some()) {
        let nodes = list("query-named-block-nodes")?.into_iter();
        found = texts(nodes.map(|node| json!({"inserted": node})).collect());
    }
    match wanted {
        Some(name) if found.is_empty() => Err(Error::generic(format!("Device '{name}' not found"))),
        Some(_) | None => Ok(found.join("\n")),
    }
}

fn node_name(disk: &Value) -> Option<&str> {
    disk["inserted"]["node-name"].as_str()
}

fn describe(disk: &Value, verbose: bool) -> String {
    let (device, qdev) = (name(&disk["device"]), name(&disk["qdev"]));
    let node = &disk["inserted"];
    let title = match (device, node_name(disk)) {
        (Some(device), Some(node)) => format!("{device} ({node})"),
        (Some(device), None) => device.to_owned(),
        (None, node) => node.or(qdev).unwrap_or("<anonymous>").to_owned(),
    };
    let read_only = if node["ro"] == true { ", read-only" } else { "" };
    let (file, driver) = (node["file"].as_str().unwrap_or_default(), node["drv"].as_str().unwrap_or_default());
    let medium = if node.is_null() { "[not inserted]".to_owned() } else { format!("{file} ({driver}{read_only})") };
    let mut out = format!("{title}: {medium}\n");
    let mut line = |label: &str, value: &str| {
        // Into a string nothing fails.
        let _ = writeln!(out, "    {:<18}{value}", format!("{label}:"));
    };
    if let Some(qdev) = qdev {
        line("Attached to", qdev);
    }
    if let Some(status) = disk["io-status"].as_str().filter(|status| *status != "ok") {
        line("I/O status", status);
    }
    if disk["removable"] == true {
        // No tray opens here.
        line("Removable device", &format!("{}locked, tray closed", if disk["locked"] == true { "" } else { "not " }));
    }
    if node.is_null() {
        return out;
    }
    let cache = &node["cache"];
    let mode = if cache["writeback"] == true { "writeback" } else { "writethrough" };
    let direct = if cache["direct"] == true { ", direct" } else { "" };
    let no_flush = if cache["no-flush"] == true { ", ignore flushes" } else { "" };
    line("Cache mode", &format!("{mode}{direct}{no_flush}"));
    if let Some(zeroes) = node["detect_zeroes"].as_str().filter(|zeroes| *zeroes != "off") {
        line("Detect zeroes", zeroes);
    }
    if verbose {
        out += &image(&node["image"]);
    }
    out
}

fn image(image: &Value) -> String {
    let text = |key: &str| image[key].as_str().unwrap_or_default();
    let size = image["virtual-size"].as_u64().unwrap_or_default();
    let on_disk = image["actual-size"].as_u64().map_or_else(|| "unavailable".to_owned(), rounded);
    format!(
        "\nImages:\nimage: {}\nfile format: {}\nvirtual size: {} ({size} bytes)\ndisk size: {on_disk}\n",
        text("filename"),
        text("format"),
        rounded(size),
    )
}

/// Bytes with three digits that count.
fn rounded(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {}", UNITS[unit])
}

fn name(value: &Value) -> Option<&str> {
    value.as_str().filter(|name| !name.is_empty())
}

pub(super) fn statistics(qmp: &Qmp<'_>, _: &Values) -> Result<String, Error> {
    let disks = qmp("query-blockstats", json!({}))?;
    let describe = |disk: &Value| {
        let label = name(&disk["device"]).or_else(|| name(&disk["qdev"])).or_else(|| name(&disk["node-name"]));
        let counters = COUNTERS.iter().filter(|counter| !disk["stats"][**counter].is_null());
        let counters: String = counters.map(|counter| format!(" {counter}={}", disk["stats"][*counter])).collect();
        format!("{}:{counters}\n", label.unwrap_or("<anonymous>"))
    };
    Ok(disks.as_array().into_iter().flatten().map(describe).collect())
}
