//! The driver `blkdebug`: a filter that injects errors by QEMU's rules, given inline, or in a config file, or both.
//!
//! A rule lies dormant until its event happens in its state. Then it is in force, in place of those in force before, and
//! fails the requests it is for. The event `none` happens once, when the node is made; that is in state 1.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::block_core::{BlkdebugEvent, BlkdebugIOType, BlockdevOptionsBlkdebug};

use super::{BlockDriver, DriverOptions, Reopening, unchangeable};
use crate::node::Node;
use rules::{Course, InjectError, Invalid, Rules, SetState};

mod config;
mod rules;

/// The rules of `blkdebug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlkdebugOptions {
    config: Option<String>,
    inline: Rules,
    /// Those of the config file, once it was read.
    of_config: Rules,
}

impl BlkdebugOptions {
    /// The rules that the schema's options ask for; a config file is not read yet.
    ///
    /// # Errors
    /// A rule has an errno that Linux does not have, or a sector that no image has.
    pub fn new(options: &BlockdevOptionsBlkdebug) -> Result<Self, Error> {
        let inject_error = options.inject_error.iter().flatten().enumerate().map(|(index, rule)| {
            InjectError::new(rule).map_err(|Invalid { member, value }| {
                let path = format!("inject-error[{index}].{member}");
                Error::generic(format!("Parameter '{path}' does not accept value '{value}'"))
            })
        });
        let inject_error = inject_error.collect::<Result<_, _>>()?;
        let set_state = options.set_state.iter().flatten().map(SetState::new).collect();
        let inline = Rules { inject_error, set_state };
        Ok(Self { config: options.config.clone(), inline, of_config: Rules::default() })
    }

    /// Reads the config file, if there is one. That may take for ever: it may be a FIFO.
    ///
    /// # Errors
    /// It can't be read, or is wrong: in which line, is said.
    pub fn load(&mut self) -> Result<(), Error> {
        if let Some(config) = &self.config {
            self.of_config = config::load(config)?;
        }
        Ok(())
    }
}

/// The driver `blkdebug`.
///
/// The lock of `course` is not held during I/O.
#[derive(Debug)]
pub struct Blkdebug {
    child: Arc<Node>,
    options: BlkdebugOptions,
    course: Mutex<Course>,
}

impl Blkdebug {
    /// A filter over `child`.
    pub fn new(child: Arc<Node>, options: BlkdebugOptions) -> Self {
        let rules = options.of_config.clone().followed_by(options.inline.clone());
        Self { child, options, course: Mutex::new(Course::new(rules)) }
    }

    fn before(&self, events: &[BlkdebugEvent], iotype: BlkdebugIOType, range: &Range<u64>) -> io::Result<()> {
        let checked = {
            let mut course = self.course.lock();
            events.iter().for_each(|&event| course.happens(event));
            course.check(iotype, range)
        };
        if checked.as_ref().is_err_and(|injected| !injected.immediately) {
            thread::yield_now();
        }
        Ok(checked?)
    }

    fn after(&self, event: BlkdebugEvent) {
        self.course.lock().happens(event);
    }
}

