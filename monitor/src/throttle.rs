//! The rate limit of events, with time passed in.
//!
//! An event of the table opens a window of one second for its key. Further events of the key within the window wait,
//! each in the place of the one before; what waits when the window ends goes out then, late and with the time at which
//! it happened, and opens the next window.
//!
//! A stop must never wait. A BLOCK_IO_ERROR with action `stop`, or a WATCHDOG with action `pause`, goes out at once,
//! whatever the window, and is not counted. A report of the same key that waits at that moment is dropped: it would come out after the stop as if it
//! were newer, and letting it out just before would break the limit. The stop is the later word on that key, which is
//! all that a late report ever is.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

/// How long a key's window is.
pub const PERIOD: Duration = Duration::from_secs(1);

/// How one event is limited.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    event: &'static str,
    /// The members of the data that tell keys apart.
    key: &'static [&'static str],
    /// The member and its value with which the event is not limited.
    exempt: Option<(&'static str, &'static str)>,
    /// Whether it is of interest after a reset of the machine: what a disk reported before is not, what caused the reset is.
    outlives_reset: bool,
}

/// QEMU's table, as far as the schema has the events. In QEMU the key of BLOCK_IO_ERROR has no reason, and nothing is
/// exempt.
const RULES: &[Rule] = &[
    Rule {
        event: "BLOCK_IO_ERROR",
        key: &["qom-path", "reason"],
        exempt: Some(("action", "stop")),
        outlives_reset: false,
    },
    Rule { event: "WATCHDOG", key: &[], exempt: Some(("action", "pause")), outlives_reset: true },
];

impl Rule {
    /// The rule for events of this name, if they are limited.
    pub fn of(event: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.event == event)
    }

    fn exempts(&self, data: &Value) -> bool {
        self.exempt.is_some_and(|(member, value)| data.get(member).and_then(Value::as_str) == Some(value))
    }
}

/// The windows that are open, and the events that wait in them.
#[derive(Debug)]
pub struct Throttle<E> {
    /// Oldest first. All windows are equally long, hence ordered by their ends, too.
    windows: VecDeque<Window<E>>,
}

#[derive(Debug)]
struct Window<E> {
    key: Key,
    ends: Duration,
    pending: Option<E>,
}

#[derive(Debug, PartialEq)]
struct Key {
    rule: &'static Rule,
    values: Vec<Value>,
}

impl Key {
    fn of(rule: &'static Rule, data: &Value) -> Self {
        let values = rule.key.iter().map(|member| data.get(member).cloned().unwrap_or_default());
        Self { rule, values: values.collect() }
    }
}

impl<E> Default for Throttle<E> {
    fn default() -> Self {
        Self { windows: VecDeque::new() }
    }
}

impl<E> Throttle<E> {
    /// Takes an event that is limited by `rule`. Returns it if it is to go out now.
    pub fn admit(&mut self, now: Duration, rule: &'static Rule, data: &Value, event: E) -> Option<E> {
        self.windows.retain(|window| window.ends > now || window.pending.is_some());
        let key = Key::of(rule, data);
        let window = self.windows.iter_mut().find(|window| window.key == key);
        match (window, rule.exempts(data)) {
            (Some(window), false) => {
                window.pending = Some(event);
                None
            }
            (Some(window), true) => {
                window.pending = None;
                Some(event)
            }
            (None, true) => Some(event),
            (None, false) => {
                self.windows.push_back(Window { key, ends: now + PERIOD, pending: None });
                Some(event)
            }
        }
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        self.windows.iter().find(|window| window.pending.is_some()).map(|window| window.ends)
    }

    /// Ends the windows whose time is over. Returns the events that waited in them, the one that waited longest first.
    pub fn expire(&mut self, now: Duration) -> Vec<E> {
        let mut due = Vec::new();
        while let Some(window) = self.windows.pop_front_if(|window| window.ends <= now) {
            if let Some(event) = window.pending {
                due.push(event);
                self.windows.push_back(Window { key: window.key, ends: now + PERIOD, pending: None });
            }
        }
        due
    }

