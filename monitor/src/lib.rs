//! The QMP server: a byte stream becomes requests, requests become replies, and events go out to every session.

pub mod json;
