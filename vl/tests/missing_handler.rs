//! A command of the schema that its owner does not handle is a compile error in the owner crate, which names the method.
#![allow(clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

const HANDLER: &str = "    fn query_stop_reason(&self) -> Result<StopReasonInfo, Error> {
        Ok(self.stop_reason())
    }
";

/// Copies this crate and takes out one handler.
fn crippled_copy(to: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().expect("a workspace");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace");
    let (workspace, _package) = manifest.split_once("[package]").expect("a root package");
    let (_, rest) = workspace.split_once("members = [").expect("members");
    let (_, rest) = rest.split_once(']').expect("the end of members");
    let rest = rest.replace("path = \"", &format!("path = \"{}/", root.display()));
    let rest = rest.replace(&format!("{}/vl", root.display()), "vl");
    fs::create_dir_all(to.join("vl/src")).expect("a directory");
    fs::write(to.join("Cargo.toml"), format!("[workspace]\nmembers = [\"vl\"]{rest}")).expect("written");
    fs::copy(root.join("Cargo.lock"), to.join("Cargo.lock")).expect("copied");
    fs::copy(here.join("Cargo.toml"), to.join("vl/Cargo.toml")).expect("copied");
    for file in fs::read_dir(here.join("src")).expect("sources") {
        let file = file.expect("a source").path();
        let text = fs::read_to_string(&file).expect("a source");
        let docs = format!("{}/docs/", root.display());
        let text = text.replace("../../docs/", &docs).replace(HANDLER, "");
        fs::write(to.join("vl/src").join(file.file_name().expect("a name")), text).expect("written");
    }
}

#[test]
fn a_command_without_a_handler_does_not_compile_and_is_named() {
    let commands = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands.rs")).expect("readable");
    assert!(commands.contains(HANDLER), "there is a handler to take out");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("missing-handler");
    crippled_copy(&copy);
    let cargo = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--lib", "--package", "vl"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .output()
        .expect("cargo");
    let message = String::from_utf8_lossy(&cargo.stderr);
    assert!(!cargo.status.success(), "it compiled");
    assert!(message.contains("missing: `query_stop_reason`"), "{message}");
    assert!(message.contains("vl/src/commands.rs"), "{message}");
}
