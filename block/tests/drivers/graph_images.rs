//! The graph's commands on nodes that have an image.

use block::graph::Graph;
use serde_json::{Value, json};

use crate::commands::{add, info, names, null_co, refused, reopen, text, writer};
use crate::graph::LARGEST;
use crate::host::{EINVAL, ENOSPC, EPERM, errno, image};

#[test]
fn an_image_that_cannot_be_opened_leaves_no_node() {
    let graph = Graph::new();
    let missing = json!({"driver": "file", "node-name": "file", "filename": "/nowhere/disk.img"});
    let disk = json!({"driver": "raw", "node-name": "top", "file": missing});
    let words = "Could not open '/nowhere/disk.img': No such file or directory";
    assert_eq!(add(&graph, disk), refused(words));
    assert!(names(&graph).is_empty());
}

#[test]
fn a_node_defined_in_place_takes_over_options() {
    let (_directory, path) = image(4096);
    let graph = Graph::new();
    let disk = json!({
        "driver": "raw", "node-name": "top", "read-only": true, "cache": {"no-flush": true},
        "file": {"driver": "file", "node-name": "file", "filename": path},
    });
    add(&graph, disk).expect("added");
    let file = info(&graph, "file");
    assert!(file.ro && file.cache.no_flush && !file.cache.direct && file.cache.writeback);
    assert_eq!((file.drv.as_str(), file.image.virtual_size), ("file", 4096));
    assert_eq!(file.image.filename, path.to_str().expect("UTF-8"));
    assert_eq!(info(&graph, "top").file, file.file);
}

#[test]
fn reopen_changes_what_it_can() {
    let (_directory, path) = image(8192);
    let graph = Graph::new();
    let file = |extra: Value| {
        let mut file = json!({"driver": "file", "node-name": "file", "filename": path});
        let Value::Object(extra) = extra else { panic!("an object") };
        file.as_object_mut().expect("an object").extend(extra);
        file
    };
    add(&graph, file(json!({}))).expect("added");
    let disk = writer(&graph, "file").expect("attached");
    disk.write(0, &[1; 100], false).expect("written");
    let words = "Read-only block node 'file' cannot support read-write users";
    assert_eq!(reopen(&graph, json!([file(json!({"read-only": true}))])), refused(words));
    disk.write(0, &[2; 100], false).expect("still writable");
    if reopen(&graph, json!([file(json!({"cache": {"direct": true}, "detect-zeroes": "on"}))])) == Ok(()) {
        let now = info(&graph, "file");
        assert!(now.cache.direct);
        disk.write(50, &[3; 100], true).expect("written");
    }
    assert_eq!(reopen(&graph, json!([file(json!({}))])), Ok(()));
    assert!(!info(&graph, "file").cache.direct, "what is left out goes back to its default");
    drop(disk);
    assert_eq!(reopen(&graph, json!([file(json!({"read-only": true}))])), Ok(()));
    assert!(writer(&graph, "file").is_err());
    let node = graph.node("file").expect("there");
    assert_eq!(errno(&node.write(0, &[1], false).expect_err("read-only")), EPERM);
    assert_eq!(reopen(&graph, json!([file(json!({}))])), Ok(()));
    writer(&graph, "file").expect("writable again").write(0, &[1], false).expect("written");
}

#[test]
fn reopen_refuses_another_image() {
    let (directory, path) = image(8192);
    let other = directory.path().join("other.img");
    std::fs::write(&other, [0; 512]).expect("written");
    let graph = Graph::new();
    let file = |path: &std::path::Path| json!({"driver": "file", "node-name": "file", "filename": path});
    add(&graph, file(&path)).expect("added");
    assert_eq!(reopen(&graph, json!([file(&other)])), refused("Cannot change the option 'filename'"));
    std::fs::rename(&path, directory.path().join("moved.img")).expect("renamed");
    let words = format!("Could not open '{}': No such file or directory", path.display());
    assert_eq!(reopen(&graph, json!([file(&path)])), refused(&words));
    std::fs::write(&path, [0; 8192]).expect("written");
    let words = format!("Could not reopen '{}': another file has taken its place", path.display());
    assert_eq!(reopen(&graph, json!([file(&path)])), refused(&words));
}

