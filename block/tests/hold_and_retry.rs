//! Hold and retry against a model disk: random writes into a pool that is too small, `cont`, `stop`, reset, sleep, more space,
//! clients that leave. What was acknowledged is what the disk holds in the end.
#![cfg(not(shuttle))]
#![allow(clippy::expect_used)]

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use block::request::{Answer, Client, Operation, Request};
use proptest::prelude::*;
use qapi_schema::block_core::{BlockDeviceIoStatus, Commands as _};
use qapi_schema::run_state::{RunState, ShutdownCause};
use serde_json::json;
use support::Setup;
use vl::WakeupReason;

const GRANULE: usize = 4096;
const GRANULES: usize = 16;
const POLL: Duration = Duration::from_millis(1);
/// A failure, not a time that anything is expected to take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Step {
    Write { client: usize, granule: usize, byte: u8 },
    Extend(u64),
    Cont,
    Stop,
    Reset,
    Suspend,
    Wakeup,
    Leave { client: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3usize, 0..GRANULES, 1..=u8::MAX).prop_map(|(client, granule, byte)| Step::Write { client, granule, byte }),
        2 => (0..4u64).prop_map(Step::Extend),
        3 => Just(Step::Cont),
        1 => Just(Step::Stop),
        1 => Just(Step::Reset),
        1 => Just(Step::Suspend),
        1 => Just(Step::Wakeup),
        1 => (0..3usize).prop_map(|client| Step::Leave { client }),
    ]
}

/// What the guests know: a granule holds what was acknowledged last; one whose client left may hold either.
struct Model {
    disk: Vec<Vec<u8>>,
    outstanding: HashMap<u64, Write>,
    /// Requests whose clients left before they were answered.
    gone: HashSet<u64>,
}

struct Write {
    client: usize,
    granule: usize,
    byte: u8,
    wait: Wait,
}

/// Why a write waits, should the VM be stopped.
#[derive(PartialEq)]
enum Wait {
    /// It failed.
    Held,
    /// It came when the VM was stopped.
    Untried,
    /// It was under way when the VM stopped: one or the other.
    Either,
}

/// A request by its number, and its answer.
type Answered = (u64, Answer);

struct Run {
    setup: Setup,
    model: Model,
    clients: Vec<Client>,
    limit: u64,
    next: u64,
    answers: (Sender<Answered>, Receiver<Answered>),
}

