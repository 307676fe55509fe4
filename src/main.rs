//! whystop.
fn main() {}
