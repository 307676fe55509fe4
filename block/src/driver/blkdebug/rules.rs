//! Rules that make requests fail: which are in force after what has happened. Pure.

use std::io;
use std::ops::Range;

use qapi_schema::block_core::{BlkdebugEvent, BlkdebugIOType, BlkdebugInjectErrorOptions, BlkdebugSetStateOptions};
use rustix::io::Errno;

const SECTOR: u64 = 512;

/// How QEMU's rules may spell that any state will do.
const ANY_STATE: i64 = 0;

/// How QEMU's rules may spell that any sector will do.
const ANY_SECTOR: i64 = -1;

/// As the kernel's: an errno is less.
const MAX_ERRNO: i64 = 4096;

/// Rules as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) inject_error: Vec<InjectError>,
    pub(super) set_state: Vec<SetState>,
}

/// A rule that makes requests fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InjectError {
    event: BlkdebugEvent,
    state: Option<i64>,
    iotype: Option<BlkdebugIOType>,
    /// `None`: the request is exempt from the rules that come later.
    error: Option<i32>,
    sector: Option<u64>,
    once: bool,
    immediately: bool,
}

/// A rule that changes the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetState {
    event: BlkdebugEvent,
    state: Option<i64>,
    new_state: i64,
}

/// A number that a rule can't have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) member: &'static str,
    pub(super) value: i64,
}

/// An error that a request is to fail with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) errno: i32,
    /// Before any other request has its turn.
    pub(super) immediately: bool,
}

impl Rules {
    pub(super) fn is_empty(&self) -> bool {
        self.inject_error.is_empty() && self.set_state.is_empty()
    }

    /// These, then `others`.
    pub(super) fn followed_by(mut self, others: Self) -> Self {
        self.inject_error.extend(others.inject_error);
        self.set_state.extend(others.set_state);
        self
    }
}

impl InjectError {
    pub(super) fn new(options: &BlkdebugInjectErrorOptions) -> Result<Self, Invalid> {
        let BlkdebugInjectErrorOptions { event, state, iotype, errno, sector, once, immediately } = *options;
        let invalid = |member, value| Invalid { member, value };
        let errno = errno.unwrap_or(Errno::IO.raw_os_error().into());
        let error = Some(errno).filter(|errno| (0..MAX_ERRNO).contains(errno)).and_then(|errno| errno.try_into().ok());
        let error: i32 = error.ok_or_else(|| invalid("errno", errno))?;
        let in_bytes = |sector: i64| u64::try_from(sector).ok()?.checked_mul(SECTOR);
        let sector = sector.filter(|&sector| sector != ANY_SECTOR);
        let sector = sector.map(|sector| in_bytes(sector).ok_or_else(|| invalid("sector", sector))).transpose()?;
        Ok(Self {
            event,
            state: state.filter(|&state| state != ANY_STATE),
            iotype,
            error: Some(error).filter(|&error| error != 0),
            sector,
            once: once.unwrap_or(false),
            immediately: immediately.unwrap_or(false),
        })
    }

    fn is_for(&self, iotype: BlkdebugIOType, range: &Range<u64>) -> bool {
        // Unless a rule asks for them, questions after what is allocated don't fail.
        let of_kind = self.iotype.map_or(iotype != BlkdebugIOType::BlockStatus, |only| only == iotype);
        of_kind && self.sector.is_none_or(|sector| range.contains(&sector))
    }
}

impl SetState {
    pub(super) fn new(options: &BlkdebugSetStateOptions) -> Self {
        let BlkdebugSetStateOptions { event, state, new_state } = *options;
        Self { event, state: state.filter(|&state| state != ANY_STATE), new_state }
    }
}

/// The rules of an open node, and how far they have come.
#[derive(Debug)]
pub(super) struct Course {
    state: i64,
    dormant: Rules,
    in_force: Vec<InjectError>,
}

impl Course {
    /// The beginning: nothing but `none` has happened.
    pub(super) fn new(rules: Rules) -> Self {
        let mut course = Self { state: 1, dormant: rules, in_force: Vec::new() };
        course.happens(BlkdebugEvent::None);
        course
    }

    /// Of several rules that change the state, the first counts.
    pub(super) fn happens(&mut self, event: BlkdebugEvent) {
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

    /// The first rule in force that is for this request decides.
    pub(super) fn check(&mut self, iotype: BlkdebugIOType, range: &Range<u64>) -> Result<(), Injected> {
        let Some(index) = self.in_force.iter().position(|rule| rule.is_for(iotype, range)) else {
            return Ok(());
        };
        let InjectError { error, once, immediately, .. } = self.in_force[index];
        let Some(errno) = error else {
            return Ok(());
        };
        if once {
            let spent = self.in_force.remove(index);
            if let Some(dormant) = self.dormant.inject_error.iter().position(|rule| *rule == spent) {
                self.dormant.inject_error.remove(dormant);
            }
        }
        Err(Injected { errno, immediately })
    }
}

impl From<Injected> for io::Error {
    fn from(injected: Injected) -> Self {
        Self::from_raw_os_error(injected.errno)
    }
}
