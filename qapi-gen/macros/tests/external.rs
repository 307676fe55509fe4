//! A schema split over three modules, as over three crates: types and conditions are those of the one that had them first.
#![deny(warnings, missing_docs)]
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use serde_json::{Value, to_value};

/// Includes a schema with conditions.
pub mod theirs {
    qapi_gen_macros::include_schema!(
        "tests/schema/conditions.json",
        if = {
            CONFIG_LINUX = cfg(false),
            CONFIG_NEVER = cfg(true),
            CONFIG_DEBUG = cfg(false),
        },
    );
}

/// Includes it, too, without a word on its conditions.
pub mod ours {
    qapi_gen_macros::include_schema!(
        "tests/schema/downstream.json",
        extern = { crate::theirs = "tests/schema/conditions.json" },
    );
}

/// Includes that in turn, and names only the module that it knows.
pub mod further {
    qapi_gen_macros::include_schema!(
        "tests/schema/further.json",
        extern = { crate::ours = "tests/schema/downstream.json" },
    );
}

#[expect(deprecated, reason = "`old` is deprecated where CONFIG_NEVER is defined")]
#[test]
fn values_go_from_one_to_the_other() {
    let one: theirs::conditions_::Linux2 = ours::conditions_::Linux2 { fd: 1 };
    let base = ours::conditions_::Base {
        level: theirs::conditions_::Level::High,
        never: Some("exists".into()),
        old: None,
        older: None,
    };
    let pair = ours::downstream::ComExamplePair { base, first: one, second: one };
    assert_eq!(to_value(&pair).expect("serialisable")["base"]["never"], "exists");
}

fn names(introspection: &qapi_schema::Introspection) -> Vec<String> {
    let told = to_value(introspection).expect("serialisable");
    let named = |entity: &Value| entity["name"].as_str().expect("a name").to_owned();
    told.as_array().expect("an array").iter().map(named).filter(|name| name.parse::<u32>().is_err()).collect()
}

#[test]
fn clients_are_told_of_both_parts_under_the_conditions_of_the_first() {
    let (theirs, ours) = (names(&theirs::INTROSPECTION), names(&ours::INTROSPECTION));
    assert_eq!(theirs[..4], ["query-level", "never", "CHANGED", "NEVER"]);
    assert_eq!(ours[..4], ["__com.example_query-pair", "query-level", "never", "CHANGED"]);
    let told = to_value(&ours::INTROSPECTION).expect("serialisable").to_string();
    assert!(told.contains(r#""never""#) && !told.contains(r#""both""#), "{told}");
}

#[test]
fn a_third_part_finds_the_types_and_conditions_of_the_first_behind_the_second() {
    let level: theirs::conditions_::Level = further::conditions_::Level::High;
    assert_eq!(level.to_string(), "high");
    let (ours, further) = (names(&ours::INTROSPECTION), names(&further::INTROSPECTION));
    assert_eq!(further[0], "__com.example_reset");
    assert_eq!(further[1..5], ours[..4]);
}
