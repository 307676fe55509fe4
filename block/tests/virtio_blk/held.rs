//! Requests that fail for want of space: unanswered in their ring until `cont`, or gone with a reset.

use std::sync::Arc;

use block::virtio_blk::VirtioBlk;
use qapi_schema::block_core::{BlockdevOptions, Commands as _};
use qapi_schema::run_state::{RunState, ShutdownCause};
use qapi_schema::{FromValue, Visitor};
use serde_json::json;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};

use crate::driver::{BUFFERS, Driver, device, memory};
use crate::requests::{IO_ERROR, OK};
use crate::support::Setup;

/// Bytes of the disk.
pub const SIZE: u64 = 1 << 20;

const GRANULE: u64 = 4096;

/// A device on a thin pool in a file.
pub struct Fixture {
    pub setup: Setup,
    pub device: Arc<VirtioBlk>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    pub fn new(limit: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("disk");
        std::fs::File::create(&file).and_then(|file| file.set_len(SIZE)).expect("a file");
        let setup = Setup::new(json!({"driver": "file", "node-name": "file", "filename": file}), limit);
        let device = device(setup.disk.clone());
        Self { setup, device, _directory: directory }
    }

    /// The present stop's failures, and how many requests are held.
    fn failures(&self) -> (u64, u64) {
        let stop = self.setup.vm.stop_reason().last_stop;
        let infos: Vec<_> = stop.into_iter().filter_map(|stop| stop.io_errors).flatten().collect();
        (infos.iter().map(|info| info.count).sum(), infos.iter().map(|info| info.held).sum())
    }

    /// Waits until the VM was stopped by an error, and nothing is under way.
    fn wait_for_stop(&self) {
        while self.setup.vm.status().status != RunState::IoError {
            std::thread::yield_now();
        }
        self.setup.vm.drain();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.device.reset();
        self.device.drain();
    }
}

fn cont(fixture: &Fixture) {
    fixture.setup.vm.transaction(|tx| tx.vm_start()).expect("started");
}

#[test]
fn a_write_that_finds_no_space_is_answered_after_cont_and_not_before() {
    let fixture = Fixture::new(0);
    let mut driver = Driver::start(&fixture.device, &memory(), 1 << VIRTIO_BLK_F_FLUSH);
    let write = driver.request(&fixture.device, BUFFERS, VIRTIO_BLK_T_OUT, 0, &[7; 512], 0);
    fixture.wait_for_stop();
    assert_eq!(fixture.failures(), (1, 1));
    let read = driver.request(&fixture.device, BUFFERS + 0x1000, VIRTIO_BLK_T_IN, 0, &[], 512);
    assert_eq!(driver.answers(), [], "a stopped VM's requests wait");

    cont(&fixture);
    fixture.wait_for_stop();
    // The read may have slipped through before the write failed again.
    let mut answers = driver.answers();
    assert!(!answers.contains(&(write.head, 1)), "the disk is as full as before");

    fixture.setup.set_limit(GRANULE);
    cont(&fixture);
    answers.extend(driver.wait_for(2 - answers.len()));
    answers.sort_unstable_by_key(|(_, len)| *len);
    assert_eq!(answers, [(write.head, 1), (read.head, 513)]);
    assert_eq!((driver.read(write.data, 1), driver.read(read.data + 512, 1)), (vec![OK], vec![OK]));
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_IN, 0, &[], 512), (OK, vec![7; 512]));
    fixture.setup.log.check();
}

