//! The monitor beside the one of QEMU's own storage daemon: the same bytes to both, and the same said by both.
//!
//! Compared are the kind of every reply, the class of an error and its words up to what it quotes, and the id; of commands
//! that do something, not the words. Where the reference aborts, ours answers with an error and lives. The inputs are
//! tables: `stream` for what is no request, `requests` for what is one, well or badly formed, `commands` for what both
//! daemons can do.
//!
//! Where ours departs is not in the tables. QEMU answers an `id` beyond the range of a double with `inf`, which is no JSON.
//! It refuses an empty `cache` and empty lists of rules, which ask for nothing. It has inactive nodes, I/O by `native` and
//! `io_uring`, `allocation-depth` of exports and permissions of `blkdebug`, which are errors here. An integer that no
//! schema type holds is of a wrong type there, and out of a range that is named here.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod conversation;
mod human;
mod pair;
mod pretty;
mod requests;
mod stream;
