//! The guest's side: memory, rings laid out by hand, and what the device says back.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::disk::Disk;
use block::virtio_blk::{Notifier, VirtioBlk, VirtioBlkOptions};
use virtio_bindings::virtio_ring::{
    VIRTIO_RING_F_EVENT_IDX, VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
};
use virtio_queue::{Queue, QueueT};
use vl::sync::{Condvar, Mutex};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Bytes of guest memory.
pub const RAM: usize = 1 << 20;

/// Entries of each queue.
pub const SIZE: u16 = 16;

const TABLE: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
/// Where the used ring of the first queue is.
pub const USED: u64 = 0x3000;
/// What one queue takes.
const QUEUE: u64 = 0x4000;

/// Where a driver may put buffers.
pub const BUFFERS: u64 = 0x2_0000;

/// What a device told its driver.
#[derive(Default)]
pub struct Told {
    state: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub used: usize,
    pub broken: usize,
    pub config_changed: usize,
}

impl Notifier for Told {
    fn used(&self, _: u16) {
        self.tell(|counts| counts.used += 1);
    }

    fn broken(&self) {
        self.tell(|counts| counts.broken += 1);
    }

    fn config_changed(&self) {
        self.tell(|counts| counts.config_changed += 1);
    }
}

impl Told {
    fn tell(&self, tell: impl FnOnce(&mut Counts)) {
        tell(&mut self.state.lock());
        self.changed.notify_all();
    }

    pub fn counts(&self) -> Counts {
        *self.state.lock()
    }

    /// Waits until the device said something that makes `condition` hold.
    pub fn wait(&self, mut condition: impl FnMut(&Counts) -> bool) {
        self.changed.wait_while(&mut self.state.lock(), |counts| !condition(counts));
    }
}

/// A buffer of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub address: u64,
    pub len: u32,
    pub writable: bool,
}

/// A driver of one queue, in the guest's memory, from one start of the device to its reset.
pub struct Driver {
    pub memory: Arc<GuestMemoryMmap>,
    pub told: Arc<Told>,
    index: u16,
    event_idx: bool,
    base: u64,
    next: u16,
    seen: u16,
    free: Vec<u16>,
    /// The descriptors of each chain in flight, by its head.
    chains: BTreeMap<u16, Vec<u16>>,
}

/// A device with the default options.
pub fn device(disk: Arc<dyn Disk>) -> Arc<VirtioBlk> {
    VirtioBlk::new(disk, VirtioBlkOptions::default()).expect("a device")
}

/// Memory for a guest.
pub fn memory() -> Arc<GuestMemoryMmap> {
    Arc::new(GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).expect("memory"))
}

impl Driver {
    /// Starts a device of one queue with these features.
    pub fn start(device: &VirtioBlk, memory: &Arc<GuestMemoryMmap>, features: u64) -> Self {
        Self::start_all(device, memory, features, 1).remove(0)
    }

    /// Starts a device of several queues with these features.
    pub fn start_all(device: &VirtioBlk, memory: &Arc<GuestMemoryMmap>, features: u64, count: u16) -> Vec<Self> {
        let told = Arc::new(Told::default());
        let drivers: Vec<_> = (0..count)
            .map(|index| Self::new(memory, &told, index, features >> VIRTIO_RING_F_EVENT_IDX & 1 != 0))
            .collect();
        device.start(memory.clone(), drivers.iter().map(Self::queue).collect(), features, told);
        drivers
    }

    /// A driver of the queue of this index, before a start.
    pub fn new(memory: &Arc<GuestMemoryMmap>, told: &Arc<Told>, index: u16, event_idx: bool) -> Self {
        let base = u64::from(index) * QUEUE;
        memory.write_slice(&[0; (QUEUE - TABLE) as usize], GuestAddress(base + TABLE)).expect("in memory");
        let free = (0..SIZE).rev().collect();
        let (memory, told) = (memory.clone(), told.clone());
        Self { memory, told, index, event_idx, base, next: 0, seen: 0, free, chains: BTreeMap::new() }
    }