#[test]
fn sizes_are_changed_where_that_harms_nobody() {
    let (_directory, path) = image(8192);
    let graph = Graph::new();
    add(&graph, json!({"driver": "file", "node-name": "file", "filename": path})).expect("added");
    add(&graph, json!({"driver": "raw", "node-name": "window", "offset": 4096, "file": "file"})).expect("added");
    add(&graph, json!({"driver": "raw", "node-name": "fixed", "size": 4096, "file": "file"})).expect("added");
    add(&graph, json!({"driver": "raw", "node-name": "other", "file": "file"})).expect("added");
    add(&graph, null_co("null")).expect("added");
    add(&graph, json!({"driver": "null-co", "node-name": "read-only", "read-only": true})).expect("added");
    let resize = |name: &str, size: i64| graph.resize(name, size, |_| ()).map_err(text);
    assert_eq!(resize("none", 1), refused("Cannot find device='' nor node-name='none'"));
    assert_eq!(resize("file", -1), refused("Parameter 'size' expects a >0 size"));
    assert_eq!(resize("read-only", 1), refused("Image is read-only"));
    assert_eq!(resize("null", 1), refused("Image format driver does not support resize"));
    assert_eq!(resize("fixed", 8192), refused("Cannot resize fixed-size raw disks"));
    let too_large = |size: i64| refused(&format!("offset({size}) exceeds maximum({LARGEST})"));
    assert_eq!(resize("file", i64::MAX), too_large(i64::MAX));
    assert_eq!(resize("window", LARGEST), too_large(LARGEST + 4096));
    // Some file systems have files as large as that.
    assert!([Ok(()), refused("Could not resize file: File too large")].contains(&resize("file", LARGEST)));
    assert_eq!(resize("file", 8192), Ok(()));
    assert_eq!(resize("window", 8192), Ok(()));
    assert_eq!(info(&graph, "file").image.virtual_size, 12_288);
    for name in ["file", "other", "window"] {
        assert_eq!(resize(name, 4096), refused("Node file is in use and can only be made larger"), "by the fixed one");
    }
    assert_eq!(graph.remove("fixed"), Ok(()));
    assert_eq!(resize("file", 10_001), Ok(()));
    assert_eq!(info(&graph, "window").image.virtual_size, 5905);
    let disk = writer(&graph, "window").expect("attached").keep_size().expect("nobody changes it");
    assert_eq!(resize("file", 10_000), refused("Node file is in use and can only be made larger"));
    assert_eq!(resize("window", 1), refused("Node window is in use and can only be made larger"));
    assert_eq!(resize("window", 20_000), Ok(()));
    disk.write(19_999, &[1], true).expect("its user sees it at once");
    drop(disk);
    let disk = writer(&graph, "window").expect("attached");
    assert_eq!(resize("window", 4096), Ok(()), "a user who didn't ask for more is no obstacle");
    assert_eq!(errno(&disk.write(4096, &[1], false).expect_err("cut off")), EINVAL);
    assert_eq!(resize("file", 0), Ok(()));
    assert_eq!(info(&graph, "window").image.virtual_size, 0);
}

#[test]
fn a_window_is_moved_and_sized_while_it_is_used() {
    let (_directory, path) = image(8192);
    let graph = Graph::new();
    add(&graph, json!({"driver": "file", "node-name": "file", "filename": path})).expect("added");
    let all = json!({"driver": "raw", "node-name": "window", "file": "file"});
    let part = json!({"driver": "raw", "node-name": "window", "file": "file", "offset": 4096, "size": 512});
    add(&graph, all.clone()).expect("added");
    let shrink = || graph.resize("file", 4608, |_| ()).map_err(text);
    let disk = writer(&graph, "window").expect("attached");
    assert_eq!(reopen(&graph, json!([part])), Ok(()));
    assert_eq!(info(&graph, "window").image.virtual_size, 512);
    disk.write(0, &[1; 512], false).expect("written");
    assert_eq!(errno(&disk.write(512, &[1], false).expect_err("cut off")), EINVAL);
    assert_eq!(std::fs::read(&path).expect("there")[4095..4609], [&[0][..], &[1; 512], &[0]].concat());
    assert_eq!(shrink(), refused("Node file is in use and can only be made larger"));
    assert_eq!(reopen(&graph, json!([all])), Ok(()));
    assert_eq!(shrink(), Ok(()));
    assert_eq!(info(&graph, "window").image.virtual_size, 4608);
    let disk = disk.keep_size().expect("nobody changes it");
    assert_eq!(reopen(&graph, json!([part])), refused("Node window is in use and can only be made larger"));
    drop(disk);
    assert_eq!(reopen(&graph, json!([part])), Ok(()));
}