#[test]
fn a_device_that_is_reset_takes_its_held_requests_along() {
    for machine in [false, true] {
        let fixture = Fixture::new(0);
        let memory = memory();
        let mut driver = Driver::start(&fixture.device, &memory, 0);
        let write = driver.request(&fixture.device, BUFFERS, VIRTIO_BLK_T_OUT, 0, &[7; 512], 0);
        fixture.wait_for_stop();
        if machine {
            let reset = fixture.setup.vm.transaction(|tx| {
                fixture.device.reset_in(tx);
                tx.reset(ShutdownCause::HostQmpSystemReset)
            });
            reset.expect("reset");
        } else {
            fixture.device.reset();
        }
        assert_eq!(fixture.failures(), (1, 0), "nothing is held any more");
        fixture.device.drain();
        fixture.setup.set_limit(SIZE);
        cont(&fixture);
        fixture.setup.vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped");
        fixture.setup.vm.drain();
        cont(&fixture);
        assert_eq!(driver.answers(), []);
        assert_eq!(driver.read(write.data, 1), [0xff], "the guest's memory is left alone");
        let mut driver = Driver::start(&fixture.device, &memory, 0);
        assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_IN, 0, &[], 512), (OK, vec![0; 512]));
    }
}

#[test]
fn a_request_that_failed_with_another_policy_is_an_io_error() {
    use block::policy::ErrorPolicy;
    use qapi_schema::block_core::BlockdevOnError;
    let policy = ErrorPolicy::new(Some(BlockdevOnError::Report), None).expect("a policy");
    let file = json!({"driver": "null-co", "node-name": "file", "size": SIZE});
    let setup = Setup::with_policy(file, 0, policy);
    let device = device(setup.disk.clone());
    let mut driver = Driver::start(&device, &memory(), 0);
    assert_eq!(driver.ask(&device, VIRTIO_BLK_T_OUT, 0, &[7; 512], 0).0, IO_ERROR);
    assert!(setup.vm.status().running);
    let [event] = &setup.log.all()[setup.log.all().len() - 1..] else { panic!("no event") };
    assert_eq!((event.0, event.1["action"].as_str()), ("BLOCK_IO_ERROR", Some("report")));
}

#[test]
fn a_window_sized_anew_is_told_and_seen() {
    let window = |size: u64| {
        let beneath = json!({"driver": "null-co", "node-name": "null", "size": SIZE * 2});
        json!({"driver": "raw", "node-name": "file", "size": size, "file": beneath})
    };
    let setup = Setup::new(window(SIZE), SIZE);
    let reopen = |size: u64| {
        let options = BlockdevOptions::from_value(window(size), &Visitor::json()).expect("options");
        setup.block.blockdev_reopen(vec![options]).expect("reopened");
    };
    let device = device(setup.disk.clone());
    let driver = Driver::start(&device, &memory(), 0);
    for (size, told) in [(SIZE * 2, 1), (SIZE * 2, 1), (SIZE / 2, 2)] {
        reopen(size);
        assert_eq!(driver.told.counts().config_changed, told);
        assert_eq!(device.config()[..8], (size / 512).to_le_bytes());
    }
    device.reset();
}

#[test]
fn a_new_size_is_told_and_seen() {
    let fixture = Fixture::new(SIZE * 2);
    let resize = |size: u64| {
        let size = i64::try_from(size).expect("a size");
        fixture.setup.block.block_resize(None, Some("file".into()), size).expect("resized");
    };
    resize(SIZE + 512);
    let mut driver = Driver::start(&fixture.device, &memory(), 0);
    resize(SIZE + 1024);
    assert_eq!(driver.told.counts().config_changed, 1, "before the start there was nobody to tell");
    assert_eq!(fixture.device.config()[..8], (SIZE / 512 + 2).to_le_bytes());
    let last = SIZE / 512 + 1;
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_OUT, last, &[3; 512], 0).0, OK);
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_IN, last, &[], 512), (OK, vec![3; 512]));
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_IN, last + 1, &[], 512).0, IO_ERROR);
    resize(SIZE);
    assert_eq!(driver.told.counts().config_changed, 2);
    assert_eq!(fixture.device.config()[..8], (SIZE / 512).to_le_bytes());
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_OUT, last, &[3; 512], 0).0, IO_ERROR);
    assert_eq!(driver.ask(&fixture.device, VIRTIO_BLK_T_IN, last - 2, &[], 512), (OK, vec![0; 512]));
}
