//! The graph by its commands: how nodes come, are used and go, and what is refused in which words.

use std::thread;

use block::graph::Graph;
use serde_json::{Value, json};

use crate::commands::{add, info, names, null_co, refused, reopen, text, writer};

/// The size of the largest node, as in QEMU.
pub const LARGEST: i64 = i64::MAX - ((1 << 30) - 1);

#[test]
fn nodes_are_added_found_listed_and_removed() {
    let graph = Graph::new();
    assert_eq!(add(&graph, null_co("a")), Ok(()));
    assert_eq!(add(&graph, json!({"driver": "raw", "node-name": "b", "file": "a"})), Ok(()));
    assert_eq!(add(&graph, null_co("c")), Ok(()));
    assert_eq!(names(&graph), ["c", "b", "a"], "the newest first, as QEMU");
    assert_eq!(graph.remove("a").map_err(text), refused("Node a is in use by node 'b'"));
    assert_eq!(graph.remove("b").map_err(text), Ok(()));
    assert_eq!(graph.remove("a").map_err(text), Ok(()));
    assert_eq!(graph.remove("a").map_err(text), refused("Failed to find node with node-name='a'"));
    assert_eq!(names(&graph), ["c"]);
}

#[test]
fn what_cannot_be_added_leaves_nothing_behind() {
    let graph = Graph::new();
    add(&graph, null_co("a")).expect("added");
    let in_place = |child: Value| json!({"driver": "raw", "node-name": "r", "file": child});
    let cases = [
        (null_co("a"), "Duplicate nodes with node-name='a'"),
        (in_place(null_co("a")), "Duplicate nodes with node-name='a'"),
        (in_place(null_co("r")), "Duplicate nodes with node-name='r'"),
        (in_place(null_co("9")), "Invalid node-name: '9'"),
        (null_co("#block000"), "Invalid node-name: '#block000'"),
        (json!({"driver": "null-co"}), "'node-name' must be specified for the root node"),
        (in_place(json!("none")), "Cannot find device='none' nor node-name='none'"),
        (in_place(json!("r")), "Cannot find device='r' nor node-name='r'"),
        (json!({"driver": "null-co", "node-name": "n", "size": -1}), "Value '-1' is out of range for parameter 'size'"),
        (
            json!({"driver": "raw", "node-name": "n", "file": "a", "offset": -512}),
            "Value '-512' is out of range for parameter 'offset'",
        ),
        (
            json!({"driver": "raw", "node-name": "n", "file": null_co("x"), "offset": (1 << 20) + 1}),
            "Offset (1048577) cannot be greater than size of the containing file (1048576)",
        ),
        (
            json!({"driver": "raw", "node-name": "n", "file": "a", "offset": 512, "size": i64::MAX}),
            "The sum of offset (512) and size (9223372036854775807) has to be smaller or equal to the actual size of the \
             containing file (1048576)",
        ),
        (json!({"driver": "raw", "node-name": "n", "file": "a", "size": 100}), "Specified size is not multiple of 512"),
        (
            json!({"driver": "null-co", "node-name": "n", "size": LARGEST + 1}),
            "Could not refresh total sector count: File too large",
        ),
        (json!({"driver": "null-co", "node-name": "n", "latency-ns": 1_u64 << 63}), "latency-ns is invalid"),
        (
            json!({"driver": "null-co", "node-name": "n", "force-share": true}),
            "force-share=on can only be used with read-only images",
        ),
        (
            json!({"driver": "null-co", "node-name": "n", "detect-zeroes": "unmap"}),
            "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap",
        ),
    ];
    for (definition, words) in cases {
        assert_eq!(add(&graph, definition), refused(words));
    }
    assert_eq!(names(&graph), ["a"]);
    assert_eq!(graph.remove("a"), Ok(()), "nobody uses it");
    let largest = json!({"driver": "null-co", "node-name": "n", "size": LARGEST, "latency-ns": i64::MAX});
    assert_eq!(add(&graph, largest), Ok(()));
}

#[test]
fn nodes_defined_in_place_have_names_and_go_with_their_user() {
    let graph = Graph::new();
    let disk = json!({"driver": "raw", "node-name": "top", "file": {"driver": "raw", "file": null_co("named")}});
    add(&graph, disk).expect("added");
    assert_eq!(names(&graph), ["top", "#block000", "named"]);
    assert_eq!(graph.remove("#block000").map_err(text), refused("Node #block000 is not owned by the monitor"));
    assert_eq!(graph.remove("named").map_err(text), refused("Node named is not owned by the monitor"));
    add(&graph, json!({"driver": "raw", "node-name": "other", "file": "named"})).expect("added");
    let attached = graph.attach("#block000", false, "export 'e'").expect("attached");
    graph.remove("top").expect("removed");
    assert_eq!(names(&graph), ["other", "#block000", "named"], "still used");
    drop(attached);
    assert_eq!(names(&graph), ["other", "named"]);
    graph.remove("other").expect("removed");
    assert_eq!(names(&graph), Vec::<String>::new());
}

