//! What no driver may do: it breaks its device, and nothing else.

use block::virtio_blk::{VirtioBlk, VirtioBlkOptions};
use virtio_bindings::virtio_blk::{VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_WRITE_ZEROES};
use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::{Queue, QueueT};

use crate::disk::Memory;
use crate::driver::{BUFFERS, Counts, Driver, Part, RAM, SIZE, device, header, memory};
use crate::requests::OK;

const NEXT: u16 = VRING_DESC_F_NEXT as u16;
const WRITE: u16 = VRING_DESC_F_WRITE as u16;
const INDIRECT: u16 = VRING_DESC_F_INDIRECT as u16;

const TABLE: u64 = 0x1_0000;
const STATUS: u64 = 0x1_8000;

/// Has a driver do something that breaks the device, which is whole again after a reset.
fn breaks(what: &str, offend: impl FnOnce(&mut Driver)) {
    let device = device(Memory::new(1 << 20));
    let memory = memory();
    let mut driver = Driver::start(&device, &memory, 0);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 0, &[], 512).0, OK);
    driver.write(BUFFERS, &header(VIRTIO_BLK_T_IN, 0));
    let index = driver.used_index();
    offend(&mut driver);
    driver.kick(&device);
    driver.told.wait(|told| told.broken > 0);
    driver.kick(&device);
    assert_eq!(driver.used_index(), index, "{what}: nothing is answered");
    assert_eq!(driver.told.counts(), Counts { used: 1, broken: 1, config_changed: 0 }, "{what}");
    device.reset();
    let mut driver = Driver::start(&device, &memory, 0);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 0, &[], 512).0, OK, "{what}");
}

/// A chain of one descriptor.
fn single(driver: &mut Driver, address: u64, len: u32, flags: u16, next: u16) {
    driver.write_descriptor(driver.table(), 3, address, len, flags, next);
    driver.publish(3);
}

fn out(len: u32) -> Part {
    Part { address: BUFFERS, len, writable: false }
}

fn status(len: u32) -> Part {
    Part { address: STATUS, len, writable: true }
}

#[test]
fn a_request_needs_a_header_and_a_status() {
    breaks("no status", |driver| _ = driver.offer(&[out(16)]));
    breaks("nothing but a status", |driver| _ = driver.offer(&[status(17)]));
    breaks("a short header", |driver| _ = driver.offer(&[out(15), status(1)]));
    for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
        breaks("a short range", |driver| {
            driver.write(BUFFERS, &header(kind, 0));
            driver.offer(&[out(31), status(1)]);
        });
    }
}

#[test]
fn buffers_are_in_memory_in_order_and_of_some_length() {
    breaks("of no length", |driver| _ = driver.offer(&[out(16), out(0), status(1)]));
    breaks("of no length", |driver| _ = driver.offer(&[out(16), status(0)]));
    breaks("out of order", |driver| _ = driver.offer(&[out(16), status(1), out(1)]));
    for (address, len) in [
        (RAM as u64, 1),
        (RAM as u64 - 15, 16),
        (u64::MAX, 1),
        (u64::MAX - 15, 16),
        (u64::MAX, u32::MAX),
        (0, u32::MAX),
    ] {
        for writable in [false, true] {
            breaks("out of memory", |driver| {
                driver.offer(&[out(16), Part { address, len, writable }, status(1)]);
            });
        }
    }
}

#[test]
fn a_chain_has_an_end() {
    breaks("a loop of one", |driver| single(driver, BUFFERS, 16, NEXT, 3));
    breaks("a loop of one to write", |driver| single(driver, BUFFERS, 16, NEXT | WRITE, 3));
    breaks("next out of range", |driver| single(driver, BUFFERS, 16, NEXT, SIZE));
    breaks("next far out of range", |driver| single(driver, BUFFERS, 16, NEXT, u16::MAX));
    breaks("4 GiB and more", |driver| {
        for index in 0..SIZE {
            let next = if index + 1 < SIZE { NEXT } else { 0 };
            driver.write_descriptor(driver.table(), index, 0, RAM as u32, next, index + 1);
        }
        for index in 0..1024 {
            driver.write_descriptor(TABLE, index, 0, RAM as u32, NEXT, (index + 1) % 1024);
        }
        single(driver, TABLE, 1024 * 16, INDIRECT, 0);
    });
}

