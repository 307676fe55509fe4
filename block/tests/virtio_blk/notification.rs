//! When the driver is told of answers, and when it need not tell of requests.

use virtio_bindings::virtio_blk::{VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};
use virtio_bindings::virtio_config::VIRTIO_F_NOTIFY_ON_EMPTY;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VRING_AVAIL_F_NO_INTERRUPT};

use crate::disk::{Full, Memory};
use crate::driver::{BUFFERS, Driver, SIZE, device, memory};
use crate::requests::OK;

/// Polls the used ring.
fn poll(driver: &mut Driver) {
    while driver.answers().is_empty() {
        std::thread::yield_now();
    }
}

/// Lets the device end what it does: after a reset it says nothing more.
fn settle(device: &block::virtio_blk::VirtioBlk) {
    device.reset();
    device.drain();
}

#[test]
fn a_driver_that_wants_no_interrupts_gets_none() {
    let device = device(Memory::new(1 << 20));
    let mut driver = Driver::start(&device, &memory(), 0);
    driver.set_available_flags(VRING_AVAIL_F_NO_INTERRUPT as u16);
    for _ in 0..100 {
        let answer = driver.request(&device, BUFFERS, VIRTIO_BLK_T_IN, 0, &[], 512);
        poll(&mut driver);
        assert_eq!(driver.read(answer.data + 512, 1), [OK]);
    }
    settle(&device);
    assert_eq!(driver.told.counts().used, 0);
}

#[test]
fn a_legacy_driver_may_want_to_be_told_when_all_is_answered_and_of_nothing_else() {
    for suppression in [0, 1 << VIRTIO_RING_F_EVENT_IDX] {
        let disk = Full::new(1 << 20);
        let device = device(disk.clone());
        let mut driver = Driver::start(&device, &memory(), 1 << VIRTIO_F_NOTIFY_ON_EMPTY | suppression);
        driver.set_available_flags(VRING_AVAIL_F_NO_INTERRUPT as u16);
        driver.set_used_event(0x8000);
        for count in 0..3 {
            driver.request(&device, BUFFERS + count * 0x400, VIRTIO_BLK_T_OUT, 0, &[1; 512], 0);
        }
        disk.wait_for(3);
        for used in [0, 0, 1] {
            disk.answer();
            assert_eq!(driver.told.counts().used, used);
        }
    }
}

#[test]
fn by_index_only_the_answer_that_was_asked_for_is_told_of() {
    let device = device(Memory::new(1 << 20));
    let mut driver = Driver::start(&device, &memory(), 1 << VIRTIO_RING_F_EVENT_IDX);
    driver.set_used_event(9);
    for _ in 0..9 {
        driver.request(&device, BUFFERS, VIRTIO_BLK_T_IN, 0, &[], 512);
        poll(&mut driver);
    }
    driver.request(&device, BUFFERS, VIRTIO_BLK_T_IN, 0, &[], 512);
    driver.told.wait(|told| told.used == 1);
    poll(&mut driver);
    driver.request(&device, BUFFERS, VIRTIO_BLK_T_IN, 0, &[], 512);
    poll(&mut driver);
    settle(&device);
    assert_eq!(driver.told.counts().used, 1);
}

#[test]
fn a_request_without_a_kick_is_found_as_long_as_the_device_does_not_ask_for_one() {
    let device = device(Memory::new(1 << 20));
    let memory = memory();
    for features in [0, 1 << VIRTIO_RING_F_EVENT_IDX] {
        let mut driver = Driver::start(&device, &memory, features);
        let parts = |address| {
            [
                crate::driver::Part { address, len: 16, writable: false },
                crate::driver::Part { address: address + 16, len: 513, writable: true },
            ]
        };
        let mut answered = 0;
        let mut kicks = 0;
        while answered < 5_000 {
            while driver.room() >= 2 {
                let before = driver.available();
                driver.offer(&parts(BUFFERS));
                if driver.must_kick(before) {
                    kicks += 1;
                    driver.kick(&device);
                }
            }
            answered += driver.answers().len();
        }
        println!("{kicks} kicks for {answered} requests");
        device.reset();
    }
}

#[test]
fn what_is_answered_by_another_thread_is_told_of_at_once() {
    let disk = Full::new(1 << 20);
    let device = device(disk.clone());
    let mut driver = Driver::start(&device, &memory(), 0);
    for count in 0..usize::from(SIZE / 2) {
        driver.request(&device, BUFFERS + count as u64 * 0x400, 1, 0, &[1; 512], 0);
    }
    disk.wait_for(usize::from(SIZE / 2));
    for count in 1..=usize::from(SIZE / 2) {
        disk.answer();
        assert_eq!(driver.told.counts().used, count);
        assert_eq!(driver.answers().len(), 1);
    }
}

#[test]
fn the_queues_of_a_device_do_not_wait_for_each_other() {
    use block::virtio_blk::{VirtioBlk, VirtioBlkOptions};
    let disk = Full::new(1 << 20);
    let options = VirtioBlkOptions { num_queues: 4, ..Default::default() };
    let device = VirtioBlk::new(disk.clone(), options).expect("a device");
    assert_ne!(device.features() & 1 << 12, 0);
    let mut drivers = Driver::start_all(&device, &memory(), 0, 4);
    drivers[0].request(&device, BUFFERS, 1, 0, &[1; 512], 0);
    disk.wait_for(1);
    for driver in &mut drivers[1..] {
        assert_eq!(driver.ask(&device, VIRTIO_BLK_T_IN, 0, &[], 512).0, OK);
    }
    assert_eq!(drivers[0].answers(), []);
    disk.answer();
    assert_eq!(drivers[0].wait_for(1).len(), 1);
}
