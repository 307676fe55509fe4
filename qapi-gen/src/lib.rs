//! qapi-gen.
