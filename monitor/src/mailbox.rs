//! How other threads reach the event loop: notices, and an eventfd that ends its sleep.
//!
//! The eventfd is written only when the loop sleeps, or is about to: a notice that the loop itself causes, or any
//! number of them while it is busy, costs no system call.

use std::fmt;
use std::mem::{swap, take};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use crate::outbox::SessionId;
use crate::sync::Mutex;

/// What the event loop is to look at.
pub enum Notice {
    /// Another thread left output in this session's outbox.
    Output(SessionId),
    /// This session's outbox is full, and began to drop events.
    Overflow(SessionId),
    /// The command of this session that ran on another thread has been answered.
    Answered(SessionId),
    /// When the next delayed event is due has changed to this.
    Deadline(Option<Instant>),
    /// To be called once the commands that run have been answered.
    Call(Box<dyn FnOnce() + Send>),
    /// The server is to end.
    Shutdown,
}

/// The notices that the event loop has not looked at.
pub struct Mailbox {
    state: Mutex<State>,
    wakeup: OwnedFd,
}

#[derive(Default)]
struct State {
    notices: Vec<Notice>,
    asleep: bool,
}

impl Mailbox {
    /// An empty mailbox.
    ///
    /// # Errors
    /// That of `eventfd()`.
    pub fn new() -> rustix::io::Result<Self> {
        let wakeup = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::default(), wakeup })
    }

    /// Leaves a notice, and ends the loop's sleep.
    pub fn post(&self, notice: Notice) {
        self.leave(notice);
        self.wake();
    }

    /// Leaves a notice. Unless this is the loop's thread, [`Self::wake`] has to follow, once no lock is held.
    pub fn leave(&self, notice: Notice) {
        self.state.lock().notices.push(notice);
    }

    /// Ends the loop's sleep if there are notices.
    pub fn wake(&self) {
        let is_needed = {
            let mut state = self.state.lock();
            !state.notices.is_empty() && take(&mut state.asleep)
        };
        if is_needed {
            // The only error is a full counter, which wakes just as well.
            let _ = write(&self.wakeup, &1_u64.to_ne_bytes());
        }
    }

    /// Asks whether the loop may sleep: from a yes on, a notice makes [`Self::as_fd`] readable.
    pub fn may_sleep(&self) -> bool {
        let mut state = self.state.lock();
        state.asleep = state.notices.is_empty();
        state.asleep
    }

    /// Ends the sleep and takes all notices into `notices`, which is empty.
    pub fn collect(&self, notices: &mut Vec<Notice>) {
        let mut state = self.state.lock();
        state.asleep = false;
        swap(&mut state.notices, notices);
    }

    /// Makes the descriptor unreadable again.
    pub fn rearm(&self) {
        // Nothing to read means that nothing is to be done.
        let _ = read(&self.wakeup, &mut [0; 8]);
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(mailbox: &Mailbox) -> bool {
        let mut fds = [PollFd::new(mailbox, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).expect("poll") == 1
    }

    fn collected(mailbox: &Mailbox) -> usize {
        let mut notices = Vec::new();
        mailbox.collect(&mut notices);
        notices.len()
    }

    #[test]
    fn a_notice_wakes_only_a_loop_that_sleeps() {
        let mailbox = Mailbox::new().expect("eventfd");
        mailbox.post(Notice::Deadline(None));
        assert!(!is_readable(&mailbox));
        assert!(!mailbox.may_sleep(), "a notice waits");
        assert_eq!(collected(&mailbox), 1);

        assert!(mailbox.may_sleep());
        mailbox.post(Notice::Deadline(None));
        mailbox.post(Notice::Shutdown);
        assert!(is_readable(&mailbox));
        mailbox.rearm();
        assert!(!is_readable(&mailbox));
        assert_eq!(collected(&mailbox), 2);
    }

    #[test]
    fn a_loop_that_has_collected_is_not_woken() {
        let mailbox = Mailbox::new().expect("eventfd");
        assert!(mailbox.may_sleep());
        assert_eq!(collected(&mailbox), 0);
        mailbox.post(Notice::Deadline(None));
        assert!(!is_readable(&mailbox));
    }
}
