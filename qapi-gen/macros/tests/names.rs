//! Names that mean something to Rust, or to those who invoke the macro, are as good as any other.
#![deny(warnings)]

use std::sync::Arc;

use qapi_schema::Error;
use qapi_schema_::{Send, Sync};
use std_::Instant;

qapi_schema::include_schema!("tests/schema/names/qapi-schema.json");

struct Watch;

impl qapi_schema_::Commands for Watch {
    fn look(&self) -> Result<Sync, Error> {
        Ok(Sync { send: Send::A, instant: Instant { seconds: 1 } })
    }
}

#[test]
fn files_named_like_crates_and_types_named_like_marker_traits_compile() {
    let names: Vec<_> = qapi_schema_::commands(&Arc::new(Watch)).iter().map(qapi_schema::Command::name).collect();
    assert_eq!(names, qapi_schema_::COMMANDS);
}
