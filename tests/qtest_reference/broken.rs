//! Drivers that break the rules of a ring: the device says that it needs a reset, and works after one.

use std::sync::Arc;
use std::time::Instant;

use crate::driver::{modern_disk_of_ours, modern_disk_of_the_reference};
use crate::support::DEADLINE;
use crate::support::board::Board;
use crate::support::emulator::Emulator;
use crate::support::virtio_blk::memory::GuestMemory;
use crate::support::virtio_blk::mmio::{CONFIGURATION, NEEDS_RESET, Transport};
use crate::support::virtio_blk::queue::{Descriptor, INDIRECT, NEXT, Virtqueue, WRITE};
use crate::support::virtio_blk::request::{self, Layout, Request};
use crate::support::virtio_blk::{Options, VirtioBlk, Wait};

/// A way to break a queue, in which `at` is guest memory.
type Breakage = fn(&mut Virtqueue, u64) -> Result<(), String>;

fn offer(queue: &mut Virtqueue, descriptors: &[Descriptor]) -> Result<(), String> {
    for (index, descriptor) in (0..).zip(descriptors) {
        queue.write_descriptor(index, *descriptor)?;
    }
    queue.offer(0)
}

const BREAKAGES: &[(&str, Breakage)] = &[
    ("a head that is no descriptor", |queue, _| queue.offer(queue.size)),
    ("a next that is no descriptor", |queue, at| {
        offer(queue, &[Descriptor { address: at, length: 16, flags: NEXT, next: queue.size }])
    }),
    ("a chain without an end", |queue, at| {
        offer(queue, &[Descriptor { address: at, length: 16, flags: NEXT, next: 0 }])
    }),
    ("no room for the header", |queue, at| {
        let header = Descriptor { address: at, length: 8, flags: NEXT, next: 1 };
        offer(queue, &[header, Descriptor { address: at, length: 1, flags: WRITE, next: 0 }])
    }),
    ("no room for the status", |queue, at| offer(queue, &[Descriptor { address: at, length: 16, flags: 0, next: 0 }])),
    ("what is read after what is written", |queue, at| {
        let status = Descriptor { address: at, length: 1, flags: WRITE | NEXT, next: 1 };
        offer(queue, &[status, Descriptor { address: at, length: 16, flags: 0, next: 0 }])
    }),
    ("a table of half a descriptor", |queue, at| {
        offer(queue, &[Descriptor { address: at, length: 8, flags: INDIRECT, next: 0 }])
    }),
    ("more heads than there are", |queue, _| {
        let index = queue.size + 1;
        queue.set_available_index(index)
    }),
];

fn break_and_mend(
    transport: &Transport,
    memory: &Arc<GuestMemory>,
    options: Options,
    breakage: Breakage,
) -> Result<(), String> {
    let at = memory.allocate(4096, 4096)?;
    transport.qtest().memset(at.address(), 4096, 0)?;
    let mut disk = VirtioBlk::start(transport.clone(), memory, options)?;
    disk.transport.acknowledge()?;
    let queue = disk.queues.first_mut().ok_or("no queue")?;
    let before = queue.rings().available + 2;
    breakage(queue, at.address())?;
    // The one breakage that is the index itself is not overwritten.
    if transport.qtest().readw(before)? == 0 {
        queue.publish()?;
    }
    transport.notify(0)?;
    let start = Instant::now();
    while transport.acknowledge()? & CONFIGURATION == 0 {
        assert!(start.elapsed() < DEADLINE, "no interrupt");
    }
    assert_eq!(transport.status()? & NEEDS_RESET, NEEDS_RESET);
    // It does nothing more, whatever it is asked.
    transport.notify(0)?;
    assert_eq!(disk.queues.first_mut().ok_or("no queue")?.take_used()?, None);
    let mut disk = VirtioBlk::start(disk.reset()?, memory, options)?;
    assert_eq!(disk.execute(0, Request::read(0, 512), Layout::default())?.status, request::OK);
    Ok(())
}

fn break_all(machine: &Emulator, board: &Board) {
    let memory = GuestMemory::new(board.ram.clone());
    let disks = board.disks(&machine.qtest).expect("probed");
    let options = Options { wait: Wait::Look, ..Options::default() };
    for (what, breakage) in BREAKAGES {
        break_and_mend(&disks[0], &memory, options, *breakage).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn a_broken_ring_breaks_the_disk_of_the_reference_until_it_is_reset() {
    let Some(machine) = modern_disk_of_the_reference() else { return };
    break_all(&machine, &Board::microvm());
    machine.end().expect("a clean end");
}

#[test]
fn a_broken_ring_breaks_our_disk_until_it_is_reset() {
    let machine = modern_disk_of_ours();
    break_all(&machine, &Board::microvm());
    machine.end().expect("a clean end");
}