#[test]
fn what_a_layer_is_unable_to_do_is_left_or_done_by_writing() {
    const SIZE: usize = 300_000;
    let (_directory, path) = image(SIZE as u64);
    std::fs::write(&path, [1; SIZE]).expect("written");
    let graph = Graph::new();
    let unable = |iotype: &str| json!({"event": "none", "iotype": iotype, "errno": 95});
    add(
        &graph,
        json!({"driver": "blkdebug", "node-name": "unable", "discard": "unmap", "detect-zeroes": "on",
               "inject-error": [unable("discard"), unable("write-zeroes")],
               "image": {"driver": "file", "filename": path}}),
    )
    .expect("added");
    let disk = writer(&graph, "unable").expect("attached");
    disk.discard(0, SIZE as u64).expect("advice");
    assert_eq!(std::fs::read(&path).expect("there"), [1; SIZE]);
    disk.write_zeroes(1, 200_000, true, false).expect("written instead");
    disk.write(250_000, &[0; 10_000], true).expect("written all the same");
    let expected: Vec<_> =
        (0..SIZE).map(|at| u8::from(!(1..200_001).contains(&at) && !(250_000..260_000).contains(&at))).collect();
    assert_eq!(std::fs::read(&path).expect("there"), expected);
}

#[test]
fn flushing_all_reaches_every_image() {
    let (_directory, path) = image(4096);
    let graph = Graph::new();
    add(&graph, json!({"driver": "raw", "node-name": "a", "file": {"driver": "file", "filename": path}}))
        .expect("added");
    add(&graph, null_co("b")).expect("added");
    writer(&graph, "a").expect("attached").write(0, &[1; 4096], false).expect("written");
    assert_eq!(graph.flush_all(), Ok(()));
}

#[test]
fn how_an_image_is_locked_cannot_be_changed() {
    let (_directory, path) = image(8192);
    let graph = Graph::new();
    add(&graph, json!({"driver": "file", "node-name": "file", "filename": path})).expect("added");
    let cases = [("locking", json!("off")), ("force-share", json!(true))];
    for (option, value) in cases {
        let mut file = json!({"driver": "file", "node-name": "file", "filename": path, "read-only": true});
        file[option] = value;
        assert_eq!(reopen(&graph, json!([file])), refused(&format!("Cannot change the option '{option}'")));
    }
}

#[test]
fn another_process_s_image_is_refused_when_it_is_attached() {
    let (_directory, path) = image(4096);
    let (graph, other) = (Graph::new(), Graph::new());
    let file = |name: &str| json!({"driver": "file", "node-name": name, "filename": path});
    for graph in [&graph, &other] {
        add(graph, json!({"driver": "raw", "node-name": "top", "file": file("file")})).expect("added");
    }
    let attached = writer(&graph, "top").expect("attached");
    let question = format!("Is another process using the image [{}]?", path.display());
    assert_eq!(writer(&other, "top").err(), Some(format!("Failed to get \"write\" lock. {question}")));
    assert_eq!(other.remove("top"), Ok(()), "the failure left no user behind");
    drop(attached);
    add(&other, file("again")).expect("added");
    writer(&other, "again").expect("free");
}

#[test]
fn a_reopen_of_several_nodes_changes_all_or_none() {
    let graph = Graph::new();
    add(&graph, null_co("null")).expect("added");
    let quota = |name: &str, limit: u64| json!({"driver": "quota", "node-name": name, "limit": limit, "file": "null"});
    for name in ["a", "b"] {
        add(&graph, quota(name, 0)).expect("added");
    }
    let disks = ["a", "b"].map(|name| writer(&graph, name).expect("attached"));
    let write = || disks.each_ref().map(|disk| disk.write(0, &[1], false).map_err(|error| errno(&error)));
    let wrong = json!([quota("a", 4096), quota("b", 4096), {"driver": "raw", "node-name": "b", "file": "null"}]);
    assert_eq!(reopen(&graph, wrong), refused("Cannot change the option 'driver'"));
    assert_eq!(write(), [Err(ENOSPC), Err(ENOSPC)]);
    assert_eq!(reopen(&graph, json!([quota("a", 4096), quota("b", 4096)])), Ok(()));
    assert_eq!(write(), [Ok(()), Ok(())]);
    assert_eq!(info(&graph, "a").image.actual_size, Some(4096), "what counts against the limit");
}