impl BlockDriver for Blkdebug {
    fn name(&self) -> &'static str {
        "blkdebug"
    }

    fn child(&self) -> Option<&Arc<Node>> {
        Some(&self.child)
    }

    /// As in QEMU, where it says all. Inline rules have no place in it.
    fn filename(&self) -> String {
        let BlkdebugOptions { config, inline, of_config: _ } = &self.options;
        let child = self.child.filename();
        if child.is_empty() || !inline.is_empty() {
            return child;
        }
        format!("blkdebug:{}:{child}", config.as_deref().unwrap_or_default())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        self.before(&[BlkdebugEvent::ReadAio], BlkdebugIOType::Read, &range)?;
        self.child.read(offset, buffer)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let range = offset..offset + data.len() as u64;
        let checked = self.before(&[BlkdebugEvent::WriteAio, BlkdebugEvent::Pwritev], BlkdebugIOType::Write, &range);
        let written = checked.and_then(|()| self.child.write(offset, data, false));
        self.after(BlkdebugEvent::PwritevDone);
        written
    }

    fn flush(&self) -> io::Result<()> {
        self.before(&[BlkdebugEvent::FlushToOs, BlkdebugEvent::FlushToDisk], BlkdebugIOType::Flush, &(0..0))?;
        self.child.flush()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.before(&[], BlkdebugIOType::Discard, &(offset..offset + length))?;
        self.child.discard(offset, length)
    }

    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        let range = offset..offset + length;
        let checked = self.before(&[BlkdebugEvent::PwritevZero], BlkdebugIOType::WriteZeroes, &range);
        let written = checked.and_then(|()| self.child.write_zeroes(offset, length, unmap, false));
        self.after(BlkdebugEvent::PwritevDone);
        written
    }

    fn length(&self) -> io::Result<u64> {
        self.child.length()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.child.truncate(length)
    }

    fn allocated(&self) -> io::Result<Option<u64>> {
        self.child.allocated()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.before(&[], BlkdebugIOType::BlockStatus, &(from..self.length()?))?;
        self.child.next_data(from)
    }

    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error> {
        let DriverOptions::Blkdebug(options, child) = options else {
            return Err(unchangeable("driver"));
        };
        let BlkdebugOptions { config, inline: Rules { inject_error, set_state }, of_config: _ } = &self.options;
        for (same, option) in [
            (Arc::ptr_eq(child, &self.child), "image"),
            (options.config == *config, "config"),
            (options.inline.inject_error == *inject_error, "inject-error"),
            (options.inline.set_state == *set_state, "set-state"),
        ] {
            if !same {
                return Err(unchangeable(option));
            }
        }
        Ok(Reopening::unchanged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::null_co::{NullCo, NullDriver, NullOptions};
    use crate::node::{Discard, Settings};
    use qapi_schema::block_core::BlockdevDetectZeroesOptions;
    use qapi_schema::{FromValue, Visitor};
    use serde_json::{Value, json};

    fn filter(rules: Value) -> Blkdebug {
        let (driver, latency) = (NullDriver::Co, std::time::Duration::ZERO);
        let null = NullCo::new(NullOptions { driver, size: 1 << 20, latency, read_zeroes: true });
        let detect_zeroes = BlockdevDetectZeroesOptions::Off;
        let settings = Settings { read_only: false, discard: Discard::Ignore, detect_zeroes, no_flush: false };
        let child = Node::new("null", Box::new(null), settings).expect("a node");
        let mut options = options(rules).expect("rules");
        options.load().expect("a config file");
        Blkdebug::new(child, options)
    }

    fn options(mut rules: Value) -> Result<BlkdebugOptions, Error> {
        rules["image"] = json!("null");
        BlkdebugOptions::new(&BlockdevOptionsBlkdebug::from_value(rules, &Visitor::json())?)
    }

    fn errno(result: io::Result<()>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn a_rule_fails_its_kind_of_request_once_or_always() {
        let disk = filter(json!({"inject-error": [
            {"event": "none", "iotype": "write", "errno": 28, "once": true},
            {"event": "none", "iotype": "flush"}]}));
        assert_eq!(errno(disk.read(0, &mut [0; 512])), None);
        assert_eq!(errno(disk.write(0, &[1; 512])), Some(28));
        assert_eq!(errno(disk.write(0, &[1; 512])), None);
        assert_eq!([errno(disk.flush()), errno(disk.flush())], [Some(5), Some(5)]);
    }

    #[test]
    fn a_rule_for_a_sector_leaves_the_others_alone() {
        let disk = filter(json!({"inject-error": [{"event": "none", "sector": 3}]}));
        assert_eq!(errno(disk.write(0, &[1; 1536])), None);
        assert_eq!(errno(disk.write(1024, &[1; 1024])), Some(5));
        assert_eq!(errno(disk.read(2048, &mut [0; 512])), None);
    }

    #[test]
    fn a_rule_waits_for_its_event_in_its_state() {
        let disk = filter(json!({
            "set-state": [{"event": "flush_to_disk", "state": 1, "new_state": 2}],
            "inject-error": [{"event": "write_aio", "state": 2, "once": true}]}));
        assert_eq!(errno(disk.write(0, &[1; 512])), None);
        assert_eq!(errno(disk.flush()), None);
        assert_eq!(errno(disk.write(0, &[1; 512])), Some(5));
        assert_eq!(errno(disk.write(0, &[1; 512])), None);
    }

    #[test]
    fn state_zero_and_sector_minus_one_are_any() {
        let disk = filter(json!({
            "set-state": [{"event": "flush_to_disk", "state": 0, "new_state": 2}],
            "inject-error": [
                {"event": "none", "state": 0, "sector": -1, "iotype": "flush", "once": true},
                {"event": "write_aio", "state": 2}]}));
        assert_eq!(errno(disk.write(0, &[1; 512])), None);
        assert_eq!([errno(disk.flush()), errno(disk.flush())], [Some(5), None]);
        assert_eq!(errno(disk.write(0, &[1; 512])), Some(5));
    }

    #[test]
    fn a_number_that_a_rule_cannot_have_is_refused_by_its_path() {
        for (name, value) in
            [("errno", -5), ("errno", 4096), ("errno", 1_i64 << 40), ("sector", -2), ("sector", i64::MAX)]
        {
            let rules = json!({"inject-error": [{"event": "none"}, {"event": "none", name: value}]});
            let refused = options(rules).expect_err("refused");
            let expected = format!("Parameter 'inject-error[1].{name}' does not accept value '{value}'");
            assert_eq!(refused.desc(), expected);
        }
    }

    #[test]
    fn errno_zero_exempts_a_request_from_the_rules_that_follow() {
        let disk = filter(json!({"inject-error": [
            {"event": "none", "sector": 3, "errno": 0, "once": true}, {"event": "none"}]}));
        let write = |sector: u64| errno(disk.write(sector * 512, &[1; 512]));
        assert_eq!([write(2), write(3), write(3), write(4)], [Some(5), None, None, Some(5)]);
    }

    #[test]
    fn where_the_data_is_fails_only_by_a_rule_for_it() {
        let disk = filter(json!({"inject-error": [{"event": "none", "immediately": true}]}));
        assert_eq!(errno(disk.next_data(0).map(drop)), None);
        let disk = filter(json!({"inject-error": [{"event": "none", "iotype": "block-status", "errno": 28}]}));
        assert_eq!(errno(disk.next_data(0).map(drop)), Some(28));
        assert_eq!(errno(disk.read(0, &mut [0; 512])), None);
    }

    #[test]
    fn a_write_is_done_also_when_it_failed() {
        let disk = filter(json!({
            "set-state": [{"event": "pwritev_done", "state": 1, "new_state": 2}],
            "inject-error": [{"event": "pwritev", "state": 1}, {"event": "flush_to_os", "state": 2, "errno": 28}]}));
        assert_eq!(errno(disk.write(0, &[1; 512])), Some(5));
        assert_eq!(errno(disk.flush()), Some(28));
    }

    #[test]
    fn the_rules_of_a_config_file_come_first() {
        let mut config = tempfile::NamedTempFile::new().expect("a file");
        let rule = b"[inject-error]\nevent = \"none\"\niotype = \"write\"\nerrno = \"28\"\nonce = \"on\"\n";
        io::Write::write_all(&mut config, rule).expect("written");
        let path = config.path().to_str().expect("UTF-8");
        let disk = filter(json!({"config": path, "inject-error": [{"event": "none"}]}));
        let write = || errno(disk.write(0, &[1; 512]));
        assert_eq!([write(), write(), write()], [Some(28), Some(5), Some(5)]);
        assert_eq!(disk.filename(), "null-co://");
        let disk = filter(json!({"config": path}));
        assert_eq!(disk.filename(), format!("blkdebug:{path}:null-co://"));
    }
}