    /// Drops what waits and is of no interest to clients of a machine that was reset. The windows stay.
    pub fn reset(&mut self) {
        for window in &mut self.windows {
            window.pending.take_if(|_| !window.key.rule.outlives_reset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SECOND: u64 = 1000;

    /// A throttle, its clock in milliseconds, and what it has let out: when, and what.
    struct Bench {
        throttle: Throttle<u32>,
        now: u64,
        out: Vec<(u64, u32)>,
    }

    impl Bench {
        fn new() -> Self {
            Self { throttle: Throttle::default(), now: 0, out: Vec::new() }
        }

        fn time(&self) -> Duration {
            Duration::from_millis(self.now)
        }

        fn error(&mut self, path: &str, reason: &str, action: &str, event: u32) {
            let rule = Rule::of("BLOCK_IO_ERROR").expect("limited");
            let data = json!({"qom-path": path, "device": event.to_string(), "reason": reason, "action": action});
            let out = self.throttle.admit(self.time(), rule, &data, event);
            self.out.extend(out.map(|event| (self.now, event)));
        }

        /// Lets time pass, with every deadline kept.
        fn pass(&mut self, milliseconds: u64) {
            let end = self.now + milliseconds;
            let millis = |at: Duration| u64::try_from(at.as_millis()).expect("small");
            while let Some(deadline) = self.throttle.deadline().map(millis).filter(|&deadline| deadline <= end) {
                self.now = deadline;
                let due = self.throttle.expire(Duration::from_millis(deadline));
                self.out.extend(due.into_iter().map(|event| (deadline, event)));
            }
            self.now = end;
        }
    }

    #[test]
    fn an_event_that_is_not_in_the_table_has_no_rule() {
        assert_eq!(Rule::of("STOP"), None);
        assert_eq!(Rule::of("WATCHDOG").map(|rule| rule.event), Some("WATCHDOG"));
    }

    #[test]
    fn of_the_reports_within_a_second_the_first_goes_out_and_the_last_follows_late() {
        let mut bench = Bench::new();
        for event in 0..5 {
            bench.error("/disk", "enospc", "report", event);
            bench.pass(100);
        }
        assert_eq!(bench.out, [(0, 0)]);
        bench.pass(SECOND);
        assert_eq!(bench.out, [(0, 0), (SECOND, 4)]);
        bench.error("/disk", "enospc", "report", 5);
        bench.pass(SECOND);
        assert_eq!(bench.out, [(0, 0), (SECOND, 4), (2 * SECOND, 5)]);
    }

    #[test]
    fn keys_do_not_limit_each_other() {
        let mut bench = Bench::new();
        bench.error("/disk", "enospc", "report", 1);
        bench.error("/disk", "eio", "ignore", 2);
        bench.error("/other", "enospc", "report", 3);
        assert_eq!(bench.out, [(0, 1), (0, 2), (0, 3)]);
    }

    #[test]
    fn a_stop_goes_out_at_once_and_opens_no_window() {
        let mut bench = Bench::new();
        bench.error("/disk", "enospc", "report", 1);
        for event in 2..5 {
            bench.pass(10);
            bench.error("/disk", "enospc", "stop", event);
        }
        assert_eq!(bench.out, [(0, 1), (10, 2), (20, 3), (30, 4)]);
        bench.error("/other", "enospc", "stop", 5);
        bench.error("/other", "enospc", "report", 6);
        assert_eq!(bench.out[4..], [(30, 5), (30, 6)]);
    }

    #[test]
    fn a_report_that_waits_does_not_come_out_after_a_stop_of_its_key() {
        let mut bench = Bench::new();
        bench.error("/disk", "enospc", "report", 1);
        bench.error("/disk", "enospc", "report", 2);
        bench.error("/disk", "eio", "report", 3);
        bench.error("/disk", "eio", "report", 4);
        bench.error("/disk", "enospc", "stop", 5);
        bench.pass(2 * SECOND);
        assert_eq!(bench.out, [(0, 1), (0, 3), (0, 5), (SECOND, 4)]);
    }

    #[test]
    fn a_reset_drops_what_waits_and_the_limit_holds_on() {
        let mut bench = Bench::new();
        bench.error("/disk", "enospc", "report", 1);
        bench.error("/disk", "enospc", "report", 2);
        bench.throttle.reset();
        assert_eq!(bench.throttle.deadline(), None);
        bench.error("/disk", "enospc", "report", 3);
        bench.pass(2 * SECOND);
        assert_eq!(bench.out, [(0, 1), (SECOND, 3)]);
    }

    #[test]
    fn a_watchdog_that_waits_is_told_after_the_reset_that_it_caused_and_one_that_stops_never_waits() {
        let mut bench = Bench::new();
        let rule = Rule::of("WATCHDOG").expect("limited");
        let expire = |bench: &mut Bench, action: &str, event| {
            let out = bench.throttle.admit(bench.time(), rule, &json!({ "action": action }), event);
            bench.out.extend(out.map(|event| (bench.now, event)));
        };
        expire(&mut bench, "reset", 1);
        expire(&mut bench, "reset", 2);
        bench.throttle.reset();
        bench.pass(SECOND);
        assert_eq!(bench.out, [(0, 1), (SECOND, 2)]);
        expire(&mut bench, "pause", 3);
        assert_eq!(bench.out[2..], [(SECOND, 3)]);
    }

    #[test]
    fn windows_that_are_over_are_forgotten() {
        let mut bench = Bench::new();
        for disk in 0..100 {
            bench.error(&format!("/disk/{disk}"), "eio", "report", disk);
        }
        bench.pass(SECOND);
        bench.error("/disk", "eio", "report", 100);
        assert_eq!(bench.throttle.windows.len(), 1);
    }

    #[test]
    fn a_late_timer_loses_nothing_and_limits_no_further_key() {
        let mut bench = Bench::new();
        bench.error("/a", "eio", "report", 1);
        bench.error("/a", "eio", "report", 2);
        bench.error("/b", "eio", "report", 3);
        bench.now = 3 * SECOND;
        bench.error("/b", "eio", "report", 4);
        assert_eq!(bench.out, [(0, 1), (0, 3), (3 * SECOND, 4)]);
        assert_eq!(bench.throttle.expire(bench.time()), [2]);
    }

    #[derive(Clone, Debug)]
    enum Move {
        Error { disk: usize, stop: bool },
        Pass(u64),
    }

    fn any_move() -> impl Strategy<Value = Move> {
        prop_oneof![
            3 => (0..2_usize, prop::bool::weighted(0.2)).prop_map(|(disk, stop)| Move::Error { disk, stop }),
            2 => (1..700_u64).prop_map(Move::Pass),
        ]
    }

    proptest! {
        #[test]
        fn any_sequence_is_limited_in_order_and_ends_with_the_last_word(
            moves in prop::collection::vec(any_move(), 1..60),
        ) {
            let mut bench = Bench::new();
            let mut happened: [Vec<(u64, u32, bool)>; 2] = Default::default();
            for (event, step) in (0..).zip(moves) {
                match step {
                    Move::Error { disk, stop } => {
                        happened[disk].push((bench.now, event, stop));
                        bench.error(&disk.to_string(), "eio", if stop { "stop" } else { "report" }, event);
                    }
                    Move::Pass(time) => bench.pass(time),
                }
            }
            bench.pass(SECOND);

            for events in happened {
                let find = |out: u32| events.iter().find(|&&(_, event, _)| event == out);
                let out: Vec<_> = bench.out.iter().filter_map(|&(at, out)| Some((at, find(out)?))).collect();
                let order: Vec<u32> = out.iter().map(|(_, (_, event, _))| *event).collect();
                prop_assert!(order.is_sorted_by(|a, b| a < b), "out of order or twice: {order:?}");
                prop_assert_eq!(order.last(), events.last().map(|(_, event, _)| event), "not the last word");
                let stops = events.iter().filter(|(_, _, stop)| *stop);
                let stops_out = out.iter().filter(|(_, (_, _, stop))| *stop);
                prop_assert!(stops_out.clone().all(|(at, (when, _, _))| at == when), "a stop waited");
                prop_assert_eq!(stops_out.count(), stops.count(), "a stop was lost");
                let reports: Vec<u64> = out.iter().filter(|(_, (_, _, stop))| !stop).map(|(at, _)| *at).collect();
                prop_assert!(reports.windows(2).all(|pair| pair[1] - pair[0] >= SECOND), "too often: {reports:?}");
            }
        }
    }
}
