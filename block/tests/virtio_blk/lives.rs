//! From start to reset and on: what is left of one life must not show in the next.

use std::io;
use std::sync::Arc;
use std::thread;

use block::disk::Disk;
use block::request::{Client, Operation, Request};
use block::virtio_blk::{VirtioBlk, VirtioBlkOptions};
use parking_lot::{Condvar, Mutex};
use virtio_bindings::virtio_blk::{VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};
use virtio_queue::{Queue, QueueT};

use crate::disk::Full;
use crate::driver::{BUFFERS, Counts, Driver, Part, SIZE, Told, device, header, memory};
use crate::requests::OK;

/// A disk that takes its time, as long as a test wants: every request waits on its thread.
#[derive(Default)]
struct Slow {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    begun: usize,
    may_end: usize,
    written: Vec<u8>,
}

impl Slow {
    fn wait_for(&self, begun: usize) {
        self.changed.wait_while(&mut self.state.lock(), |state| state.begun < begun);
    }

    fn let_end(&self, count: usize) {
        self.state.lock().may_end += count;
        self.changed.notify_all();
    }
}

impl Disk for Slow {
    fn submit(&self, request: Request) {
        let mut state = self.state.lock();
        state.begun += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.may_end == 0);
        state.may_end -= 1;
        if let Operation::Write { data, .. } = request.operation() {
            state.written.push(data[0]);
        }
        drop(state);
        request.complete(Ok(Vec::new()));
    }

    fn cancel(&self, _: &Client) {}

    fn length(&self) -> io::Result<u64> {
        Ok(1 << 20)
    }

    fn read_only(&self) -> bool {
        false
    }
}

#[test]
fn no_write_of_a_new_life_is_begun_before_those_of_the_old_have_ended() {
    let disk = Arc::new(Slow::default());
    let device = device(disk.clone());
    let memory = memory();
    let mut old = Driver::start(&device, &memory, 0);
    let answers = [0, 1].map(|at| old.request(&device, BUFFERS + at * 0x1000, VIRTIO_BLK_T_OUT, 0, &[1; 512], 0));
    disk.wait_for(2);
    device.reset();
    // One that does not live long enough to begin anything.
    Driver::start(&device, &memory, 0).request(&device, BUFFERS + 0x2000, VIRTIO_BLK_T_OUT, 0, &[2; 512], 0);
    device.reset();
    let mut new = Driver::start(&device, &memory, 0);
    new.request(&device, BUFFERS + 0x3000, VIRTIO_BLK_T_OUT, 0, &[3; 512], 0);
    disk.let_end(1);
    while disk.state.lock().written.is_empty() {
        thread::yield_now();
    }
    assert_eq!(disk.state.lock().begun, 2, "one of the old is still under way");
    disk.let_end(1);
    disk.wait_for(3);
    disk.let_end(1);
    assert_eq!(new.wait_for(1).len(), 1);
    assert_eq!(disk.state.lock().written, [1, 1, 3]);
    assert_eq!(old.told.counts(), Counts::default());
    for answer in answers {
        assert_eq!(new.read(answer.data, 1), [0xff], "the guest's memory is left alone");
    }
}

/// As a legacy driver may do it.
#[test]
fn a_queue_placed_after_the_start_is_served_and_one_placed_anew_goes_on_where_it_was() {
    let disk = Arc::new(Slow::default());
    disk.let_end(3);
    let device = VirtioBlk::new(disk, VirtioBlkOptions { num_queues: 2, ..Default::default() }).expect("a device");
    let (memory, told) = (memory(), Arc::new(Told::default()));
    let mut drivers = [0, 1].map(|index| Driver::new(&memory, &told, index, false));
    let queues = vec![drivers[0].queue(), Queue::new(SIZE).expect("a queue")];
    device.start(memory.clone(), queues, 0, told);

    let write = |driver: &mut Driver| {
        driver.request(&device, BUFFERS, VIRTIO_BLK_T_OUT, 0, &[1; 512], 0);
        driver.wait_for(1)
    };
    assert_eq!(write(&mut drivers[0]).len(), 1);
    device.move_queue(0, drivers[0].queue());
    assert_eq!(write(&mut drivers[0]).len(), 1);
    device.move_queue(1, drivers[1].queue());
    assert_eq!(write(&mut drivers[1]).len(), 1);
}

