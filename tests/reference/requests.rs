//! Requests, well and badly formed, and the negotiation.

use crate::conversation::{Mode, assert_agree};

/// Any JSON value as an id.
const IDS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "7",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "-0.0",
    "0.5",
    "1e3",
    "1E+3",
    "1.5e-7",
    "123456789.123456789",
    "1e308",
    "-1e308",
    "5e-324",
    "2.2250738585072014e-308",
    "''",
    "'x'",
    "\"it's\"",
    "'libvirt-1'",
    "'\\u0000'",
    "'\\u00e4\\u20ac'",
    "'\\ud83e\\uddc0'",
    "'\\b\\f\\n\\r\\t\\/\\\\\\\"\\''",
    "'\u{e4}\u{20ac}\u{1f9c0}'",
    "'\u{7f}\u{80}\u{9f}\u{ad}\u{2028}\u{feff}'",
    "[]",
    "{}",
    "[1, [2, [3, null]], {'a': {}}]",
    "{'a': 1, 'b': [true, 'x'], '': null}",
    "{'id': {'id': 1}}",
];

/// Requests without an id.
const REQUESTS: &[&str] = &[
    "{'execute': 'query-version'}",
    "{'execute': 'query-version', 'arguments': {}}",
    "{\"arguments\": {}, \"execute\": \"query-version\"}",
    "{'execute': 'query-version', 'arguments': {'x': 1}}",
    "{'execute': 'query-version', 'arguments': {'': 1}}",
    "{'execute': 'query-version', 'arguments': []}",
    "{'execute': 'query-version', 'arguments': null}",
    "{'execute': 'query-version', 'arguments': 'x'}",
    "{'execute': 'query-version', 'arguments': 1}",
    "{'execute': 'query-version', 'x': 1}",
    "{'execute': 'query-version', '': 1}",
    "{'execute': 'query-version', 'Execute': 'x'}",
    "{'execute': 'query-version', 'control': {'run-oob': true}}",
    "{'execute': ''}",
    "{'execute': 'nonsense'}",
    "{'execute': 'Query-Version'}",
    "{'execute': 'query-version '}",
    "{'execute': 'query_version'}",
    "{'execute': 'query-version\\u0000'}",
    "{'execute': '\\u00e4'}",
    "{'execute': 'nonsense', 'arguments': {'x': 1}}",
    "{'execute': 'nonsense', 'arguments': 1}",
    "{'execute': 1}",
    "{'execute': null}",
    "{'execute': []}",
    "{'execute': {}}",
    "{'execute': true}",
    "{}",
    "{'id': 1}",
    "{'arguments': {}}",
    "{'x': 1}",
    "{'return': {}}",
    "{'event': 'STOP'}",
    "{'exec-oob': 'query-version'}",
    "{'exec-oob': 'query-version', 'arguments': {'x': 1}}",
    "{'exec-oob': 'query-version', 'arguments': 1}",
    "{'exec-oob': 'nonsense'}",
    "{'exec-oob': ''}",
    "{'exec-oob': 1}",
    "{'exec-oob': null}",
    "{'exec-oob': 'query-version', 'x': 1}",
    "{'exec-oob': 'query-version', 'execute': 'query-version'}",
    "{'execute': 'query-version', 'exec-oob': 1}",
    "{'execute': 1, 'exec-oob': 'query-version'}",
    "{'exec-oob': 'quit'}",
    "{'exec-oob': 'qmp_capabilities'}",
    "{'exec-oob': 'blockdev-add', 'arguments': {'driver': 'null-co'}}",
    "{'execute': 'qmp_capabilities'}",
    "{'execute': 'qmp_capabilities', 'arguments': {}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': []}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob', 'oob']}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': ['x']}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob', 'x']}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': [1]}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': null}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': 'oob'}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': {}}}",
    "{'execute': 'qmp_capabilities', 'arguments': {'x': 1}}",
    "{'execute': 'qmp_capabilities', 'arguments': []}",
    "{'execute': 'qmp_capabilities', 'x': 1}",
    "{'execute': 'qmp_capabilities'}{'execute': 'qmp_capabilities'}",
    "{'execute': 'qmp_capabilities'}{'execute': 'nonsense'}",
    "{'execute': 'nonsense'}{'execute': 'qmp_capabilities'}{'execute': 'query-version'}",
];

#[test]
fn requests_with_and_without_an_id() {
    let with_id = |request: &&str| request.replacen('{', "{'id': 'x', ", 1).replace(", }", "}").into_bytes();
    let mut inputs: Vec<_> = REQUESTS.iter().map(|request| request.as_bytes().to_vec()).collect();
    inputs.extend(REQUESTS.iter().filter(|request| !request.contains("'id'")).map(with_id));
    assert_agree(&[Mode::Plain, Mode::Negotiation, Mode::Oob], &inputs);
}

#[test]
fn any_id_is_echoed_in_replies_and_errors() {
    let requests = ["'execute': 'query-version'", "'execute': 'nonsense'", "'x': 1", "'execute': 1"];
    let inputs = IDS.iter().flat_map(|id| requests.map(|request| format!("{{{request}, 'id': {id}}}").into_bytes()));
    assert_agree(&[Mode::Plain, Mode::Negotiation], &inputs.collect::<Vec<_>>());
}