    /// Where its queue is.
    pub fn queue(&self) -> Queue {
        let mut queue = Queue::new(SIZE).expect("a queue");
        queue.try_set_desc_table_address(GuestAddress(self.base + TABLE)).expect("aligned");
        queue.try_set_avail_ring_address(GuestAddress(self.base + AVAILABLE)).expect("aligned");
        queue.try_set_used_ring_address(GuestAddress(self.base + USED)).expect("aligned");
        queue.set_ready(true);
        queue
    }

    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Makes a chain available, without a kick. Returns its head.
    pub fn offer(&mut self, parts: &[Part]) -> u16 {
        let indices: Vec<u16> = parts.iter().map(|_| self.free.pop().expect("room in the queue")).collect();
        for (at, part) in parts.iter().enumerate() {
            let next = indices.get(at + 1);
            self.describe(self.base + TABLE, indices[at], part, next.copied());
        }
        let head = indices[0];
        self.chains.insert(head, indices);
        self.publish(head);
        head
    }

    /// The same with the chain in a table at `table`.
    pub fn offer_indirect(&mut self, table: u64, parts: &[Part]) -> u16 {
        for (at, part) in (0..).zip(parts) {
            self.describe(table, at, part, Some(at + 1).filter(|next| usize::from(*next) < parts.len()));
        }
        let head = self.free.pop().expect("room in the queue");
        let len = u32::try_from(parts.len() * 16).expect("a table");
        self.write_descriptor(self.base + TABLE, head, table, len, VRING_DESC_F_INDIRECT as u16, 0);
        self.chains.insert(head, vec![head]);
        self.publish(head);
        head
    }

    fn describe(&self, table: u64, index: u16, part: &Part, next: Option<u16>) {
        let flags = next.map_or(0, |_| VRING_DESC_F_NEXT) | if part.writable { VRING_DESC_F_WRITE } else { 0 };
        self.write_descriptor(table, index, part.address, part.len, flags as u16, next.unwrap_or(0));
    }

