//! The device at work: what wakes its threads, what they take off the rings, and in which order they do it.
//!
//! The leader of the [`Crew`] takes a batch off a ring and executes it request by request; while it is at it the driver
//! need not give notice of more. As long as the disk is quick it keeps the lead, so that a batch costs one wake-up and
//! one notification; when the disk is slow it hands the lead over before each request.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::Instant;

use virtio_queue::Queue;
use vl::sync::{Condvar, Mutex, thread};

use super::budget::Budget;
use super::command::{Command, Limits};
use super::job::Job;
use super::life::Life;
use super::options::VirtioBlkOptions;
use crate::crew::Crew;
use crate::disk::{Disk, Watcher};
use crate::pace::Pace;

/// What the threads of a device share.
///
/// Lock order: `state` comes after the VM's, and nothing is called with it held.
pub(super) struct Device {
    disk: Arc<dyn Disk>,
    options: VirtioBlkOptions,
    /// The disk's, until the driver wants it otherwise, and again after a reset.
    write_cache: bool,
    crew: Crew<Intake>,
    pace: Pace,
    budget: Budget,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    life: Option<Arc<Life>>,
    /// Lives that are over, but not all of their requests. Before they are, nothing new is begun: no old write may land
    /// after a new one.
    old: Vec<Arc<Life>>,
    /// Rings to look at, in turn.
    kicked: VecDeque<u16>,
    /// Requests of which a piece is done.
    begun: VecDeque<Job>,
    ended: bool,
}

/// What the leader has taken off a ring.
#[derive(Default)]
struct Intake {
    batch: VecDeque<Job>,
    /// The ring it came from, whose driver is to be told of answers and asked for more.
    source: Option<(Arc<Life>, u16)>,
}

impl Device {
    /// A device with a thread.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(super) fn new(disk: Arc<dyn Disk>, options: VirtioBlkOptions) -> io::Result<Arc<Self>> {
        let device = Arc::new(Self {
            write_cache: disk.write_cache(),
            disk,
            options,
            crew: Crew::new(Intake::default()),
            pace: Pace::new(),
            budget: Budget::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        device.spawn()?;
        let watcher: Weak<Self> = Arc::downgrade(&device);
        device.disk.watch(watcher);
        Ok(device)
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) const fn options(&self) -> &VirtioBlkOptions {
        &self.options
    }

    /// Begins a life.
    pub(super) fn start(&self, life: Life) {
        let mut state = self.state.lock();
        // The driver may have kicked already.
        state.kicked.extend(0..life.queues());
        state.old.retain(|old| !old.is_finished());
        state.life = Some(Arc::new(life));
        self.changed.notify_all();
    }

    /// Ends the present life; what its requests are answered from now on is for nobody.
    pub(super) fn stop(&self) -> Option<Arc<Life>> {
        let mut state = self.state.lock();
        let life = state.life.take();
        state.old.extend(life.clone());
        state.kicked.clear();
        let begun = mem::take(&mut state.begun);
        drop(state);
        drop(begun);
        if let Some(life) = &life {
            life.close();
        }
        // Now that no write is answered which was begun without it.
        self.disk.set_write_cache(self.write_cache);
        life
    }

    /// Ends the threads once they have nothing to do.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.wake();
    }

    /// Has a ring lie elsewhere.
    pub(super) fn move_queue(&self, ring: u16, queue: Queue) {
        let life = self.state.lock().life.clone();
        if let Some(life) = life {
            life.move_queue(ring, queue);
        }
    }

    /// Has a ring looked at.
    pub(super) fn kick(&self, ring: u16) {
        let mut state = self.state.lock();
        let exists = state.life.as_ref().is_some_and(|life| ring < life.queues());
        if exists && !state.kicked.contains(&ring) {
            state.kicked.push_back(ring);
            self.changed.notify_all();
        }
    }

    /// Has the next piece of a request done.
    pub(super) fn go_on(&self, job: Job) {
        let mut state = self.state.lock();
        if !job.life().is_closed() {
            state.begun.push_back(job);
            self.changed.notify_all();
            return;
        }
        drop(state);
        drop(job);
    }

    /// Gives memory back.
    pub(super) fn release(&self, bytes: usize) {
        if self.budget.release(bytes) {
            self.wake();
        }
    }

    /// Has whoever waits look again. Takes the lock, so that nobody is just about to wait.
    pub(super) fn wake(&self) {
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// Waits until the requests of all lives that are over have ended.
    pub(super) fn drain(&self) {
        self.changed.wait_while(&mut self.state.lock(), |state| !state.is_settled());
    }

    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let device = Arc::clone(self);
        thread::Builder::new().name("virtio-blk".into()).spawn(move || device.work())?;
        Ok(())
    }