impl Run {
    fn new(dir: &std::path::Path) -> Self {
        let path = dir.join("disk.img");
        std::fs::File::create(&path).and_then(|file| file.set_len((GRANULE * GRANULES) as u64)).expect("an image");
        Self {
            setup: Setup::new(json!({"driver": "file", "node-name": "file", "filename": path}), 0),
            model: Model { disk: vec![vec![0]; GRANULES], outstanding: HashMap::new(), gone: HashSet::new() },
            clients: (0..3).map(|_| Client::default()).collect(),
            limit: 0,
            next: 0,
            answers: channel(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { client, granule, byte } => self.write(client, granule, byte),
            Step::Extend(granules) => self.extend(granules),
            Step::Cont => self.cont(),
            Step::Stop => self.setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped"),
            Step::Reset => {
                self.setup.vm.transaction(|tx| tx.reset(ShutdownCause::HostQmpSystemReset)).expect("reset");
            }
            // Its disk works on: nothing else changes.
            Step::Suspend => self.setup.vm.suspend_request(),
            // Refused to a guest that is awake or stopped.
            Step::Wakeup => drop(self.setup.vm.wakeup_request(WakeupReason::Other)),
            Step::Leave { client } => self.leave(client),
        }
        while let Ok(answer) = self.answers.1.try_recv() {
            self.settle(answer);
        }
        self.check();
    }

    /// Requests are served, whether the guest runs or sleeps.
    fn is_live(&self) -> bool {
        self.setup.vm.transaction(|tx| tx.is_live())
    }

    fn cont(&mut self) {
        self.model.outstanding.values_mut().for_each(|write| write.wait = Wait::Either);
        self.setup.vm.transaction(|tx| tx.vm_start()).expect("started");
    }

    /// What is held, and the io-status, whenever nothing is in flight.
    fn check(&mut self) {
        if self.is_live() && !self.model.outstanding.is_empty() {
            return;
        }
        self.setup.vm.drain();
        while let Ok(answer) = self.answers.1.try_recv() {
            self.settle(answer);
        }
        // Nothing waits for a client that left; a refusal may come a little after it stopped being in flight.
        while self.model.outstanding.keys().any(|id| self.model.gone.contains(id)) {
            let answer = self.answers.1.recv_timeout(PATIENCE).expect("a client that left has a request waiting");
            self.settle(answer);
        }
        let outstanding = &self.model.outstanding;
        let waiting = |wait: Wait| outstanding.values().filter(|write| write.wait == wait).count() as u64;
        let (held, either) = (waiting(Wait::Held), waiting(Wait::Either));
        let infos = self.setup.vm.stop_reason().last_stop.and_then(|stop| stop.io_errors).unwrap_or_default();
        let told: u64 = infos.iter().map(|info| info.held).sum();
        assert!((held..=held + either).contains(&told), "{told} held instead of {held} to {}", held + either);
        if !self.is_live() {
            let count: u64 = infos.iter().map(|info| info.count).sum();
            assert_eq!(count, self.errors_since(&["RESUME"]));
        }
        let full = self.errors_since(&["RESUME", "RESET"]) > 0;
        let io_status = self.setup.block.query_block().expect("backends")[0].io_status;
        assert_eq!(io_status, Some(if full { BlockDeviceIoStatus::Nospace } else { BlockDeviceIoStatus::Ok }));
    }

    fn errors_since(&self, resets: &[&str]) -> u64 {
        let events = self.setup.log.all();
        let since = events.iter().rev().take_while(|(name, _)| !resets.contains(name));
        since.filter(|(name, _)| *name == "BLOCK_IO_ERROR").count() as u64
    }

    /// A guest does not write where a write of its own is under way: the order of the two would be nobody's.
    fn write(&mut self, client: usize, granule: usize, byte: u8) {
        if self.model.outstanding.values().any(|write| write.granule == granule) {
            return;
        }
        let id = self.next;
        self.next += 1;
        let wait = match (self.is_live(), self.model.outstanding.is_empty()) {
            (false, _) => Wait::Untried,
            (true, true) => Wait::Held,
            (true, false) => Wait::Either,
        };
        self.model.outstanding.insert(id, Write { client, granule, byte, wait });
        let offset = (granule * GRANULE) as u64;
        let write = Operation::Write { offset, data: vec![byte; GRANULE], fua: false };
        let answers = self.answers.0.clone();
        self.setup.disk.submit(Request::new(self.clients[client].clone(), write, move |answer| {
            answers.send((id, answer)).expect("the test waits");
        }));
    }

    fn extend(&mut self, granules: u64) {
        self.limit = (self.limit + granules * GRANULE as u64).min((GRANULE * GRANULES) as u64);
        self.setup.set_limit(self.limit);
    }

    fn leave(&mut self, client: usize) {
        let left = std::mem::take(&mut self.clients[client]);
        let outstanding = self.model.outstanding.iter();
        self.model.gone.extend(outstanding.filter(|(_, write)| write.client == client).map(|(id, _)| id));
        self.setup.disk.cancel(&left);
    }

    fn settle(&mut self, (id, answer): Answered) {
        let Write { granule, byte, .. } = self.model.outstanding.remove(&id).expect("answered once");
        match answer {
            Ok(_) => self.model.disk[granule] = vec![byte],
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted, "a full disk failed a write");
                assert!(self.model.gone.contains(&id), "a write failed whose client is there");
                self.model.disk[granule].push(byte);
            }
        }
    }

    /// With all the space there is, everything is answered.
    fn finish(mut self) {
        self.extend(GRANULES as u64);
        while !self.model.outstanding.is_empty() {
            // More than once: a retry under way may have found the disk full before it was extended, and stop the VM yet.
            self.setup.vm.transaction(|tx| tx.vm_start()).expect("started");
            if let Ok(answer) = self.answers.1.recv_timeout(POLL) {
                self.settle(answer);
            }
        }
        for granule in 0..GRANULES {
            let mut data = vec![0; GRANULE];
            self.setup.disk.node().read((granule * GRANULE) as u64, &mut data).expect("readable");
            let may_hold = &self.model.disk[granule];
            assert!(may_hold.iter().any(|&byte| data == [byte; GRANULE]), "granule {granule}: not one of {may_hold:?}");
        }
        self.setup.log.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_acknowledged_is_what_the_disk_holds(steps in prop::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut run = Run::new(dir.path());
        steps.iter().for_each(|step| run.step(step));
        run.finish();
    }
}
