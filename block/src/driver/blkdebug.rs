//! The driver `blkdebug`: a filter that injects errors by QEMU's rules, given inline, or in a config file, or both.
//!
//! A rule lies dormant until its event happens in its state. Then it is in force, in place of those in force before, and
//! fails the requests it is for. The event `none` happens once, when the node is made; that is in state 1.

use std::io;
use std::mem::take;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::block_core::{BlkdebugEvent, BlkdebugIOType, BlockdevOptionsBlkdebug};

use super::range_lock::{Mode, RangeLock};
use super::{BlockDriver, DriverOptions, Reopening, unchangeable};
use crate::node::Node;
use limits::{Cut, Limits, pieces};
use rules::{Course, InjectError, Invalid, Rules, SetState};

mod config;
mod limits;
mod rules;

static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// The rules and limits of `blkdebug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlkdebugOptions {
    config: Option<String>,
    inline: Rules,
    /// Those of the config file, once it was read.
    of_config: Rules,
    limits: Limits,
}

impl BlkdebugOptions {
    /// What the schema's options ask for; a config file is not read yet.
    ///
    /// # Errors
    /// A rule has an errno that Linux does not have, or a sector that no image has. A limit can't be had.
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
        let (config, limits) = (options.config.clone(), Limits::new(options)?);
        Ok(Self { config, inline, of_config: Rules::default(), limits })
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
/// The lock of `course` is not held during I/O. Ranges are: by writes, alone where the rest of a block is written, too.
#[derive(Debug)]
pub struct Blkdebug {
    child: Arc<Node>,
    options: BlkdebugOptions,
    course: Mutex<Course>,
    ranges: RangeLock,
}

impl Blkdebug {
    /// A filter over `child`.
    pub fn new(child: Arc<Node>, options: BlkdebugOptions) -> Self {
        let rules = options.of_config.clone().followed_by(options.inline.clone());
        Self { child, options, course: Mutex::new(Course::new(rules)), ranges: RangeLock::default() }
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

    fn happens(&self, event: BlkdebugEvent) {
        self.course.lock().happens(event);
    }

    /// Submits each piece that is not to fail. The events happen before the first.
    fn each(
        &self,
        mut events: &[BlkdebugEvent],
        iotype: BlkdebugIOType,
        mut pieces: impl Iterator<Item = Range<u64>>,
        mut submit: impl FnMut(Range<u64>) -> io::Result<()>,
    ) -> io::Result<()> {
        pieces.try_for_each(|piece| {
            self.before(take(&mut events), iotype, &piece)?;
            submit(piece)
        })
    }

    fn around(&self, offset: u64, length: usize) -> io::Result<Range<u64>> {
        Ok(self.options.limits.around(&(offset..offset + length as u64), self.length()?))
    }

    fn read_aligned(&self, events: &[BlkdebugEvent], offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let pieces = pieces(offset..offset + buffer.len() as u64, self.options.limits.max_transfer);
        self.each(events, BlkdebugIOType::Read, pieces, |piece| {
            self.child.read(piece.start, &mut buffer[(piece.start - offset) as usize..(piece.end - offset) as usize])
        })
    }

    fn write_aligned(&self, events: &[BlkdebugEvent], offset: u64, data: &[u8]) -> io::Result<()> {
        let written = self.write_pieces(events, offset, data);
        self.happens(BlkdebugEvent::PwritevDone);
        written
    }

    fn write_pieces(&self, events: &[BlkdebugEvent], offset: u64, data: &[u8]) -> io::Result<()> {
        let pieces = pieces(offset..offset + data.len() as u64, self.options.limits.max_transfer);
        self.each(events, BlkdebugIOType::Write, pieces, |piece| {
            let data = &data[(piece.start - offset) as usize..(piece.end - offset) as usize];
            self.child.write(piece.start, data, false)
        })
    }

    /// Writes `data`, and around it, up to whole blocks, what is there. What is missing is read at once where it is in one
    /// block or two, as in QEMU.
    fn read_modify_write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let blocks = self.around(offset, data.len())?;
        let _alone = self.ranges.lock(blocks.clone(), Mode::Exclusive);
        let align = self.options.limits.align;
        let before = (offset - blocks.start) as usize;
        let mut bytes = vec![0; (blocks.end - blocks.start) as usize];
        let (head, tail) = (before > 0, bytes.len() > before + data.len());
        let first = bytes.len().min(align as usize);
        let last = ((blocks.end - 1) / align * align - blocks.start) as usize;
        let reads = match (head, tail) {
            (true, true) if last <= first => vec![(true, true, 0..bytes.len())],
            _ if last == 0 => vec![(head, tail, 0..bytes.len())],
            _ => vec![(head, false, 0..first), (false, tail, last..bytes.len())],
        };
        for (head, tail, part) in reads.into_iter().filter(|(head, tail, _)| *head || *tail) {
            let happen = |[of_head, of_tail]: [BlkdebugEvent; 2]| {
                let events = [(head, of_head), (tail, of_tail)];
                events.into_iter().filter(|(is_read, _)| *is_read).for_each(|(_, event)| self.happens(event));
            };
            happen([BlkdebugEvent::PwritevRmwHead, BlkdebugEvent::PwritevRmwTail]);
            self.read_aligned(&[], blocks.start + part.start as u64, &mut bytes[part])?;
            happen([BlkdebugEvent::PwritevRmwAfterHead, BlkdebugEvent::PwritevRmwAfterTail]);
        }
        bytes[before..][..data.len()].copy_from_slice(data);
        self.write_aligned(&[BlkdebugEvent::Pwritev], blocks.start, &bytes)
    }

