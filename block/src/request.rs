//! What a guest asks of a disk, and the one answer it is owed.

use std::fmt;
use std::io;
use std::sync::Arc;

use qapi_schema::run_state::IoOperationType;
use vl::sync::atomic::{AtomicBool, Ordering};

/// A disk operation. Offsets and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read `length` bytes.
    Read {
        /// Where to start.
        offset: u64,
        /// How many bytes.
        length: usize,
    },
    /// Write `data`.
    Write {
        /// Where to start.
        offset: u64,
        /// What to write.
        data: Vec<u8>,
        /// On stable storage before it is answered (force unit access).
        fua: bool,
    },
    /// Bring all answered writes to stable storage.
    Flush,
    /// The guest no longer needs this range.
    Discard {
        /// Where to start.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Make this range read as zeroes.
    WriteZeroes {
        /// Where to start.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// On stable storage before it is answered.
        fua: bool,
        /// Space may be given back.
        unmap: bool,
    },
}

impl Operation {
    /// Where it starts and how many bytes it is about; `None` for a flush.
    pub fn range(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Read { offset, length } => Some((offset, length as u64)),
            Self::Write { offset, ref data, .. } => Some((offset, data.len() as u64)),
            Self::Discard { offset, length } | Self::WriteZeroes { offset, length, .. } => Some((offset, length)),
            Self::Flush => None,
        }
    }

    /// The direction, as error policy and events know it.
    pub const fn direction(&self) -> IoOperationType {
        match self {
            Self::Read { .. } => IoOperationType::Read,
            Self::Write { .. } | Self::Flush | Self::Discard { .. } | Self::WriteZeroes { .. } => {
                IoOperationType::Write
            }
        }
    }

    /// Whether it changes what can be read.
    pub const fn changes_the_disk(&self) -> bool {
        match self {
            Self::Write { .. } | Self::Discard { .. } | Self::WriteZeroes { .. } => true,
            Self::Read { .. } | Self::Flush => false,
        }
    }
}

/// Who asks. Clones are the same client; its requests can be found, and refused, once it is gone.
#[derive(Clone, Debug, Default)]
pub struct Client(Arc<AtomicBool>);

impl Client {
    /// Notes that nobody waits for the answers any more.
    pub(crate) fn leave(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether nobody waits for the answers any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Client {}

/// The answer: the data of a read, nothing for the other operations, or why it failed.
pub type Answer = io::Result<Vec<u8>>;

/// An operation with the answer it is owed.
///
/// It is answered once, by value. One that is dropped unanswered is a bug: an assertion in debug builds, an I/O error to
/// the guest in release builds.
pub struct Request {
    client: Client,
    operation: Operation,
    answer: Option<Box<dyn FnOnce(Answer) + Send>>,
}

impl Request {
    /// A request of `client`. `answer` is called exactly once, from any thread, and must not block for long: it runs on
    /// the thread that did the I/O.
    pub fn new(client: Client, operation: Operation, answer: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self { client, operation, answer: Some(Box::new(answer)) }
    }

    /// Who asked.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What for.
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Gives the answer.
    pub fn complete(mut self, answer: Answer) {
        if let Some(call) = self.answer.take() {
            call(answer);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(call) = self.answer.take() {
            debug_assert!(std::thread::panicking(), "dropped unanswered: {:?}", self.operation);
            call(Err(io::Error::other("request was dropped")));
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("operation", &self.operation).finish_non_exhaustive()
    }
}
