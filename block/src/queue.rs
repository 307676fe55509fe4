//! Which requests may run, which wait, and in which order they go on: the state under the lock of a backend, without
//! I/O and without threads.
//!
//! ```text
//!   admit --- the VM runs ----> in flight ---- leave ----> answered
//!     |                          |     ^
//!     |                     hold |     | start (cont), resume, oldest first; readmit turns back what a new stop overtakes
//!     |                          v     |
//!     +-- stopped or paused --> waiting ---- forget (the client is gone) ----> answered with an error
//! ```

use std::collections::BTreeMap;

use qapi_schema::run_state::{IoErrorReason, IoOperationType};

use crate::request::{Client, Request};

/// What a held request failed for.
pub type Failure = (IoOperationType, IoErrorReason);

/// A request that may run. Its age is its place among those that wait, should it have to.
#[derive(Debug)]
pub struct Admitted {
    /// The request.
    pub request: Request,
    age: u64,
}

/// A request that waits for the VM to run.
#[derive(Debug)]
pub struct Waiting {
    /// The request.
    pub request: Request,
    /// What it failed for during the present stop; `None` if it was not tried.
    pub held: Option<Failure>,
}

/// The requests of one backend.
#[derive(Debug)]
pub struct Queue {
    running: bool,
    /// Nothing may run, whatever the VM does.
    paused: bool,
    in_flight: usize,
    next_age: u64,
    waiting: BTreeMap<u64, Waiting>,
}

impl Queue {
    /// An empty queue of a VM that runs or is stopped.
    pub const fn new(running: bool) -> Self {
        Self { running, paused: false, in_flight: 0, next_age: 0, waiting: BTreeMap::new() }
    }

    /// Takes a new request, which runs at once or waits. One of a client that is gone is given back to be refused.
    pub fn admit(&mut self, request: Request) -> Admission {
        let age = self.next_age;
        self.next_age += 1;
        self.in_flight += 1;
        self.readmit(Admitted { request, age })
    }

    /// Decides again about a request in flight that has not started yet.
    pub fn readmit(&mut self, admitted: Admitted) -> Admission {
        if admitted.request.client().is_gone() {
            Admission::Refused(admitted.request)
        } else if self.is_open() {
            Admission::Run(admitted)
        } else {
            self.wait(admitted, None);
            Admission::Waits
        }
    }

    /// Makes a request wait that failed. One of a client that is gone is given back.
    pub fn hold(&mut self, admitted: Admitted, failure: Failure) -> Result<(), Request> {
        if admitted.request.client().is_gone() {
            return Err(admitted.request);
        }
        self.wait(admitted, Some(failure));
        Ok(())
    }

    fn wait(&mut self, Admitted { request, age }: Admitted, held: Option<Failure>) {
        self.in_flight -= 1;
        self.waiting.insert(age, Waiting { request, held });
    }

    /// Notes that a request in flight was answered.
    pub const fn leave(&mut self) {
        self.in_flight -= 1;
    }

    /// The VM is stopped: from now on everything waits.
    pub const fn stop(&mut self) {
        self.running = false;
    }

    /// From now on everything waits, until [`resume`](Self::resume).
    pub const fn pause(&mut self) {
        self.paused = true;
    }

    /// The VM runs. From now on nothing waits, unless there is a pause: returns what did, oldest first, as in flight.
    pub fn start(&mut self) -> Vec<Admitted> {
        self.running = true;
        self.release()
    }

    /// The pause is over. From now on nothing waits, unless the VM is stopped: returns as [`start`](Self::start) does.
    pub fn resume(&mut self) -> Vec<Admitted> {
        self.paused = false;
        self.release()
    }

    const fn is_open(&self) -> bool {
        self.running && !self.paused
    }

