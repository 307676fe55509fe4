//! Packages outside of the workspace, each with a library of generated code and a server that reads and writes its
//! types.
//!
//! They are kept in cargo's directory for tests: where nothing changed, nothing is compiled anew.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use qapi_gen::schema::{Condition, Definition};
use qapi_gen::{Conditions, Schema};
use quote::{format_ident, quote};
use serde_json::Value;

/// A schema and the name of its package.
pub struct Package {
    pub name: &'static str,
    path: PathBuf,
    pub schema: Schema,
    /// Whether all conditions hold, or none.
    pub whole: bool,
}

const ROOT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/generated");

/// Dependencies are compiled where those of the test itself have been.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

impl Package {
    pub fn new(name: &'static str, path: &Path) -> Self {
        let schema = qapi_gen::compile(path).unwrap_or_else(|errors| panic!("{errors}"));
        Self { name, path: path.to_owned(), schema, whole: true }
    }

    /// The schema as it is where no symbol is defined.
    pub fn without_conditions(name: &'static str, path: &Path) -> Self {
        Self { whole: false, ..Self::new(name, path) }
    }

    /// The code as a user sees it.
    fn code(&self) -> String {
        if !self.whole {
            let symbols = self.schema.definitions().flat_map(Definition::conditions).flat_map(Condition::symbols);
            let never = symbols.map(|symbol| (symbol.to_owned(), quote!(any()))).collect();
            let code = qapi_gen::generate(&self.schema, &Conditions::Cfg(never).into());
            let code = code.unwrap_or_else(|errors| panic!("{errors}"));
            return prettyplease::unparse(&syn::parse2(code).expect("generated code is Rust"));
        }
        let mut expand = Command::new(env!("CARGO_BIN_EXE_qapi-gen"));
        let output = expand.args(["expand", "--all-conditions"]).arg(&self.path).output().expect("qapi-gen runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn write(&self) {
        let (name, workspace) = (self.name, workspace().display().to_string());
        let directory = Path::new(ROOT).join(name);
        fs::create_dir_all(directory.join("src")).expect("a directory");
        let manifest = format!(
            "\
[package]
name = \"{name}\"
version = \"0.0.0\"
edition = \"2024\"

[dependencies]
qapi-schema = {{ path = {:?} }}
serde = {{ version = \"1\", default-features = false, features = [\"std\"] }}
serde_json = {{ version = \"1\", features = [\"std\"] }}

[lints]
workspace = true
",
            format!("{workspace}/qapi-schema")
        );
        let code = self.code();
        let file = syn::parse_file(&code).expect("generated code is Rust");
        let library = format!("//! The schema `{name}`.\n\n#![deny(missing_docs)]\n\n{code}");
        write(&directory.join("Cargo.toml"), &manifest);
        write(&directory.join("src/lib.rs"), &library);
        if self.whole {
            write(&directory.join("src/main.rs"), include_str!("server.rs"));
            write(&directory.join("src/table.rs"), &super::table::table(&self.schema, &format_ident!("{name}"), &file));
        }
    }
}

fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the workspace")
}

/// Writes a file, unless that is what it says already.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).expect("written");
    }
}

/// Writes the packages.
pub fn write_all(packages: &[Package]) {
    packages.iter().for_each(Package::write);
    let members: Vec<_> = packages.iter().map(|package| package.name).collect();
    // Debug information of generated code doubles the time it takes to compile, and what rustc would keep for the next
    // time takes gigabytes.
    let profile = |member| format!("[profile.dev.package.{member}]\ndebug = false\nincremental = false\n");
    let profiles = members.iter().map(profile);
    let manifest = format!(
        "[workspace]\nmembers = {members:?}\nresolver = \"3\"\n\n[workspace.lints.rust]\nwarnings = \"deny\"\n\n{}",
        profiles.collect::<Vec<_>>().join("\n")
    );
    write(&Path::new(ROOT).join("Cargo.toml"), &manifest);
    let lock = workspace().join("Cargo.lock");
    fs::copy(lock, Path::new(ROOT).join("Cargo.lock")).expect("the versions of the dependencies");
}

/// Whether the toolchain has clippy.
pub fn has_clippy() -> bool {
    Command::new(env!("CARGO")).args(["clippy", "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Runs cargo on all packages, offline, with warnings as errors.
pub fn cargo(arguments: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).args(["--offline", "--quiet", "--workspace", "--target-dir", TARGET]);
    let output = cargo.current_dir(ROOT).env_remove("CARGO_BUILD_TARGET").output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{cargo:?}:\n{errors}");
}

/// A running server.
pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts the server of a package that has been built.
    pub fn start(package: &Package) -> Self {
        let program = Path::new(TARGET).join("debug").join(package.name);
        let mut server = Command::new(&program);
        let mut child = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
        Self { child, stdin, answers: BufReader::new(stdout).lines() }
    }

    /// Reads the value as what is called `name`, and writes it again.
    pub fn ask(&mut self, name: &str, value: &Value) -> Result<Value, String> {
        let mut line = serde_json::to_string(&(name, value)).expect("serialisable");
        line.push('\n');
        let sent = self.stdin.as_mut().map(|stdin| stdin.write_all(line.as_bytes()));
        sent.expect("open").unwrap_or_else(|error| panic!("{name}: {error}"));
        let answer = self.answers.next().unwrap_or_else(|| panic!("no answer to {line}")).expect("text");
        match serde_json::from_str(&answer).expect("JSON") {
            (true, value) => Ok(value),
            (false, error) => Err(Value::as_str(&error).expect("text").to_owned()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}
