//! `if` conditions: what exists is chosen by the invoking crate's configuration.
#![deny(warnings, missing_docs)]
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::sync::Arc;

use conditions_::event::Changed;
use conditions_::{Base, COMMANDS, Choice, ChoiceKind, Commands, Either, Level, Linux2, commands};
use qapi_schema::{Error, Event, FromValue, Visitor};
use serde_json::{Value, json};

qapi_gen_macros::include_schema!(
    "tests/schema/conditions.json",
    if = {
        CONFIG_LINUX = cfg(any(unix, windows)),
        CONFIG_NEVER = cfg(false),
        CONFIG_DEBUG = cfg(debug_assertions),
    },
);

fn read<T: FromValue>(value: Value) -> Result<T, String> {
    T::from_value(value, &Visitor::json().member("x")).map_err(|error| error.to_string())
}

#[test]
fn symbols_are_constants() {
    assert_eq!((conditions::CONFIG_LINUX, conditions::CONFIG_NEVER), (true, false));
    assert_eq!(conditions::CONFIG_DEBUG, cfg!(debug_assertions));
}

#[test]
fn values_that_do_not_exist_are_not_accepted() {
    assert_eq!(Level::ALL, [Level::Low, Level::Linux]);
    assert_eq!(read::<Level>(json!("high")), Err("Parameter 'x' does not accept value 'high'".to_owned()));
}

#[expect(deprecated, reason = "`older` is deprecated where CONFIG_NEVER is not defined, `old` is not")]
fn base(level: Level, both: Option<String>) -> Base {
    Base { level, both, old: None, older: None }
}

#[test]
fn members_that_do_not_exist_are_unexpected() {
    let mut base = base(Level::Low, Some("b".into()));
    base.old = Some("o".into());
    let value = json!({ "level": "low", "both": "b", "old": "o" });
    assert_eq!(serde_json::to_value(&base).expect("serialisable"), value);
    assert_eq!(read::<Base>(value), Ok(base));
    let refused = read::<Base>(json!({ "level": "low", "never": "x" }));
    assert_eq!(refused, Err("Parameter 'x.never' is unexpected".to_owned()));
}

#[test]
fn a_value_without_its_branch_has_no_members_of_its_own() {
    let low = Choice { level: ChoiceKind::Low };
    assert_eq!(read::<Choice>(json!({ "level": "low" })), Ok(low));
    assert_eq!(read::<Choice>(json!({ "level": "low", "x": 1 })), Err("Parameter 'x.x' is unexpected".to_owned()));
    let linux = Choice { level: ChoiceKind::Linux(Linux2 { fd: 3 }) };
    assert_eq!(read::<Choice>(json!({ "level": "linux", "fd": 3 })), Ok(linux));
}

#[test]
fn an_alternate_expects_the_types_that_exist() {
    assert_eq!(read::<Either>(json!(1)), Ok(Either::Number(1)));
    let expected = "Invalid parameter type for 'x', expected: number or array";
    assert_eq!(read::<Either>(json!({ "x": 1 })), Err(expected.to_owned()));
}

struct Machine;

impl Commands for Machine {
    fn query_level(&self, arguments: Base) -> Result<i64, Error> {
        Ok(arguments.both.map_or(0, |both| both.len() as i64))
    }
}

#[test]
fn commands_and_arguments_that_do_not_exist_are_not_served() {
    assert_eq!(COMMANDS, ["query-level"]);
    let commands = commands(&Arc::new(Machine));
    let call = |arguments: Value| commands[0].call(arguments.as_object().expect("an object").clone());
    assert_eq!(call(json!({ "level": "linux", "both": "four" })).expect("valid").value(), 4);
    assert!(call(json!({ "level": "linux", "never": {} })).is_err());
}

#[test]
fn events_carry_the_data_that_exists() {
    let event = Changed(base(Level::Linux, None));
    assert_eq!(event.data().map(|data| data.value()), Some(json!({ "level": "linux" })));
}

#[test]
fn clients_are_told_of_what_exists() {
    let told = serde_json::to_value(&INTROSPECTION).expect("serialisable");
    let find = |name: &str| {
        let found = told.as_array().expect("an array").iter().find(|entity| entity["name"] == name);
        found.cloned().unwrap_or_default()
    };
    assert_eq!(find("query-level")["meta-type"], "command");
    assert_eq!(find("CHANGED")["meta-type"], "event");
    assert_eq!([find("never"), find("NEVER")], [Value::Null, Value::Null]);
    let base = find(find("CHANGED")["arg-type"].as_str().expect("a type"));
    let members: Vec<_> = base["members"].as_array().expect("members").iter().collect();
    let names: Vec<_> = members.iter().map(|member| member["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["level", "both", "old", "older"]);
    assert_eq!((&members[2]["features"], &members[3]["features"]), (&json!([]), &json!(["deprecated"])));
    let level = find(members[0]["type"].as_str().expect("a type"));
    assert_eq!(level["values"], json!(["low", "linux"]));
}
