//! Draws `docs/run-state.svg` from the transition table.

use std::fs;

fn main() -> std::io::Result<()> {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    fs::create_dir_all(docs)?;
    fs::write(format!("{docs}/run-state.svg"), vl::diagram::svg())
}