    /// Zeroes an aligned range: what sticks out of the blocks that can be zeroed is written.
    fn zero_aligned(&self, range: Range<u64>, unmap: bool) -> io::Result<()> {
        let limits = &self.options.limits;
        let _shared = self.ranges.lock(range.clone(), Mode::Shared);
        let Cut { head, whole, tail } = limits.zeroable(range);
        let write = |range| {
            let mut pieces = pieces(range, ZEROES.len() as u64);
            pieces.try_for_each(|piece| {
                self.write_pieces(&[], piece.start, &ZEROES[..(piece.end - piece.start) as usize])
            })
        };
        self.happens(BlkdebugEvent::PwritevZero);
        let zeroed = write(head).and_then(|()| {
            self.each(&[], BlkdebugIOType::WriteZeroes, pieces(whole, limits.max_write_zero), |piece| {
                self.child.write_zeroes(piece.start, piece.end - piece.start, unmap, false)
            })
        });
        let zeroed = zeroed.and_then(|()| write(tail));
        self.happens(BlkdebugEvent::PwritevDone);
        zeroed
    }
}

impl BlockDriver for Blkdebug {
    fn name(&self) -> &'static str {
        "blkdebug"
    }

    fn child(&self) -> Option<&Arc<Node>> {
        Some(&self.child)
    }

