//! A request of the guest on its way through the disk, in pieces if it is long.

use std::sync::Arc;

use virtio_bindings::virtio_blk::VIRTIO_BLK_ID_BYTES;
use vl::sync::atomic::Ordering;
use vl::sync::thread::{self, ThreadId};

use super::budget::{Budget, PIECE};
use super::chain::Chain;
use super::command::{Command, HEADER, Status};
use super::device::Device;
use super::life::Life;
use crate::request::{Answer, Operation, Request};

/// A request. It counts as unfinished in its life until it is dropped.
pub(super) struct Job {
    device: Arc<Device>,
    life: Arc<Life>,
    ring: u16,
    chain: Chain,
    command: Result<Command, Status>,
    /// Bytes read or written.
    done: usize,
    /// Bytes of the piece under way.
    reserved: usize,
}

impl Job {
    pub(super) fn new(
        device: &Arc<Device>,
        life: &Arc<Life>,
        ring: u16,
        chain: Chain,
        command: Result<Command, Status>,
    ) -> Self {
        life.unfinished.fetch_add(1, Ordering::SeqCst);
        let (device, life) = (Arc::clone(device), Arc::clone(life));
        Self { device, life, ring, chain, command, done: 0, reserved: 0 }
    }

    pub(super) const fn life(&self) -> &Arc<Life> {
        &self.life
    }

    pub(super) const fn ring(&self) -> u16 {
        self.ring
    }

    /// Bytes of memory that the next piece takes.
    pub(super) fn payload(&self) -> usize {
        match self.command {
            Ok(Command::Read { length, .. } | Command::Write { length, .. }) => (length - self.done).min(PIECE),
            Ok(Command::Flush | Command::Id | Command::Discard { .. } | Command::WriteZeroes { .. }) | Err(_) => 0,
        }
    }

    /// Reserves the memory for the next piece.
    pub(super) fn reserve(&mut self, budget: &Budget) -> bool {
        let payload = self.payload();
        let reserved = budget.reserve(payload);
        if reserved {
            self.reserved = payload;
        }
        reserved
    }

    /// Whether a quick disk does this at once.
    pub(super) fn may_be_quick(&self) -> bool {
        match self.command {
            Ok(Command::Read { .. } | Command::Id) | Err(_) => true,
            Ok(Command::Write { .. }) => self.device.disk().write_cache(),
            Ok(Command::Flush | Command::Discard { .. } | Command::WriteZeroes { .. }) => false,
        }
    }

    /// Has the next piece done on the calling thread, or kept by the disk. Whoever answers it on another thread tells
    /// the driver; on this one that is left to the caller.
    pub(super) fn execute(self) {
        let operation = match self.operation() {
            Ok(operation) => operation,
            Err(status) => return self.life.answer(self.ring, &self.chain, status),
        };
        let (device, thread) = (Arc::clone(&self.device), thread::current().id());
        let client = self.life.client.clone();
        device.disk().submit(Request::new(client, operation, move |answer| self.answered(thread, answer)));
    }

    /// What the disk is to do next; the status if there is nothing. The protocol knows no FUA: without a write cache the disk
    /// sees to it that every write is on stable storage.
    fn operation(&self) -> Result<Operation, Status> {
        let piece = self.payload();
        Ok(match self.command? {
            Command::Read { offset, .. } => Operation::Read { offset: offset + self.done as u64, length: piece },
            Command::Write { offset, .. } => {
                let mut data = vec![0; piece];
                let read = self.chain.readable.read(self.life.memory(), HEADER + self.done, &mut data);
                read.map_err(|_| Status::IoError)?;
                Operation::Write { offset: offset + self.done as u64, data, fua: false }
            }
            Command::Flush => Operation::Flush,
            Command::Discard { offset, length } => Operation::Discard { offset, length },
            Command::WriteZeroes { offset, length, unmap } => {
                Operation::WriteZeroes { offset, length, fua: false, unmap }
            }
            Command::Id => {
                // Ended by a NUL where there is room for it.
                let mut id = [self.device.options().serial.as_bytes(), b"\0"].concat();
                id.truncate((VIRTIO_BLK_ID_BYTES as usize).min(self.chain.writable.len() - 1));
                self.life.write(&self.chain, 0, &id);
                return Err(Status::Ok);
            }
        })
    }

    fn answered(mut self, thread: ThreadId, answer: Answer) {
        let Some(status) = self.take(answer) else {
            let device = Arc::clone(&self.device);
            return device.go_on(self);
        };
        self.life.answer(self.ring, &self.chain, status);
        if thread::current().id() != thread {
            self.life.signal(self.ring);
        }
    }

    /// Takes the answer to a piece; `None` if more is to be done.
    fn take(&mut self, answer: Answer) -> Option<Status> {
        self.device.release(std::mem::take(&mut self.reserved));
        let Ok(data) = answer else { return Some(Status::IoError) };
        let piece = self.payload();
        let length = match self.command {
            Ok(Command::Read { length, .. }) => {
                if data.len() != piece {
                    tracing::error!(expected = piece, got = data.len(), "answer of the wrong length");
                    return Some(Status::IoError);
                }
                self.life.write(&self.chain, self.done, &data);
                length
            }
            Ok(Command::Write { length, .. }) => length,
            Ok(Command::Flush | Command::Id | Command::Discard { .. } | Command::WriteZeroes { .. }) | Err(_) => 0,
        };
        self.done += piece;
        (self.done == length).then_some(Status::Ok)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.device.release(self.reserved);
        if self.life.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 && self.life.is_closed() {
            self.device.wake();
        }
    }
}
