//! What is remembered of a stop: its number, its first cause, and every I/O error that made a request wait.

use qapi_schema::common::Timestamp;
use qapi_schema::run_state::{BlockIoErrorInfo, IoErrorReason, IoOperationType, StopReason, StopRecord};

/// A guest request that failed and is held: what BLOCK_IO_ERROR says of it, and where it wanted to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoFailure {
    /// The device or export, as in BLOCK_IO_ERROR.
    pub qom_path: String,
    /// Name of the block backend, "" where it has none.
    pub device: String,
    /// The block node it is attached to.
    pub node_name: Option<String>,
    /// The direction that failed.
    pub operation: IoOperationType,
    /// What went wrong, for programs.
    pub reason: IoErrorReason,
    /// What went wrong, for people.
    pub message: String,
    /// Where the request starts, in bytes, and how many bytes it is about; `None` for a flush.
    pub range: Option<(u64, u64)>,
}

impl IoFailure {
    /// Failures of one device that differ in nothing a client could act on are counted, not listed.
    fn is_like(&self, info: &BlockIoErrorInfo) -> bool {
        (&info.qom_path, info.operation, info.reason) == (&self.qom_path, self.operation, self.reason)
    }
}

/// The stops of a VM, of which the latest is kept.
#[derive(Debug, Default)]
pub struct Stops {
    count: u64,
    last: Option<StopRecord>,
}

impl Stops {
    /// The latest stop.
    pub const fn last(&self) -> Option<&StopRecord> {
        self.last.as_ref()
    }

    /// Notes a new stop and returns its id.
    pub fn begin(&mut self, reason: StopReason, at: Timestamp) -> u64 {
        self.count += 1;
        let id = self.count;
        self.last = Some(StopRecord { id, reason, stopped_at: at, resumed_at: None, io_errors: None });
        id
    }

    /// Notes that the VM goes on: nothing is held any more.
    pub fn end(&mut self, at: Timestamp) {
        if let Some(record) = self.open() {
            record.resumed_at = Some(at);
            for info in record.io_errors.iter_mut().flatten() {
                info.held = 0;
            }
        }
    }

    /// Notes a request that failed, and is held, in the present stop.
    pub fn add_failure(&mut self, failure: IoFailure, at: Timestamp) {
        let Some(record) = self.open() else {
            return;
        };
        let errors = record.io_errors.get_or_insert_default();
        if let Some(info) = errors.iter_mut().find(|info| failure.is_like(info)) {
            info.count += 1;
            info.held += 1;
            return;
        }
        errors.push(BlockIoErrorInfo {
            qom_path: failure.qom_path,
            device: failure.device,
            node_name: failure.node_name,
            operation: failure.operation,
            reason: failure.reason,
            message: failure.message,
            first_at: at,
            count: 1,
            held: 1,
            offset: failure.range.map(|(offset, _)| offset),
            length: failure.range.map(|(_, length)| length),
        });
    }

    /// Notes that a request of the present stop is no longer held: its client is gone.
    pub fn remove_held(&mut self, qom_path: &str, operation: IoOperationType, reason: IoErrorReason) {
        let infos = self.open().and_then(|record| record.io_errors.as_mut());
        let mut infos = infos.into_iter().flatten();
        let key = (qom_path, operation, reason);
        if let Some(info) = infos.find(|info| (info.qom_path.as_str(), info.operation, info.reason) == key) {
            info.held = info.held.saturating_sub(1);
        }
    }

    /// The present stop, if the VM has not gone on since.
    fn open(&mut self) -> Option<&mut StopRecord> {
        self.last.as_mut().filter(|record| record.resumed_at.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp { seconds: 43_200, microseconds: 0 };
    const ONE: Timestamp = Timestamp { seconds: 46_800, microseconds: 0 };

    fn failure(qom_path: &str, reason: IoErrorReason) -> IoFailure {
        IoFailure {
            qom_path: qom_path.into(),
            device: String::new(),
            node_name: None,
            operation: IoOperationType::Write,
            reason,
            message: String::new(),
            range: Some((0, 512)),
        }
    }

    fn counts(stops: &Stops) -> Vec<(&str, IoErrorReason, u64, u64)> {
        let infos = stops.last().and_then(|record| record.io_errors.as_ref()).into_iter().flatten();
        infos.map(|info| (info.qom_path.as_str(), info.reason, info.count, info.held)).collect()
    }

    #[test]
    fn the_first_cause_of_a_stop_is_its_reason_and_later_errors_join_it() {
        let mut stops = Stops::default();
        assert_eq!(stops.begin(StopReason::User, NOON), 1);
        stops.add_failure(failure("/a", IoErrorReason::Enospc), NOON);
        stops.add_failure(failure("/a", IoErrorReason::Enospc), ONE);
        stops.add_failure(failure("/b", IoErrorReason::Eio), ONE);
        let record = stops.last().expect("a stop");
        assert_eq!(record.reason, StopReason::User);
        assert_eq!(record.io_errors.as_ref().expect("errors")[0].first_at, NOON);
        assert_eq!(counts(&stops), [("/a", IoErrorReason::Enospc, 2, 2), ("/b", IoErrorReason::Eio, 1, 1)]);
    }

    #[test]
    fn nothing_is_held_once_the_vm_goes_on_but_the_record_stays() {
        let mut stops = Stops::default();
        stops.begin(StopReason::Ioerror, NOON);
        stops.add_failure(failure("/a", IoErrorReason::Enospc), NOON);
        stops.end(ONE);
        stops.add_failure(failure("/late", IoErrorReason::Eio), ONE);
        assert_eq!(counts(&stops), [("/a", IoErrorReason::Enospc, 1, 0)]);
        assert_eq!(stops.last().and_then(|record| record.resumed_at), Some(ONE));
        assert_eq!(stops.begin(StopReason::User, ONE), 2);
    }

    #[test]
    fn a_client_that_leaves_takes_its_request_out_of_the_count() {
        let mut stops = Stops::default();
        stops.begin(StopReason::Ioerror, NOON);
        stops.add_failure(failure("/a", IoErrorReason::Enospc), NOON);
        stops.add_failure(failure("/a", IoErrorReason::Enospc), NOON);
        stops.remove_held("/a", IoOperationType::Write, IoErrorReason::Enospc);
        stops.remove_held("/a", IoOperationType::Read, IoErrorReason::Enospc);
        assert_eq!(counts(&stops), [("/a", IoErrorReason::Enospc, 2, 1)]);
    }
}