    /// As in QEMU, where it says all. Inline rules and limits have no place in it.
    fn filename(&self) -> String {
        let BlkdebugOptions { config, inline, of_config: _, limits } = &self.options;
        let child = self.child.filename();
        if child.is_empty() || !inline.is_empty() || *limits != Limits::NONE {
            return child;
        }
        format!("blkdebug:{}:{child}", config.as_deref().unwrap_or_default())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let blocks = self.around(offset, buffer.len())?;
        let events = &[BlkdebugEvent::ReadAio];
        if blocks.end - blocks.start == buffer.len() as u64 {
            return self.read_aligned(events, offset, buffer);
        }
        let mut bytes = vec![0; (blocks.end - blocks.start) as usize];
        self.read_aligned(events, blocks.start, &mut bytes)?;
        buffer.copy_from_slice(&bytes[(offset - blocks.start) as usize..][..buffer.len()]);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let blocks = self.around(offset, data.len())?;
        if blocks.end - blocks.start == data.len() as u64 {
            let _shared = self.ranges.lock(blocks, Mode::Shared);
            return self.write_aligned(&[BlkdebugEvent::WriteAio, BlkdebugEvent::Pwritev], offset, data);
        }
        self.happens(BlkdebugEvent::WriteAio);
        self.read_modify_write(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.before(&[BlkdebugEvent::FlushToOs, BlkdebugEvent::FlushToDisk], BlkdebugIOType::Flush, &(0..0))?;
        self.child.flush()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let limits = &self.options.limits;
        let whole = limits.discardable(offset..offset + length, self.length()?);
        self.each(&[], BlkdebugIOType::Discard, pieces(whole, limits.max_discard), |piece| {
            self.child.discard(piece.start, piece.end - piece.start)
        })
    }

    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        let Cut { head, whole, tail } = self.options.limits.aligned(offset..offset + length, self.length()?);
        let write = |range: Range<u64>| {
            let zeroes = vec![0; (range.end - range.start) as usize];
            if zeroes.is_empty() { Ok(()) } else { self.read_modify_write(range.start, &zeroes) }
        };
        write(head)?;
        if !whole.is_empty() {
            self.zero_aligned(whole, unmap)?;
        }
        write(tail)
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
        let BlkdebugOptions { config, inline: Rules { inject_error, set_state }, of_config: _, limits } = &self.options;
        for (same, option) in [
            (Arc::ptr_eq(child, &self.child), "image"),
            (options.config == *config, "config"),
            (options.inline.inject_error == *inject_error, "inject-error"),
            (options.inline.set_state == *set_state, "set-state"),
            (options.limits.align == limits.align, "align"),
            (options.limits.max_transfer == limits.max_transfer, "max-transfer"),
            (options.limits.opt_write_zero == limits.opt_write_zero, "opt-write-zero"),
            (options.limits.max_write_zero == limits.max_write_zero, "max-write-zero"),
            (options.limits.opt_discard == limits.opt_discard, "opt-discard"),
            (options.limits.max_discard == limits.max_discard, "max-discard"),
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
    use crate::driver::host_file::{Access, HostOptions};
    use crate::driver::null_co::{NullCo, NullDriver, NullOptions};
    use crate::node::recorder::Recorder;
    use crate::node::{Discard, Settings};
    use qapi_schema::block_core::BlockdevDetectZeroesOptions;
    use qapi_schema::common::OnOffAuto;
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

    /// What a filter with these options asks of the disk of 1,000 bytes beneath.
    fn asked<F: FnOnce(&Blkdebug) -> io::Result<()>>(options: Value, ask: F) -> Vec<String> {
        let recorder = Recorder::default();
        let record = recorder.record();
        let settings = Settings { discard: Discard::Unmap, ..Settings::default() };
        let child = Node::new("disk", Box::new(recorder), settings).expect("a node");
        ask(&Blkdebug::new(child, self::options(options).expect("limits"))).expect("no error");
        take(&mut record.lock())
    }

    #[test]
    fn requests_are_widened_to_whole_blocks() {
        let asked_with = asked::<fn(&Blkdebug) -> io::Result<()>>;
        let asked = |ask: fn(&Blkdebug) -> io::Result<()>| asked_with(json!({"align": 256}), ask);
        assert_eq!(asked(|disk| disk.read(300, &mut [0; 300])), ["read 256 512"]);
        assert_eq!(asked(|disk| disk.read(256, &mut [0; 256])), ["read 256 256"]);
        assert_eq!(asked(|disk| disk.write(256, &[1; 256])), ["write 256 256"]);
        assert_eq!(asked(|disk| disk.write(256, &[1; 300])), ["read 512 256", "write 256 512"]);
        assert_eq!(asked(|disk| disk.write(100, &[1; 500])), ["read 0 256", "read 512 256", "write 0 768"]);
        assert_eq!(asked(|disk| disk.write(100, &[1; 300])), ["read 0 512", "write 0 512"]);
        assert_eq!(asked(|disk| disk.write(10, &[1; 10])), ["read 0 256", "write 0 256"]);
        assert_eq!(asked(|disk| disk.write(900, &[1; 100])), ["read 768 232", "write 768 232"]);
        assert_eq!(asked(|disk| disk.write(800, &[1; 100])), ["read 768 232", "write 768 232"]);
        assert_eq!(asked(|disk| disk.write(100, &[1; 800])), ["read 0 256", "read 768 232", "write 0 1000"]);
        assert_eq!(asked(|disk| disk.discard(100, 700)), ["discard 256 512"]);
        assert_eq!(asked(|disk| disk.discard(300, 100)), [""; 0]);
        let zeroed = asked(|disk| disk.write_zeroes(200, 800, true));
        assert_eq!(zeroed, ["read 0 256", "write 0 256", "zero 256 512 true", "write 768 232"]);
        let ends = asked_with(json!({"align": 2, "opt-discard": 512, "opt-write-zero": 512}), |disk| {
            disk.discard(100, 900)?;
            disk.write_zeroes(512, 488, false)
        });
        assert_eq!(ends, ["discard 512 488", "write 512 488"]);
    }

    #[test]
    fn large_requests_are_done_piece_by_piece() {
        let limits = json!({"max-transfer": 300, "opt-write-zero": 100, "max-write-zero": 400, "max-discard": 512});
        let asked = asked(limits, |disk| {
            disk.read(0, &mut [0; 700])?;
            disk.write(100, &[1; 400])?;
            disk.write_zeroes(50, 800, false)?;
            disk.discard(1, 999)
        });
        let [transfers, zeroes, discards] = [
            ["read 0 300", "read 300 300", "read 600 100", "write 100 300", "write 400 100"].as_slice(),
            &["write 50 50", "zero 100 400 false", "zero 500 300 false", "write 800 50"],
            &["discard 1 512", "discard 513 487"],
        ];
        assert_eq!(asked, [transfers, zeroes, discards].concat());
    }

    #[test]
    fn a_rule_meets_what_a_request_was_made_into() {
        let disk = filter(json!({"align": 4096, "inject-error": [{"event": "none", "sector": 7, "iotype": "read"}]}));
        assert_eq!(errno(disk.read(0, &mut [0; 512])), Some(5));
        assert_eq!(errno(disk.write(4096, &[1; 4096])), None);
        assert_eq!(errno(disk.write(0, &[1; 4096])), None);
        assert_eq!(errno(disk.write(0, &[1; 512])), Some(5), "the rest of the block can't be read");
        let disk = filter(json!({
            "max-transfer": 512, "inject-error": [{"event": "pwritev", "sector": 1, "once": true, "errno": 28}]}));
        assert_eq!(errno(disk.write(0, &[1; 1024])), Some(28), "the second piece");
        let disk = filter(json!({
            "align": 512, "inject-error": [{"event": "pwritev_rmw_tail", "iotype": "read", "errno": 28}]}));
        assert_eq!([errno(disk.write(10, &[1; 502])), errno(disk.write(10, &[1; 10]))], [None, Some(28)]);
    }

    /// Whether these events happen in this order.
    fn happen(events: &[&str], limits: Value, request: fn(&Blkdebug) -> io::Result<()>) -> bool {
        let states = events.iter().enumerate();
        let states = states.map(|(at, event)| json!({"event": event, "state": at + 1, "new_state": at + 2}));
        let mut options = limits;
        options["set-state"] = states.collect();
        let last = events.len() as i64 + 1;
        options["inject-error"] = json!([{"event": "flush_to_os", "state": last, "iotype": "flush", "errno": 28}]);
        let disk = filter(options);
        request(&disk).expect("done");
        errno(disk.flush()) == Some(28)
    }

    #[test]
    fn the_events_of_a_request_happen_in_qemus_order() {
        let happen = |events: &[&str], request| happen(events, json!({"align": 512, "opt-write-zero": 4096}), request);
        let [head, after_head] = ["pwritev_rmw_head", "pwritev_rmw_after_head"];
        let [tail, after_tail] = ["pwritev_rmw_tail", "pwritev_rmw_after_tail"];
        let [begin, write, done] = ["write_aio", "pwritev", "pwritev_done"];
        assert!(happen(&[begin, write, done], |disk| disk.write(512, &[1; 512])));
        assert!(happen(&[begin, head, after_head, write, done], |disk| disk.write(10, &[1; 1014])));
        assert!(happen(&[begin, tail, after_tail, write, done], |disk| disk.write(0, &[1; 1000])));
        for request in [|disk: &Blkdebug| disk.write(10, &[1; 1000]), |disk: &Blkdebug| disk.write(10, &[1; 100])] {
            assert!(happen(&[begin, head, tail, after_head, after_tail, write, done], request));
        }
        let far = |disk: &Blkdebug| disk.write(10, &[1; 2000]);
        assert!(happen(&[begin, head, after_head, tail, after_tail, write, done], far));
        assert!(happen(&["pwritev_zero", done], |disk| disk.write_zeroes(512, 512, true)));
        assert!(!happen(&[write], |disk| disk.write_zeroes(512, 8192, true)));
        assert!(happen(&[head, tail, write, done], |disk| disk.write_zeroes(10, 10, true)));
        assert!(happen(&["pwritev_zero", done, tail, write, done], |disk| disk.write_zeroes(0, 600, true)));
    }

    #[test]
    fn limits_stay_as_they_are() {
        let disk = filter(json!({"align": 512}));
        let reopen = |limits| {
            let options = DriverOptions::Blkdebug(options(limits).expect("limits"), Arc::clone(&disk.child));
            disk.prepare_reopen(&options).map(drop).map_err(|error| error.desc().to_owned())
        };
        assert_eq!(reopen(json!({"align": 512})), Ok(()));
        assert_eq!(reopen(json!({"align": 1024})), Err("Cannot change the option 'align'".into()));
        let zeroes = json!({"align": 512, "opt-write-zero": 1024});
        assert_eq!(reopen(zeroes), Err("Cannot change the option 'opt-write-zero'".into()));
    }

    #[test]
    fn parts_of_one_block_written_at_once_are_all_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("image");
        std::fs::write(&path, [0; 4096]).expect("written");
        let host = HostOptions {
            filename: path.to_str().expect("UTF-8").into(),
            fdset: None,
            access: Access::ReadWrite,
            direct: false,
            locking: OnOffAuto::Off,
            force_share: false,
        };
        let file = DriverOptions::File(host).open().expect("opens");
        let child = Node::new("file", file, Settings::default()).expect("a node");
        let disk = Blkdebug::new(child, options(json!({"align": 4096})).expect("limits"));
        thread::scope(|scope| {
            for part in 0..4_u64 {
                let disk = &disk;
                scope.spawn(move || {
                    for round in 0..2_000_u32 {
                        let data = [round as u8; 1024];
                        disk.write(part * 1024, &data).expect("written");
                        let mut found = [0; 1024];
                        disk.read(part * 1024, &mut found).expect("read");
                        assert!(found == data, "overwritten with what was there before");
                    }
                });
            }
        });
    }

    #[test]
    fn whole_blocks_are_not_written_while_a_part_is() {
        let requests =
            [|disk: &Blkdebug| disk.write(0, &[1; 4096]), |disk: &Blkdebug| disk.write_zeroes(0, 8192, false)];
        for request in requests {
            let disk = &filter(json!({"align": 4096}));
            // As it is held when what stands around the part has been read.
            let part = disk.ranges.lock(0..4096, Mode::Exclusive);
            thread::scope(|scope| {
                let whole = scope.spawn(move || request(disk));
                while !whole.is_finished() && !disk.ranges.is_waited_for() {
                    thread::yield_now();
                }
                assert!(!whole.is_finished(), "what it wrote is overwritten");
                drop(part);
                whole.join().expect("no panic").expect("done");
            });
        }
    }
}