#[test]
fn a_table_of_descriptors_is_no_trap() {
    breaks("an empty table", |driver| single(driver, TABLE, 0, INDIRECT, 0));
    breaks("no whole descriptor", |driver| single(driver, TABLE, 15, INDIRECT, 0));
    breaks("more than a table can have", |driver| single(driver, TABLE, !15, INDIRECT, 0));
    breaks("out of memory", |driver| single(driver, RAM as u64, 16, INDIRECT, 0));
    breaks("around the end of all addresses", |driver| single(driver, u64::MAX - 15, 32, INDIRECT, 0));
    breaks("a table in a table", |driver| {
        driver.write_descriptor(TABLE, 0, TABLE, 16, INDIRECT, 0);
        single(driver, TABLE, 16, INDIRECT, 0);
    });
    breaks("a loop in a table", |driver| {
        driver.write_descriptor(TABLE, 0, BUFFERS, 16, NEXT, 0);
        single(driver, TABLE, 0x8000, INDIRECT, 0);
    });
    breaks("too many buffers", |driver| {
        for index in 0..1025 {
            driver.write_descriptor(TABLE, index, BUFFERS, 1, NEXT, index + 1);
        }
        driver.write_descriptor(TABLE, 1025, STATUS, 1, WRITE, 0);
        single(driver, TABLE, 1026 * 16, INDIRECT, 0);
    });
}

#[test]
fn rings_stay_in_step() {
    breaks("a head out of range", |driver| driver.publish(SIZE));
    breaks("a head far out of range", |driver| driver.publish(u16::MAX));
    breaks("more than the ring holds", |driver| driver.set_available(SIZE + 2));
    breaks("backwards", |driver| driver.set_available(0));
}

#[test]
fn more_requests_than_the_queue_holds_are_too_many() {
    let disk = crate::disk::Full::new(1 << 20);
    let device = device(disk.clone());
    let mut driver = Driver::start(&device, &memory(), 0);
    driver.write(BUFFERS, &header(1, 0));
    driver.write_descriptor(driver.table(), 0, BUFFERS, 16 + 512, NEXT, 1);
    driver.write_descriptor(driver.table(), 1, STATUS, 1, WRITE, 0);
    for count in 1..=usize::from(SIZE) {
        driver.publish(0);
        driver.kick(&device);
        disk.wait_for(count);
    }
    assert_eq!(driver.told.counts(), Counts::default());
    driver.publish(0);
    driver.kick(&device);
    driver.told.wait(|told| told.broken == 1);
    assert_eq!(disk.most(), usize::from(SIZE));
}

#[test]
fn a_queue_out_of_memory_breaks_its_device_and_one_that_is_not_ready_is_left_alone() {
    let device = VirtioBlk::new(Memory::new(1 << 20), VirtioBlkOptions { num_queues: 2, ..Default::default() });
    let device = device.expect("a device");
    let memory = memory();
    let told = std::sync::Arc::new(crate::driver::Told::default());
    let mut outside = Queue::new(SIZE).expect("a queue");
    outside.set_desc_table_address(Some(0xffff_f000), Some(0xffff_ffff));
    outside.set_avail_ring_address(Some(RAM as u32 - 2), None);
    device.start(memory.clone(), vec![Queue::new(SIZE).expect("a queue"), outside.clone_ready(false)], 0, told.clone());
    (0..3).for_each(|queue| device.kick(queue));
    device.reset();
    assert_eq!(told.counts(), Counts::default());
    device.start(memory.clone(), vec![outside.clone_ready(true)], 0, told.clone());
    told.wait(|told| told.broken == 1);
    device.reset();
    let mut driver = Driver::start(&device, &memory, 0);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 0, &[], 512).0, OK);
}

trait CloneReady {
    fn clone_ready(&self, ready: bool) -> Self;
}

impl CloneReady for Queue {
    fn clone_ready(&self, ready: bool) -> Self {
        let mut queue = Self::try_from(self.state()).expect("the same");
        queue.set_ready(ready);
        queue
    }
}
