//! The driver `blkdebug`: a filter that injects errors by QEMU's rules.
//!
//! A rule lies dormant until its event happens in its state. Then it is in force, in place of those in force before, and
//! fails the requests it is for. The event `none` happens once, when the node is made; that is in state 1.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::block_core::{
    BlkdebugEvent, BlkdebugIOType, BlkdebugInjectErrorOptions, BlkdebugSetStateOptions, BlockdevOptionsBlkdebug,
};

use super::{BlockDriver, DriverOptions, Reopening, unchangeable};
use crate::node::Node;

const SECTOR: u64 = 512;

/// How QEMU's rules may spell that any state will do.
const ANY_STATE: i64 = 0;

/// How QEMU's rules may spell that any sector will do.
const ANY_SECTOR: i64 = -1;

/// The rules of `blkdebug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlkdebugOptions {
    inject_error: Vec<InjectError>,
    set_state: Vec<SetState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct InjectError {
    event: BlkdebugEvent,
    state: Option<i64>,
    iotype: Option<BlkdebugIOType>,
    errno: i32,
    sector: Option<u64>,
    once: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SetState {
    event: BlkdebugEvent,
    state: Option<i64>,
    new_state: i64,
}

impl BlkdebugOptions {
    /// The rules that the schema's options ask for.
    ///
    /// # Errors
    /// A rule has an errno that Linux does not have, or a sector that no image has.
    pub fn new(options: &BlockdevOptionsBlkdebug) -> Result<Self, Error> {
        let inject_error = options.inject_error.iter().flatten().enumerate();
        let inject_error = inject_error.map(|(index, rule)| InjectError::new(index, rule)).collect::<Result<_, _>>()?;
        let set_state = options.set_state.iter().flatten().map(SetState::new).collect();
        Ok(Self { inject_error, set_state })
    }
}

impl InjectError {
    fn new(index: usize, options: &BlkdebugInjectErrorOptions) -> Result<Self, Error> {
        let BlkdebugInjectErrorOptions { event, state, iotype, errno, sector, once, immediately: _ } = *options;
        let invalid = |name, value| {
            Error::generic(format!("Parameter 'inject-error[{index}].{name}' does not accept value '{value}'"))
        };
        let errno = errno.unwrap_or(libc_errno(rustix::io::Errno::IO));
        let errno = i32::try_from(errno).ok().filter(|errno| (1..4096).contains(errno));
        let errno = errno.ok_or_else(|| invalid("errno", options.errno.unwrap_or_default()))?;
        let in_bytes = |sector: i64| u64::try_from(sector).ok()?.checked_mul(SECTOR);
        let state = state.filter(|&state| state != ANY_STATE);
        let sector = sector.filter(|&sector| sector != ANY_SECTOR);
        let sector = sector.map(|sector| in_bytes(sector).ok_or_else(|| invalid("sector", sector))).transpose()?;
        Ok(Self { event, state, iotype, errno, sector, once: once.unwrap_or(false) })
    }

    fn fails(&self, iotype: BlkdebugIOType, range: &Range<u64>) -> bool {
        self.iotype.is_none_or(|only| only == iotype) && self.sector.is_none_or(|sector| range.contains(&sector))
    }
}

impl SetState {
    fn new(options: &BlkdebugSetStateOptions) -> Self {
        let BlkdebugSetStateOptions { event, state, new_state } = *options;
        Self { event, state: state.filter(|&state| state != ANY_STATE), new_state }
    }
}

fn libc_errno(errno: rustix::io::Errno) -> i64 {
    i64::from(errno.raw_os_error())
}

/// The driver `blkdebug`.
///
/// The lock of `rules` is not held during I/O.
#[derive(Debug)]
pub struct Blkdebug {
    child: Arc<Node>,
    options: BlkdebugOptions,
    rules: Mutex<Rules>,
}

#[derive(Debug)]
struct Rules {
    state: i64,
    dormant: BlkdebugOptions,
    in_force: Vec<InjectError>,
}

impl Rules {
    fn happens(&mut self, event: BlkdebugEvent) {
        let state = self.state;
        let now = |of, when: Option<i64>| of == event && when.is_none_or(|when| when == state);
        let mut roused = self.dormant.inject_error.iter().filter(|rule| now(rule.event, rule.state)).peekable();
        if roused.peek().is_some() {
            self.in_force = roused.cloned().collect();
        }
        if let Some(rule) = self.dormant.set_state.iter().find(|rule| now(rule.event, rule.state)) {
            self.state = rule.new_state;
        }
    }

    fn check(&mut self, iotype: BlkdebugIOType, range: &Range<u64>) -> io::Result<()> {
        let Some(index) = self.in_force.iter().position(|rule| rule.fails(iotype, range)) else {
            return Ok(());
        };
        let errno = self.in_force[index].errno;
        if self.in_force[index].once {
            let spent = self.in_force.remove(index);
            if let Some(dormant) = self.dormant.inject_error.iter().position(|rule| *rule == spent) {
                self.dormant.inject_error.remove(dormant);
            }
        }
        Err(io::Error::from_raw_os_error(errno))
    }
}

impl Blkdebug {
    /// A filter over `child`.
    pub fn new(child: Arc<Node>, options: BlkdebugOptions) -> Self {
        let mut rules = Rules { state: 1, dormant: options.clone(), in_force: Vec::new() };
        rules.happens(BlkdebugEvent::None);
        Self { child, options, rules: Mutex::new(rules) }
    }

    fn before(&self, events: &[BlkdebugEvent], iotype: BlkdebugIOType, range: &Range<u64>) -> io::Result<()> {
        let mut rules = self.rules.lock();
        events.iter().for_each(|&event| rules.happens(event));
        rules.check(iotype, range)
    }

    fn after(&self, event: BlkdebugEvent) {
        self.rules.lock().happens(event);
    }
}

impl BlockDriver for Blkdebug {
    fn name(&self) -> &'static str {
        "blkdebug"
    }

    fn child(&self) -> Option<&Arc<Node>> {
        Some(&self.child)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        self.before(&[BlkdebugEvent::ReadAio], BlkdebugIOType::Read, &range)?;
        self.child.read(offset, buffer)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let range = offset..offset + data.len() as u64;
        self.before(&[BlkdebugEvent::WriteAio, BlkdebugEvent::Pwritev], BlkdebugIOType::Write, &range)?;
        self.child.write(offset, data, false)?;
        self.after(BlkdebugEvent::PwritevDone);
        Ok(())
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
        self.before(&[BlkdebugEvent::PwritevZero], BlkdebugIOType::WriteZeroes, &range)?;
        self.child.write_zeroes(offset, length, unmap, false)?;
        self.after(BlkdebugEvent::PwritevDone);
        Ok(())
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
        self.child.next_data(from)
    }

    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error> {
        let DriverOptions::Blkdebug(options, child) = options else {
            return Err(unchangeable("driver"));
        };
        if !Arc::ptr_eq(child, &self.child) {
            return Err(unchangeable("image"));
        }
        if *options != self.options {
            return Err(unchangeable("inject-error"));
        }
        Ok(Reopening::unchanged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::null_co::{NullCo, NullOptions};
    use crate::node::{Discard, Settings};
    use qapi_schema::block_core::BlockdevDetectZeroesOptions;
    use qapi_schema::{FromValue, Visitor};
    use serde_json::{Value, json};

    fn filter(rules: Value) -> Blkdebug {
        let null = NullCo::new(NullOptions { size: 1 << 20, latency: std::time::Duration::ZERO, read_zeroes: true });
        let detect_zeroes = BlockdevDetectZeroesOptions::Off;
        let settings = Settings { read_only: false, discard: Discard::Ignore, detect_zeroes, no_flush: false };
        let child = Node::new("null", Box::new(null), settings).expect("a node");
        Blkdebug::new(child, options(rules).expect("rules"))
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
        for (name, value) in [("errno", 0), ("errno", -5), ("errno", 1_i64 << 40), ("sector", -2), ("sector", i64::MAX)]
        {
            let rules = json!({"inject-error": [{"event": "none"}, {"event": "none", name: value}]});
            let refused = options(rules).expect_err("refused");
            let expected = format!("Parameter 'inject-error[1].{name}' does not accept value '{value}'");
            assert_eq!(refused.desc(), expected);
        }
    }
}