    fn release(&mut self) -> Vec<Admitted> {
        if !self.is_open() {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.in_flight += waiting.len();
        waiting.into_iter().map(|(age, waiting)| Admitted { request: waiting.request, age }).collect()
    }

    /// Takes out what waits for a client.
    pub fn forget(&mut self, client: &Client) -> Vec<Waiting> {
        let gone = self.waiting.extract_if(.., |_, waiting| waiting.request.client() == client);
        gone.map(|(_, waiting)| waiting).collect()
    }

    /// Whether requests are still in flight although none may start.
    pub const fn is_draining(&self) -> bool {
        !self.is_open() && self.in_flight > 0
    }

    /// Whether none may start and nothing is in flight any more.
    pub const fn is_drained(&self) -> bool {
        !self.is_open() && self.in_flight == 0
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Admission {
    /// It may run now.
    Run(Admitted),
    /// It waits in the queue.
    Waits,
    /// Its client is gone: it is to be answered with an error, and in flight until then.
    Refused(Request),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Operation;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const FAILURE: Failure = (IoOperationType::Write, IoErrorReason::Enospc);

    fn request(client: &Client, length: u64) -> Request {
        Request::new(client.clone(), Operation::Discard { offset: 0, length }, drop)
    }

    fn admitted(queue: &mut Queue, request: Request) -> Admitted {
        match queue.admit(request) {
            Admission::Run(admitted) => admitted,
            refused @ (Admission::Waits | Admission::Refused(_)) => panic!("{refused:?}"),
        }
    }

    fn lengths(released: Vec<Admitted>) -> Vec<u64> {
        let answer = |admitted: Admitted| {
            let range = admitted.request.operation().range();
            admitted.request.complete(Ok(Vec::new()));
            range.map_or(0, |(_, length)| length)
        };
        released.into_iter().map(answer).collect()
    }

    #[test]
    fn what_waits_goes_on_oldest_first_whether_it_was_held_or_never_tried() {
        let (mut queue, client) = (Queue::new(true), Client::default());
        let (first, second) = (admitted(&mut queue, request(&client, 1)), admitted(&mut queue, request(&client, 2)));
        queue.stop();
        assert!(matches!(queue.admit(request(&client, 3)), Admission::Waits));
        queue.hold(second, FAILURE).expect("held");
        assert!(queue.is_draining());
        queue.hold(first, FAILURE).expect("held");
        assert!(queue.is_drained());
        assert_eq!(lengths(queue.start()), [1, 2, 3]);
    }

    #[test]
    fn what_a_new_stop_overtakes_waits_at_its_old_place_and_is_not_held() {
        let (mut queue, client) = (Queue::new(false), Client::default());
        (1..=2).for_each(|length| assert!(matches!(queue.admit(request(&client, length)), Admission::Waits)));
        let mut released = queue.start();
        queue.stop();
        let late = released.pop().expect("two");
        assert!(matches!(queue.readmit(late), Admission::Waits));
        queue.hold(released.pop().expect("one"), FAILURE).expect("held");
        let waiting = queue.forget(&client);
        assert_eq!(waiting.iter().map(|waiting| waiting.held).collect::<Vec<_>>(), [Some(FAILURE), None]);
        waiting.into_iter().for_each(|waiting| waiting.request.complete(Ok(Vec::new())));
    }

    #[test]
    fn a_client_that_is_gone_is_refused_and_others_are_left_alone() {
        let mut queue = Queue::new(false);
        let (gone, other) = (Client::default(), Client::default());
        assert!(matches!(queue.admit(request(&other, 1)), Admission::Waits));
        gone.leave();
        let Admission::Refused(refused) = queue.admit(request(&gone, 2)) else { panic!("admitted") };
        refused.complete(Ok(Vec::new()));
        queue.leave();
        assert!(queue.forget(&gone).is_empty() && queue.is_drained());
        assert_eq!(lengths(queue.start()), [1]);
    }

    #[test]
    fn what_waits_goes_on_when_the_vm_runs_and_there_is_no_pause() {
        let (mut queue, client) = (Queue::new(true), Client::default());
        queue.pause();
        assert!(matches!(queue.admit(request(&client, 1)), Admission::Waits));
        assert!(queue.start().is_empty() && queue.is_drained());
        queue.stop();
        assert!(queue.resume().is_empty());
        queue.pause();
        assert!(queue.start().is_empty());
        assert_eq!(lengths(queue.resume()), [1]);
    }

    #[test]
    fn a_request_is_answered_once() {
        let answers = Arc::new(AtomicUsize::new(0));
        let counted = answers.clone();
        let count = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        Request::new(Client::default(), Operation::Flush, count).complete(Ok(Vec::new()));
        assert_eq!(answers.load(Ordering::Relaxed), 1);
    }
}
