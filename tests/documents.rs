//! The documents: what they refer to is there.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::Path;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/rfc.md",
    "docs/cover-letter.md",
    "docs/benchmarks.md",
    "docs/embedding.md",
    "docs/machine.md",
    "docs/systemd.md",
];

/// Python's, not a script.
const LIBRARY: &str = "qemu.qmp";

#[test]
fn no_link_is_dead_and_no_script_is_missing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for document in DOCUMENTS {
        let path = root.join(document);
        let text = fs::read_to_string(&path).expect(document);
        let folder = path.parent().expect("a folder");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            assert!(folder.join(link).exists(), "{document}: {link}");
            seen += 1;
        }
        let scripts =
            text.split('`').filter(|name| name.ends_with(".qmp") && !name.contains(['/', ' ']) && *name != LIBRARY);
        for script in scripts {
            assert!(root.join("tests/scripts").join(script).exists(), "{document}: {script}");
            seen += 1;
        }
    }
    assert!(seen > 40, "the documents refer to next to nothing: {seen}");
}
