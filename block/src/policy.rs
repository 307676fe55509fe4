//! What to do about an I/O error: the on-error policy, as a pure decision.

use qapi_schema::Error;
use qapi_schema::block_core::{BlockErrorAction, BlockdevOnError};
use qapi_schema::run_state::{IoErrorReason, IoOperationType};

use crate::error::is_no_space;

/// The policy of a device or export: `werror` and `rerror`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorPolicy {
    write: OnError,
    read: OnError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnError {
    Report,
    Ignore,
    StopForSpace,
    Stop,
}

impl ErrorPolicy {
    /// The policy that `werror` and `rerror` ask for; absent is `auto`, which is QEMU's default.
    ///
    /// # Errors
    /// `rerror=enospc`: reading needs no space.
    pub fn new(werror: Option<BlockdevOnError>, rerror: Option<BlockdevOnError>) -> Result<Self, Error> {
        let write = match werror.unwrap_or(BlockdevOnError::Auto) {
            BlockdevOnError::Auto | BlockdevOnError::Enospc => OnError::StopForSpace,
            BlockdevOnError::Report => OnError::Report,
            BlockdevOnError::Ignore => OnError::Ignore,
            BlockdevOnError::Stop => OnError::Stop,
        };
        let read = match rerror.unwrap_or(BlockdevOnError::Auto) {
            BlockdevOnError::Auto | BlockdevOnError::Report => OnError::Report,
            BlockdevOnError::Ignore => OnError::Ignore,
            BlockdevOnError::Stop => OnError::Stop,
            BlockdevOnError::Enospc => {
                return Err(Error::generic("Parameter 'rerror' does not accept value 'enospc'"));
            }
        };
        Ok(Self { write, read })
    }

    /// What to do about an operation that failed for this reason.
    pub const fn decide(self, operation: IoOperationType, reason: IoErrorReason) -> BlockErrorAction {
        let on_error = match operation {
            IoOperationType::Read => self.read,
            IoOperationType::Write => self.write,
        };
        match on_error {
            OnError::Stop => BlockErrorAction::Stop,
            OnError::StopForSpace if is_no_space(reason) => BlockErrorAction::Stop,
            OnError::StopForSpace | OnError::Report => BlockErrorAction::Report,
            OnError::Ignore => BlockErrorAction::Ignore,
        }
    }

    /// Whether an error could stop the VM: then, as in QEMU, there is an io-status, and BLOCK_IO_ERROR has `nospace`.
    pub const fn may_stop(self) -> bool {
        matches!(self.write, OnError::Stop | OnError::StopForSpace) || matches!(self.read, OnError::Stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BlockErrorAction::{Ignore, Report, Stop};
    use IoErrorReason::{Edquot, Eio, Enospc};
    use IoOperationType::{Read, Write};

    fn decide(werror: &str, rerror: &str) -> [BlockErrorAction; 5] {
        let on_error = |name: &str| Some(name.parse().expect("a policy"));
        let policy = ErrorPolicy::new(on_error(werror), on_error(rerror)).expect("accepted");
        [(Write, Enospc), (Write, Edquot), (Write, Eio), (Read, Eio), (Read, Enospc)]
            .map(|(operation, reason)| policy.decide(operation, reason))
    }

    #[test]
    fn each_policy_decides_as_qemu_does() {
        assert_eq!(decide("auto", "auto"), [Stop, Stop, Report, Report, Report]);
        assert_eq!(decide("enospc", "report"), [Stop, Stop, Report, Report, Report]);
        assert_eq!(decide("stop", "stop"), [Stop; 5]);
        assert_eq!(decide("ignore", "ignore"), [Ignore; 5]);
        assert_eq!(decide("report", "stop"), [Report, Report, Report, Stop, Stop]);
    }

    #[test]
    fn a_read_can_t_wait_for_space() {
        let refused = ErrorPolicy::new(None, Some(BlockdevOnError::Enospc)).expect_err("refused");
        assert!(refused.desc().contains("'rerror'"));
    }

    #[test]
    fn only_a_policy_that_can_stop_the_vm_has_an_io_status() {
        let policy = |werror, rerror| ErrorPolicy::new(Some(werror), Some(rerror)).expect("accepted").may_stop();
        assert!(policy(BlockdevOnError::Enospc, BlockdevOnError::Report));
        assert!(policy(BlockdevOnError::Report, BlockdevOnError::Stop));
        assert!(!policy(BlockdevOnError::Report, BlockdevOnError::Ignore));
    }
}
