//! What `-machine help`, `-device help` and `-device TYPE,help` are answered.

use hw::board::BOARDS;
use hw::device::{BusKind, Property};
use hw::types::{self, Type};
use qapi_schema::Error;
use qapi_schema::qom::ObjectPropertyInfo;
use serde_json::Value;

/// The machines there are.
pub fn machines() -> String {
    let line = |name, description, is_default| {
        let default = if is_default { " (default)" } else { "" };
        format!("{name:<20} {description}{default}\n")
    };
    let lines = BOARDS.iter().map(|kind| line(kind.name, kind.description, kind.is_default));
    format!("Supported machines are:\n{}", lines.collect::<String>())
}

/// The answer, if `value` is a question.
///
/// # Errors
/// There are no such devices.
pub fn answer(value: &str) -> Option<Result<String, Error>> {
    match value.split_once(',') {
        None if value == "help" => Some(Ok(devices())),
        Some((driver, "help")) => Some(properties(driver.strip_prefix("driver=").unwrap_or(driver))),
        None | Some(_) => None,
    }
}

fn devices() -> String {
    let of_bus = |of: &'static Type| of.plug.map(|(bus, _)| (of, bus));
    let line = |(of, bus): (&Type, BusKind)| {
        format!("name \"{}\", bus {}, desc \"{}\"\n", of.name, bus.wanted(), of.description)
    };
    types::all().filter_map(of_bus).map(line).collect()
}

fn properties(driver: &str) -> Result<String, Error> {
    let (of, ..) = Type::pluggable(driver)?;
    if of.properties.is_empty() {
        return Ok(format!("There are no options for {driver}.\n"));
    }
    let setting = |property: &Property| format!("{}=<{}>", property.name, property.kind.type_name());
    let width = of.properties.iter().map(|property| setting(property).len()).max().unwrap_or(0);
    let line = |property: &Property| {
        let default = ObjectPropertyInfo::from(property).default_value;
        let default = default.map(|value| format!(" (default: {})", as_given(&value))).unwrap_or_default();
        format!("  {:<width$} - {}{default}\n", setting(property), property.description)
    };
    Ok(format!("{driver} options:\n{}", of.properties.iter().map(line).collect::<String>()))
}

/// A value as one writes it behind the property's name.
fn as_given(value: &Value) -> String {
    match value.as_bool() {
        Some(true) => "on".into(),
        Some(false) => "off".into(),
        None => value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned),
    }
}
