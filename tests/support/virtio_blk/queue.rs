//! A split virtqueue from the driver's side, which keeps the rules or, if told to, breaks them.
//!
//! Virtio 1.2, section 2.7.

use std::collections::HashMap;
use std::sync::Arc;

use super::memory::{Allocation, GuestMemory};
use super::mmio::{PAGE, Rings};
use crate::support::qtest::Qtest;

/// Flags of a descriptor.
pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

const DESCRIPTOR: u64 = 16;

/// A descriptor as it stands in guest memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    pub address: u64,
    pub length: u32,
    pub flags: u16,
    pub next: u16,
}

/// An answer in the used ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The first descriptor of what is answered.
    pub head: u16,
    /// How much the device says that it has written.
    pub written: u32,
}

/// A queue.
pub struct Virtqueue {
    qtest: Arc<Qtest>,
    memory: Allocation,
    /// Its number.
    pub index: u16,
    /// Its entries.
    pub size: u16,
    event_idx: bool,
    free: Vec<u16>,
    /// Descriptors of what is under way, by the first of each.
    chains: HashMap<u16, Vec<u16>>,
    /// Where the next chain goes in the available ring.
    next: u16,
    /// What the device was last told of it.
    told: u16,
    /// Where the next answer comes in the used ring.
    seen: u16,
}

impl Descriptor {
    /// Its bytes.
    pub fn bytes(self) -> [u8; DESCRIPTOR as usize] {
        let value = u128::from(self.address)
            | u128::from(self.length) << 64
            | u128::from(self.flags) << 96
            | u128::from(self.next) << 112;
        value.to_le_bytes()
    }
}

impl Virtqueue {
    /// An empty queue in guest memory.
    pub fn new(
        qtest: &Arc<Qtest>,
        memory: &Arc<GuestMemory>,
        index: u16,
        size: u16,
        event_idx: bool,
    ) -> Result<Self, String> {
        let length = used_offset(size) + 6 + 8 * u64::from(size);
        let memory = memory.allocate(length, PAGE)?;
        qtest.memset(memory.address(), length, 0)?;
        let (free, chains) = ((0..size).rev().collect(), HashMap::new());
        Ok(Self { qtest: qtest.clone(), memory, index, size, event_idx, free, chains, next: 0, told: 0, seen: 0 })
    }

    /// Where its parts are.
    pub fn rings(&self) -> Rings {
        let descriptors = self.memory.address();
        let available = descriptors + DESCRIPTOR * u64::from(self.size);
        Rings { descriptors, available, used: descriptors + used_offset(self.size) }
    }

    /// How many descriptors are free.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Puts a chain of buffers into the ring, and returns its head. The device is not told yet.
    pub fn add(&mut self, buffers: &[Descriptor]) -> Result<u16, String> {
        if self.free.len() < buffers.len() {
            return Err(format!("queue {} is full", self.index));
        }
        let taken: Vec<u16> = self.free.split_off(self.free.len() - buffers.len());
        for (index, descriptor) in taken.iter().zip(linked(buffers, &taken)) {
            self.write_descriptor(*index, descriptor)?;
        }
        let head = *taken.first().ok_or("no buffers")?;
        self.offer(head)?;
        self.chains.insert(head, taken);
        Ok(head)
    }

    /// The same through a table of its own, which has to stay.
    pub fn add_indirect(&mut self, buffers: &[Descriptor], table: &Allocation) -> Result<u16, String> {
        let indices: Vec<u16> = (0..buffers.len() as u16).collect();
        let bytes: Vec<u8> = linked(buffers, &indices).into_iter().flat_map(Descriptor::bytes).collect();
        self.qtest.write(table.address(), &bytes)?;
        let length = bytes.len() as u32;
        self.add(&[Descriptor { address: table.address(), length, flags: INDIRECT, next: 0 }])
    }

    /// Writes a descriptor, whatever it says.
    pub fn write_descriptor(&self, index: u16, descriptor: Descriptor) -> Result<(), String> {
        self.qtest.write(self.rings().descriptors + DESCRIPTOR * u64::from(index), &descriptor.bytes())
    }

    /// Puts a number into the available ring, whatever it names. The device is not told yet.
    pub fn offer(&mut self, head: u16) -> Result<(), String> {
        self.qtest.writew(self.available_entry(self.next % self.size), head)?;
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Shows the device what was added. Says whether it wants to be notified of it.
    pub fn publish(&mut self) -> Result<bool, String> {
        let told = std::mem::replace(&mut self.told, self.next);
        self.set_available_index(self.next)?;
        let used = self.rings().used;
        if self.event_idx {
            let event = self.qtest.readw(self.used_entry(self.size))?;
            return Ok(self.next.wrapping_sub(event).wrapping_sub(1) < self.next.wrapping_sub(told));
        }
        Ok(self.qtest.readw(used)? & 1 == 0)
    }

    /// Writes the index of the available ring, whatever is there.
    pub fn set_available_index(&self, index: u16) -> Result<(), String> {
        self.qtest.writew(self.rings().available + 2, index)
    }

    /// Wants an interrupt for the next answer, or none.
    pub fn want_interrupt(&self, wanted: bool) -> Result<(), String> {
        if self.event_idx {
            let event = if wanted { self.seen } else { self.seen.wrapping_sub(1) };
            return self.qtest.writew(self.available_entry(self.size), event);
        }
        self.qtest.writew(self.rings().available, u16::from(!wanted))
    }

    /// The next answer. One to what is not under way is an error.
    pub fn take_used(&mut self) -> Result<Option<Used>, String> {
        if self.qtest.readw(self.rings().used + 2)? == self.seen {
            return Ok(None);
        }
        let entry = self.qtest.readq(self.used_entry(self.seen % self.size))?;
        self.seen = self.seen.wrapping_add(1);
        let (id, written) = (entry as u32, (entry >> 32) as u32);
        let head = u16::try_from(id).ok().filter(|head| self.chains.contains_key(head));
        let head = head.ok_or_else(|| format!("queue {}: an answer to {id}, which was not asked", self.index))?;
        self.free.extend(self.chains.remove(&head).into_iter().flatten());
        Ok(Some(Used { head, written }))
    }

    fn available_entry(&self, at: u16) -> u64 {
        self.rings().available + 4 + 2 * u64::from(at)
    }

    fn used_entry(&self, at: u16) -> u64 {
        self.rings().used + 4 + 8 * u64::from(at)
    }
}

/// The used ring starts in a page of its own.
fn used_offset(size: u16) -> u64 {
    (DESCRIPTOR * u64::from(size) + 6 + 2 * u64::from(size)).next_multiple_of(PAGE)
}

/// Buffers as a chain of the descriptors with these numbers.
fn linked(buffers: &[Descriptor], indices: &[u16]) -> Vec<Descriptor> {
    let nexts = indices.iter().skip(1).map(Some).chain([None]);
    let link = |(buffer, next): (&Descriptor, Option<&u16>)| match next {
        Some(&next) => Descriptor { flags: buffer.flags | NEXT, next, ..*buffer },
        None => *buffer,
    };
    buffers.iter().zip(nexts).map(link).collect()
}
