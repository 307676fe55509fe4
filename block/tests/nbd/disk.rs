//! Disks for tests: one in memory, and one that holds what would change it until it is told to go on.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use block::disk::Disk;
use block::request::{Answer, Client, Operation, Request};
use parking_lot::{Condvar, Mutex, MutexGuard};

/// What a disk was asked for, without the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Read,
    Write { fua: bool },
    Flush,
    Discard,
    WriteZeroes { fua: bool, unmap: bool },
}

impl From<&Operation> for Asked {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Read { .. } => Self::Read,
            Operation::Write { fua, .. } => Self::Write { fua: *fua },
            Operation::Flush => Self::Flush,
            Operation::Discard { .. } => Self::Discard,
            Operation::WriteZeroes { fua, unmap, .. } => Self::WriteZeroes { fua: *fua, unmap: *unmap },
        }
    }
}

/// A disk in memory, which remembers what it was asked for.
pub struct Memory {
    content: Mutex<Vec<u8>>,
    asked: Mutex<Vec<Asked>>,
    read_only: bool,
    write_cache: AtomicBool,
}

impl Memory {
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self::of(size))
    }

    pub fn read_only(size: usize) -> Arc<Self> {
        Arc::new(Self { read_only: true, ..Self::of(size) })
    }

    fn of(size: usize) -> Self {
        let (content, asked) = (Mutex::new(vec![0; size]), Mutex::default());
        Self { content, asked, read_only: false, write_cache: AtomicBool::new(true) }
    }

    pub fn content(&self) -> Vec<u8> {
        self.content.lock().clone()
    }

    /// How many requests of a kind there were.
    pub fn count(&self, kind: Asked) -> usize {
        self.asked.lock().iter().filter(|asked| **asked == kind).count()
    }

    /// Empties the list of what it was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock())
    }

    fn execute(&self, operation: &Operation) -> Answer {
        self.asked.lock().push(operation.into());
        let mut content = self.content.lock();
        match operation {
            Operation::Read { offset, length } => return Ok(content[*offset as usize..][..*length].to_vec()),
            Operation::Write { offset, data, .. } => {
                content[*offset as usize..][..data.len()].copy_from_slice(data);
            }
            Operation::WriteZeroes { offset, length, .. } => {
                content[*offset as usize..][..*length as usize].fill(0);
            }
            Operation::Flush | Operation::Discard { .. } => {}
        }
        Ok(Vec::new())
    }
}

impl Disk for Memory {
    fn submit(&self, request: Request) {
        let answer = self.execute(request.operation());
        request.complete(answer);
    }

    fn cancel(&self, _: &Client) {}

    fn length(&self) -> io::Result<u64> {
        Ok(self.content.lock().len() as u64)
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn write_cache(&self) -> bool {
        self.write_cache.load(Ordering::Relaxed)
    }

    fn set_write_cache(&self, on: bool) {
        self.write_cache.store(on, Ordering::Relaxed);
    }
}

/// A disk that is full: it answers reads, and holds all other requests until a test answers them.
pub struct Full {
    size: u64,
    held: Mutex<Held>,
    changed: Condvar,
    gate: Mutex<()>,
}

#[derive(Default)]
struct Held {
    requests: VecDeque<Request>,
    most: usize,
    cancelled: usize,
}

impl Full {
    pub fn new(size: u64) -> Arc<Self> {
        Arc::new(Self { size, held: Mutex::default(), changed: Condvar::new(), gate: Mutex::new(()) })
    }

    /// Waits until so many requests are held.
    pub fn wait_for(&self, count: usize) {
        self.changed.wait_while(&mut self.held.lock(), |held| held.requests.len() < count);
    }

    /// Answers the oldest request, as soon as there is one.
    pub fn answer(&self) {
        let mut held = self.held.lock();
        self.changed.wait_while(&mut held, |held| held.requests.is_empty());
        let request = held.requests.pop_front().expect("waited for");
        drop(held);
        request.complete(Ok(Vec::new()));
    }

    /// The most requests that were ever held at once.
    pub fn most(&self) -> usize {
        self.held.lock().most
    }

    /// Keeps [`Disk::cancel`] from returning until the guard is dropped.
    pub fn delay_cancel(&self) -> MutexGuard<'_, ()> {
        self.gate.lock()
    }

    /// Waits until a client was cancelled.
    pub fn wait_for_cancel(&self) {
        self.changed.wait_while(&mut self.held.lock(), |held| held.cancelled == 0);
    }
}

impl Disk for Full {
    fn submit(&self, request: Request) {
        if let Operation::Read { length, .. } = *request.operation() {
            return request.complete(Ok(vec![0; length]));
        }
        let mut held = self.held.lock();
        held.requests.push_back(request);
        held.most = held.most.max(held.requests.len());
        self.changed.notify_all();
    }

    fn cancel(&self, client: &Client) {
        let mut held = self.held.lock();
        let (gone, left) = held.requests.drain(..).partition::<VecDeque<_>, _>(|request| request.client() == client);
        held.requests = left;
        held.cancelled += 1;
        self.changed.notify_all();
        drop(held);
        let _gate = self.gate.lock();
        for request in gone {
            request.complete(Err(io::Error::other("client is gone")));
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_only(&self) -> bool {
        false
    }
}