    /// The life of one of the threads.
    fn work(self: &Arc<Self>) {
        while let Some((lead, mut intake)) = self.crew.lead() {
            while let Some(job) = self.next(&mut intake) {
                if self.hold_the_lead(&job) {
                    self.execute(job);
                    continue;
                }
                intake.signal();
                if lead.hand_over(intake) {
                    self.enlist();
                }
                let (life, ring) = (Arc::clone(job.life()), job.ring());
                self.execute(job);
                life.signal(ring);
                break;
            }
        }
    }

    /// Whether executing a request takes less time than finding another leader.
    fn hold_the_lead(&self, job: &Job) -> bool {
        job.may_be_quick() && self.pace.is_quick()
    }

    fn enlist(self: &Arc<Self>) {
        if let Err(error) = self.spawn() {
            tracing::warn!(%error, "cannot start a thread: requests of a virtio-blk device wait for each other");
            self.crew.understaffed();
        }
    }

    fn execute(&self, job: Job) {
        if !job.may_be_quick() {
            return job.execute();
        }
        let started = Instant::now();
        job.execute();
        self.pace.record(started.elapsed());
    }

    /// Waits for a request that can be executed now; `None` once the device has ended.
    fn next(self: &Arc<Self>, intake: &mut Intake) -> Option<Job> {
        loop {
            while let Some(job) = intake.batch.pop_front_if(|job| job.life().is_closed() || job.reserve(&self.budget)) {
                if !job.life().is_closed() {
                    return Some(job);
                }
            }
            intake.signal();
            if let Some(job) = intake.batch.front() {
                self.wait_for_memory(job);
                continue;
            }
            match self.wait(intake.source.take())? {
                Task::GoOn(job) => {
                    intake.source = Some((Arc::clone(job.life()), job.ring()));
                    intake.batch.push_back(job);
                }
                Task::Look(life, ring) => {
                    if self.take(&life, ring, &mut intake.batch) > 0 {
                        intake.source = Some((life, ring));
                    }
                }
            }
        }
    }

    /// Waits for something to do. The ring that was looked at last has its turn again, unless it was found empty.
    fn wait(&self, last: Option<(Arc<Life>, u16)>) -> Option<Task> {
        let mut state = self.state.lock();
        if let Some((life, ring)) = last
            && state.life.as_ref().is_some_and(|present| Arc::ptr_eq(present, &life))
            && !state.kicked.contains(&ring)
        {
            state.kicked.push_back(ring);
        }
        loop {
            if let Some(job) = state.begun.pop_front() {
                return Some(Task::GoOn(job));
            }
            if state.is_settled()
                && let Some(life) = state.life.clone()
                && let Some(ring) = state.kicked.pop_front()
            {
                return Some(Task::Look(life, ring));
            }
            if state.ended {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    fn wait_for_memory(&self, job: &Job) {
        // Under the lock: whoever gives memory back from now on will wake this thread.
        let mut state = self.state.lock();
        while !job.life().is_closed() && !self.budget.has(job.payload()) {
            self.changed.wait(&mut state);
        }
    }

    /// Takes off a ring what is available.
    fn take(self: &Arc<Self>, life: &Arc<Life>, ring: u16, batch: &mut VecDeque<Job>) -> usize {
        let limits = Limits {
            // Where the size can't be had the disk says why.
            capacity: self.disk.length().unwrap_or(u64::MAX),
            block_size: u64::from(self.options.logical_block_size),
            discard: self.options.discard.then_some(self.options.max_discard_sectors),
            write_zeroes: self.options.write_zeroes.then_some(self.options.max_write_zeroes_sectors),
        };
        life.take(ring, |chain| {
            let command = Command::decode(&chain, life.memory(), &limits)?;
            batch.push_back(Job::new(self, life, ring, chain, command));
            Ok(())
        })
    }
}

impl Watcher for Device {
    fn resized(&self) {
        let life = self.state.lock().life.clone();
        if let Some(life) = life {
            life.config_changed();
        }
    }
}

impl State {
    /// Whether the requests of all lives that are over have ended.
    fn is_settled(&self) -> bool {
        self.old.iter().all(|life| life.is_finished())
    }
}

/// What a leader does next.
enum Task {
    /// Look at a ring.
    Look(Arc<Life>, u16),
    /// Execute another piece of a request.
    GoOn(Job),
}

impl Intake {
    /// Tells the driver of what this thread answered.
    fn signal(&self) {
        if let Some((life, ring)) = &self.source {
            life.signal(*ring);
        }
    }
}