#[test]
fn an_attached_node_stays_and_its_user_is_named() {
    let graph = Graph::new();
    add(&graph, null_co("a")).expect("added");
    let first = graph.attach("a", true, "export 'one'").expect("attached");
    let second = graph.attach("a", false, "device '/machine/disk'").expect("attached");
    assert!(!first.read_only() && second.read_only(), "as it was attached");
    let words = "Node a is in use by export 'one', device '/machine/disk'";
    assert_eq!(graph.remove("a").map_err(text), refused(words));
    drop(first);
    assert_eq!(graph.remove("a").map_err(text), refused("Node a is in use by device '/machine/disk'"));
    drop(second);
    assert_eq!(graph.remove("a"), Ok(()));
    assert_eq!(writer(&graph, "a").err(), Some("Cannot find device='' nor node-name='a'".to_owned()));
}

#[test]
fn a_read_only_node_beneath_cannot_be_attached_for_writing() {
    let graph = Graph::new();
    add(&graph, json!({"driver": "null-co", "node-name": "a", "read-only": true})).expect("added");
    add(&graph, json!({"driver": "raw", "node-name": "b", "file": "a"})).expect("added");
    assert!(info(&graph, "b").ro);
    let words = "Block node 'a' is read-only".to_owned();
    assert_eq!(writer(&graph, "b").err(), Some(words));
    drop(graph.attach("b", false, "export 'e'").expect("for reading"));
    assert_eq!(graph.remove("b"), Ok(()), "the failure left no user behind");
}

#[test]
fn reopen_refuses_what_it_cannot_change() {
    let graph = Graph::new();
    add(&graph, null_co("null")).expect("added");
    add(&graph, null_co("another")).expect("added");
    add(&graph, json!({"driver": "raw", "node-name": "raw", "file": "null"})).expect("added");
    let in_place = json!({"driver": "raw", "node-name": "top", "file": null_co("inner")});
    add(&graph, in_place).expect("added");
    let cases = [
        (json!({"driver": "null-co", "node-name": "null"}), "Cannot change the option 'size'"),
        (json!({"driver": "null-co", "node-name": "raw"}), "Cannot change the option 'driver'"),
        (json!({"driver": "raw", "node-name": "raw", "file": "another"}), "Cannot change the option 'file'"),
        (json!({"driver": "raw", "node-name": "raw", "file": null_co("x")}), "Cannot change the option 'file'"),
        (json!({"driver": "raw", "node-name": "null", "file": null_co("x")}), "Cannot change the option 'driver'"),
        (
            json!({"driver": "raw", "node-name": "raw", "file": "null", "size": 1}),
            "Specified size is not multiple of 512",
        ),
        (
            json!({"driver": "raw", "node-name": "raw", "file": "null", "offset": 1 << 21}),
            "Offset (2097152) cannot be greater than size of the containing file (1048576)",
        ),
        (
            json!({"driver": "raw", "node-name": "top", "file": {"driver": "null-co"}}),
            "Cannot change the option 'size'",
        ),
        (
            json!({"driver": "raw", "node-name": "top", "file": null_co("x")}),
            "Cannot change the option 'file.node-name'",
        ),
        (null_co("none"), "Failed to find node with node-name='none'"),
        (json!({"driver": "null-co"}), "node-name not specified"),
    ];
    for (definition, words) in cases {
        assert_eq!(reopen(&graph, json!([definition])), refused(words));
    }
    let same = json!({"driver": "raw", "node-name": "top", "file": null_co("inner"), "detect-zeroes": "on"});
    assert_eq!(reopen(&graph, json!([same])), Ok(()));
}

#[test]
fn a_stack_of_nodes_is_no_tower() {
    let graph = Graph::new();
    add(&graph, null_co("n0")).expect("added");
    for depth in 1..64 {
        let on = format!("n{}", depth - 1);
        add(&graph, json!({"driver": "raw", "node-name": format!("n{depth}"), "file": on})).expect("added");
    }
    let more = json!({"driver": "raw", "node-name": "more", "file": "n63"});
    assert_eq!(add(&graph, more), refused("Cannot stack more than 64 block nodes"));
    let mut deep = json!({"driver": "null-co"});
    for _ in 0..100 {
        deep = json!({"driver": "raw", "file": deep});
    }
    deep["node-name"] = json!("deep");
    assert_eq!(add(&graph, deep), refused("Cannot stack more than 64 block nodes"));
    assert_eq!(names(&graph).len(), 64);
}

#[test]
fn users_come_and_go_while_the_graph_changes() {
    let graph = Graph::new();
    add(&graph, json!({"driver": "raw", "node-name": "base", "file": null_co("null")})).expect("added");
    thread::scope(|scope| {
        for thread in 0..4 {
            let graph = &graph;
            scope.spawn(move || {
                let name = format!("r{thread}");
                for _ in 0..300 {
                    add(graph, json!({"driver": "raw", "node-name": name, "file": "base"})).expect("added");
                    let attached = graph.attach(&name, thread % 2 == 0, "export").expect("attached");
                    if thread % 2 == 0 {
                        attached.write(0, &[1; 512], true).expect("written");
                    }
                    assert!(graph.remove("base").is_err());
                    drop(attached);
                    graph.remove(&name).expect("removed");
                }
            });
        }
        scope.spawn(|| {
            let base = |read_only: bool| {
                json!([{"driver": "raw", "node-name": "base", "file": null_co("null"), "detect-zeroes": "on",
                        "read-only": read_only}])
            };
            for _ in 0..300 {
                assert_eq!(reopen(&graph, base(false)), Ok(()));
                assert!(graph.nodes().len() >= 2);
            }
        });
    });
    assert_eq!(names(&graph), ["base", "null"]);
    graph.remove("base").expect("nobody uses it");
}