    /// Writes a descriptor, whatever it says.
    pub fn write_descriptor(&self, table: u64, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let mut bytes = Vec::new();
        bytes.extend(address.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.memory.write_slice(&bytes, GuestAddress(table + 16 * u64::from(index))).expect("in memory");
    }

    /// Where the descriptor table is.
    pub fn table(&self) -> u64 {
        self.base + TABLE
    }

    /// Puts a head on the available ring.
    pub fn publish(&mut self, head: u16) {
        let slot = self.base + AVAILABLE + 4 + 2 * u64::from(self.next % SIZE);
        self.memory.write_obj(head.to_le(), GuestAddress(slot)).expect("in memory");
        self.next = self.next.wrapping_add(1);
        self.set_available(self.next);
    }

    /// Sets the index of the available ring, whatever is on it.
    pub fn set_available(&self, index: u16) {
        let at = GuestAddress(self.base + AVAILABLE + 2);
        self.memory.store(index.to_le(), at, std::sync::atomic::Ordering::Release).expect("in memory");
    }

    /// The index of the available ring.
    pub const fn available(&self) -> u16 {
        self.next
    }

    /// Whether the device wants to hear of what was made available after `before`.
    pub fn must_kick(&self, before: u16) -> bool {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let at =
            |offset| u16::from_le(self.memory.read_obj(GuestAddress(self.base + USED + offset)).expect("in memory"));
        if !self.event_idx {
            return at(0) & 1 == 0;
        }
        let event = at(4 + 8 * u64::from(SIZE));
        self.next.wrapping_sub(event).wrapping_sub(1) < self.next.wrapping_sub(before)
    }

    /// Has no interrupts.
    pub fn set_available_flags(&self, flags: u16) {
        self.memory.write_obj(flags.to_le(), GuestAddress(self.base + AVAILABLE)).expect("in memory");
    }

    /// Up to where the driver has seen the used ring, for a device that suppresses by index.
    pub fn set_used_event(&self, event: u16) {
        let at = self.base + AVAILABLE + 4 + 2 * u64::from(SIZE);
        self.memory.write_obj(event.to_le(), GuestAddress(at)).expect("in memory");
    }

    /// The index of the used ring.
    pub fn used_index(&self) -> u16 {
        let at = GuestAddress(self.base + USED + 2);
        u16::from_le(self.memory.load(at, std::sync::atomic::Ordering::Acquire).expect("in memory"))
    }

    /// What was answered since this was asked last: heads, with what the device says it wrote.
    pub fn answers(&mut self) -> Vec<(u16, u32)> {
        let mut answers = Vec::new();
        while self.seen != self.used_index() {
            let slot = self.base + USED + 4 + 8 * u64::from(self.seen % SIZE);
            let [head, len]: [u32; 2] =
                [slot, slot + 4].map(|at| u32::from_le(self.memory.read_obj(GuestAddress(at)).expect("in memory")));
            let head = u16::try_from(head).expect("a head");
            self.free.extend(self.chains.remove(&head).expect("a chain that was offered, and not answered"));
            answers.push((head, len));
            self.seen = self.seen.wrapping_add(1);
        }
        answers
    }

    /// Waits for so many answers. Needs a device that notifies of each.
    pub fn wait_for(&mut self, count: usize) -> Vec<(u16, u32)> {
        let mut answers = Vec::new();
        let told = self.told.clone();
        told.wait(|_| {
            answers.extend(self.answers());
            answers.len() >= count
        });
        answers
    }

    pub fn kick(&self, device: &VirtioBlk) {
        device.kick(self.index);
    }

    pub fn write(&self, address: u64, data: &[u8]) {
        self.memory.write_slice(data, GuestAddress(address)).expect("in memory");
    }

    pub fn read(&self, address: u64, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        self.memory.read_slice(&mut data, GuestAddress(address)).expect("in memory");
        data
    }

    /// Offers a request at `address`: header, `out`, room for `room` bytes and the status. Returns its head, and where
    /// the answer comes.
    pub fn request(
        &mut self,
        device: &VirtioBlk,
        address: u64,
        kind: u32,
        sector: u64,
        out: &[u8],
        room: u32,
    ) -> Answer {
        let mut request = header(kind, sector).to_vec();
        request.extend(out);
        self.write(address, &request);
        let data = address + request.len() as u64;
        self.write(data + u64::from(room), &[0xff]);
        let len = u32::try_from(request.len()).expect("short");
        let head = self
            .offer(&[Part { address, len, writable: false }, Part { address: data, len: room + 1, writable: true }]);
        self.kick(device);
        Answer { head, data }
    }

    /// Reads sectors, and polls for the answer: the status, and the data.
    pub fn ask_polling(&mut self, device: &VirtioBlk, kind: u32, sector: u64, room: u32) -> (u8, Vec<u8>) {
        let answer = self.request(device, BUFFERS, kind, sector, &[], room);
        while self.answers().is_empty() {
            std::thread::yield_now();
        }
        let mut data = self.read(answer.data, room as usize + 1);
        (data.pop().expect("a status"), data)
    }

    /// The same, and waits for the answer: the status, and the data.
    pub fn ask(&mut self, device: &VirtioBlk, kind: u32, sector: u64, out: &[u8], room: u32) -> (u8, Vec<u8>) {
        let answer = self.request(device, BUFFERS, kind, sector, out, room);
        assert_eq!(self.wait_for(1), [(answer.head, room + 1)]);
        let mut data = self.read(answer.data, room as usize + 1);
        (data.pop().expect("a status"), data)
    }
}

/// Where the answer to a request comes.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub head: u16,
    pub data: u64,
}

/// The header of a request.
pub fn header(kind: u32, sector: u64) -> [u8; 16] {
    let mut header = [0; 16];
    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[8..].copy_from_slice(&sector.to_le_bytes());
    header
}