#[test]
fn a_slow_disk_has_up_to_sixteen_requests_at_a_time_and_a_kick_waits_for_none() {
    let disk = Arc::new(Slow::default());
    let options = VirtioBlkOptions { num_queues: 4, ..Default::default() };
    let device = VirtioBlk::new(disk.clone(), options).expect("a device");
    let mut drivers = Driver::start_all(&device, &memory(), 0, 4);
    for driver in &mut drivers {
        for at in 0..8 {
            driver.request(&device, BUFFERS + at * 0x1000, VIRTIO_BLK_T_OUT, 0, &[1; 512], 0);
        }
    }
    disk.wait_for(16);
    disk.let_end(32);
    for driver in &mut drivers {
        let told = driver.told.clone();
        let mut answered = 0;
        told.wait(|_| {
            answered += driver.answers().len();
            answered == 8
        });
    }
    assert_eq!(disk.state.lock().begun, 32);
}

#[test]
fn drain_waits_for_the_old_life_and_a_device_may_go_while_the_disk_is_slow() {
    let disk = Arc::new(Slow::default());
    let device = device(disk.clone());
    let mut driver = Driver::start(&device, &memory(), 0);
    let answer = driver.request(&device, BUFFERS, VIRTIO_BLK_T_OUT, 0, &[1; 512], 0);
    disk.wait_for(1);
    device.reset();
    thread::scope(|scope| {
        let drained = scope.spawn(|| {
            device.drain();
            disk.state.lock().written.len()
        });
        disk.let_end(1);
        assert_eq!(drained.join().expect("no panic"), 1);
    });
    let mut driver = Driver::start(&device, &driver.memory.clone(), 0);
    driver.request(&device, BUFFERS, VIRTIO_BLK_T_OUT, 0, &[2; 512], 0);
    disk.wait_for(2);
    drop(device);
    disk.let_end(1);
    while Arc::strong_count(&disk) > 1 {
        thread::yield_now();
    }
    assert_eq!(driver.read(answer.data, 1), [0xff]);
}

#[test]
fn a_guest_cannot_make_the_host_keep_more_than_so_much() {
    const MIB: u64 = 1 << 20;
    let disk = Full::new(1 << 30);
    let options = VirtioBlkOptions { num_queues: 8, ..Default::default() };
    let device = VirtioBlk::new(disk.clone(), options).expect("a device");
    let memory = memory();
    let mut drivers = Driver::start_all(&device, &memory, 0, 8);
    // Every write is as long as may be, and always of the same guest memory.
    let length = 64 * MIB;
    drivers[0].write(0x2_1000, &header(VIRTIO_BLK_T_OUT, 0));
    let data = Part { address: 0x4_0000, len: 0x4_0000, writable: false };
    let chain: Vec<_> = [Part { address: 0x2_1000, len: 16, writable: false }]
        .into_iter()
        .chain(std::iter::repeat_n(data, (length / 0x4_0000) as usize))
        .chain([Part { address: 0x2_2000, len: 1, writable: true }])
        .collect();
    for driver in &mut drivers {
        for _ in 0..12 {
            driver.offer_indirect(0x3_0000, &chain);
        }
        driver.kick(&device);
    }
    disk.wait_for(64);
    // There is room for one more piece only when one has gone.
    for _ in 0..200 {
        disk.answer();
        disk.wait_for(64);
    }
    assert_eq!(disk.most(), 64);
    device.reset();
    device.drain();
    let mut driver = Driver::start(&device, &memory, 0);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 0, &[], 512).0, OK);
}
