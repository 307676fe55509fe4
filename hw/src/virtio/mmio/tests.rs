//! The slot as a driver finds it, with a device that only notes what it is told.

use super::*;
use crate::irq::{Controller, Interceptor};
use crate::virtio::Interrupt;
use proptest::prelude::*;
use qapi_schema::common::Timestamp;
use qapi_schema::{Event, EventSink};
use virtio_bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};
use virtio_queue::QueueT;
use vm_memory::GuestAddress;

const DISK: u32 = 2;
const FEATURES: u64 = 1 << 29 | 1 << 9;
const RAM: usize = 0x10000;

/// What a device was told.
#[derive(Default)]
struct Device {
    started: Mutex<Vec<Activation>>,
    /// Each with the address of its descriptors.
    moved: Mutex<Vec<(u16, u64)>>,
    notified: Mutex<Vec<u16>>,
    resets: Mutex<u32>,
    config: Mutex<[u8; 8]>,
}

impl VirtioDevice for Device {
    fn device_id(&self) -> u32 {
        DISK
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![256, 128]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = self.config.lock();
        let from = config.get(offset as usize..).and_then(|from| from.get(..data.len()));
        from.into_iter().for_each(|from| data.copy_from_slice(from));
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        let mut config = self.config.lock();
        let to = config.get_mut(offset as usize..).unwrap_or_default();
        to.iter_mut().zip(data).for_each(|(byte, from)| *byte = *from);
    }

    fn start(&self, activation: Activation) {
        self.started.lock().push(activation);
    }

    fn move_queue(&self, index: u16, queue: Queue) {
        self.moved.lock().push((index, queue.desc_table()));
    }

    fn notify(&self, queue: u16) {
        self.notified.lock().push(queue);
    }

    fn reset(&self, _: &mut Transaction<'_>) {
        self.started.lock().clear();
        *self.resets.lock() += 1;
    }
}

#[derive(Default)]
struct Levels(Mutex<Vec<bool>>);

impl Interceptor for Levels {
    fn level(&self, _input: u32, high: bool) {
        self.0.lock().push(high);
    }
}

struct NoEvents;

impl EventSink for NoEvents {
    fn emit(&self, _at: Timestamp, _event: &dyn Event) {}
}

fn vm() -> Arc<Vm> {
    Arc::new(Vm::new(Arc::new(NoEvents), vl::SystemClock))
}

struct Bench {
    slot: Transport,
    device: Arc<Device>,
    levels: Arc<Levels>,
}

impl Bench {
    fn new(version: Version) -> Self {
        let (controller, levels, device) = (Controller::new("ioapic", 1), Arc::<Levels>::default(), Arc::default());
        controller.intercept(levels.clone());
        let ram = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).expect("mapped");
        let slot = Transport::new(version, vm(), ram, controller.line(0));
        slot.plug(Arc::clone(&device) as _);
        Self { slot, device, levels }
    }

    fn read(&self, register: u32) -> u32 {
        let mut data = [0xaa; 4];
        self.slot.mmio_read(MmioAddress(0), register.into(), &mut data);
        u32::from_le_bytes(data)
    }

    fn write(&self, register: u32, value: u32) {
        self.slot.mmio_write(MmioAddress(0), register.into(), &value.to_le_bytes());
    }

    fn agree(&self, features: u64) {
        for select in 0..2 {
            self.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
            self.write(VIRTIO_MMIO_DRIVER_FEATURES, word(features, select));
        }
    }

    /// Sets up the first queue as a driver of virtio 1 does, and says whether the device agreed.
    fn start_modern(&self, features: u64) -> bool {
        self.write(VIRTIO_MMIO_STATUS, 3);
        self.agree(features);
        self.write(VIRTIO_MMIO_STATUS, 11);
        self.write(VIRTIO_MMIO_QUEUE_SEL, 0);
        self.write(VIRTIO_MMIO_QUEUE_NUM, 8);
        self.write(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1000);
        self.write(VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x2000);
        self.write(VIRTIO_MMIO_QUEUE_USED_LOW, 0x3000);
        self.write(VIRTIO_MMIO_QUEUE_READY, 1);
        self.write(VIRTIO_MMIO_STATUS, 15);
        self.read(VIRTIO_MMIO_STATUS) == 15
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.device.started.lock()[0].interrupt)
    }

    fn levels(&self) -> Vec<bool> {
        std::mem::take(&mut self.levels.0.lock())
    }
}

#[test]
fn an_empty_slot_says_that_it_is_a_slot_and_nothing_else() {
    let bench = Bench::new(Version::Modern);
    assert_eq!(bench.read(VIRTIO_MMIO_DEVICE_ID), DISK);
    bench.slot.unplug().expect("plugged");
    assert!(bench.slot.is_empty());
    bench.write(VIRTIO_MMIO_STATUS, 15);
    let word = |offset: u32| bench.read(offset);
    assert_eq!([word(0), word(4), word(12)], [0x7472_6976, 2, 0x554d_4551]);
    assert!((16..SLOT_SIZE as u32).step_by(4).all(|offset| word(offset) == 0));
    assert_eq!(word(VIRTIO_MMIO_DEVICE_ID), 0);
    let mut byte = [0xaa];
    bench.slot.mmio_read(MmioAddress(0), 0, &mut byte);
    assert_eq!(byte, *b"v");
    assert_eq!(*bench.device.resets.lock(), 1);
}

#[test]
fn a_modern_driver_finds_its_features_and_starts_the_device_once() {
    let bench = Bench::new(Version::Modern);
    bench.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_eq!(bench.read(VIRTIO_MMIO_DEVICE_FEATURES), 1);
    assert!(bench.start_modern(FEATURES | 1 << 32));
    bench.write(VIRTIO_MMIO_STATUS, 15);
    let started = bench.device.started.lock();
    assert_eq!(started.len(), 1);
    let Activation { queues, features, .. } = &started[0];
    assert_eq!(*features, FEATURES | 1 << 32);
    let queue = &queues[0];
    assert_eq!((queue.size(), queue.ready(), queue.event_idx_enabled()), (8, true, true));
    assert_eq!((queue.desc_table(), queue.avail_ring(), queue.used_ring()), (0x1000, 0x2000, 0x3000));
    assert!(!queues[1].ready());
}

#[test]
fn a_legacy_driver_s_queue_lies_where_its_page_says() {
    let bench = Bench::new(Version::Legacy);
    assert_eq!(bench.read(VIRTIO_MMIO_VERSION), 1);
    bench.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_eq!(bench.read(VIRTIO_MMIO_DEVICE_FEATURES), 0);
    bench.write(VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
    bench.write(VIRTIO_MMIO_STATUS, 3);
    bench.agree(1 << 9);
    bench.write(VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_eq!((bench.read(VIRTIO_MMIO_QUEUE_NUM_MAX), bench.read(VIRTIO_MMIO_QUEUE_PFN)), (1024, 0));
    bench.write(VIRTIO_MMIO_QUEUE_NUM, 64);
    bench.write(VIRTIO_MMIO_QUEUE_ALIGN, 4096);
    bench.write(VIRTIO_MMIO_QUEUE_PFN, 5);
    assert_eq!(bench.read(VIRTIO_MMIO_QUEUE_PFN), 5);
    bench.write(VIRTIO_MMIO_GUEST_PAGE_SIZE, 0);
    assert_eq!(bench.read(VIRTIO_MMIO_QUEUE_PFN), 0x5000);
    bench.write(VIRTIO_MMIO_QUEUE_SEL, 2);
    assert_eq!(bench.read(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    bench.write(VIRTIO_MMIO_STATUS, 7);
    {
        let started = bench.device.started.lock();
        let queue = &started[0].queues[1];
        assert_eq!((queue.desc_table(), queue.avail_ring(), queue.used_ring()), (0x5000, 0x5400, 0x6000));
        assert_eq!((started[0].features, queue.size(), queue.event_idx_enabled()), (1 << 9, 64, false));
    }
    bench.write(VIRTIO_MMIO_STATUS, 0);
    bench.write(VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_eq!((bench.read(VIRTIO_MMIO_QUEUE_PFN), *bench.device.resets.lock()), (0, 1));
}

#[test]
fn a_legacy_driver_that_takes_a_queue_away_resets_the_device() {
    let bench = Bench::new(Version::Legacy);
    bench.write(VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
    bench.write(VIRTIO_MMIO_QUEUE_PFN, 1);
    bench.write(VIRTIO_MMIO_STATUS, 7);
    bench.write(VIRTIO_MMIO_QUEUE_PFN, 0);
    assert_eq!((bench.read(VIRTIO_MMIO_STATUS), bench.read(VIRTIO_MMIO_QUEUE_PFN)), (0, 0));
    assert_eq!(*bench.device.resets.lock(), 1);
}

/// Virtio 1.2 section 3.1.2: legacy drivers often used a device before they set `DRIVER_OK`.
#[test]
fn a_legacy_driver_may_use_a_queue_before_it_is_ready_and_place_another_later() {
    let bench = Bench::new(Version::Legacy);
    bench.write(VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
    bench.write(VIRTIO_MMIO_STATUS, 3);
    bench.agree(1 << 9);
    bench.write(VIRTIO_MMIO_QUEUE_ALIGN, 4096);
    bench.write(VIRTIO_MMIO_QUEUE_PFN, 1);
    assert_eq!(*bench.device.moved.lock(), []);
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_eq!(*bench.device.notified.lock(), [0]);
    {
        let started = bench.device.started.lock();
        assert_eq!((started[0].features, started[0].queues[0].desc_table()), (1 << 9, 0x1000));
        assert!(!started[0].queues[1].ready());
    }
    let interrupt = bench.interrupt();
    interrupt.config_changed();
    assert_eq!(bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), 0, "it is not ready");
    interrupt.used(0);
    assert_eq!(bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);

    bench.write(VIRTIO_MMIO_QUEUE_SEL, 1);
    bench.write(VIRTIO_MMIO_QUEUE_ALIGN, 4096);
    bench.write(VIRTIO_MMIO_QUEUE_PFN, 5);
    assert_eq!(*bench.device.moved.lock(), [(1, 0x5000)]);
    bench.write(VIRTIO_MMIO_STATUS, 7);
    assert_eq!(bench.device.started.lock().len(), 1);
    bench.write(VIRTIO_MMIO_QUEUE_NUM, 3);
    bench.write(VIRTIO_MMIO_QUEUE_PFN, 5);
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_eq!(*bench.device.notified.lock(), [0], "a queue of three entries breaks the device");
}

#[test]
fn what_was_not_offered_is_not_agreed_on() {
    for features in [FEATURES, 1 << 32 | 1 << 3, 1 << 33 | 1 << 32] {
        let bench = Bench::new(Version::Modern);
        assert!(!bench.start_modern(features), "{features:#x}");
        assert_eq!(bench.read(VIRTIO_MMIO_STATUS), 3);
        assert!(bench.device.started.lock().is_empty());
    }
}

#[test]
fn features_are_settled_once_agreed_on() {
    let bench = Bench::new(Version::Modern);
    bench.write(VIRTIO_MMIO_STATUS, 3);
    bench.agree(1 << 32);
    bench.write(VIRTIO_MMIO_STATUS, 11);
    bench.agree(1 << 32 | 1 << 9);
    bench.write(VIRTIO_MMIO_STATUS, 15);
    assert_eq!(bench.device.started.lock()[0].features, 1 << 32);
}

#[test]
fn a_queue_is_notified_only_while_the_device_is_live() {
    let bench = Bench::new(Version::Modern);
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    bench.start_modern(1 << 32);
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 0x1_0000);
    bench.interrupt().broken();
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_eq!(*bench.device.notified.lock(), [1]);
}

#[test]
fn the_line_is_high_until_every_cause_is_acknowledged() {
    let bench = Bench::new(Version::Modern);
    bench.start_modern(1 << 32);
    let interrupt = bench.interrupt();
    interrupt.used(0);
    assert_eq!((bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), bench.levels()), (VIRTIO_MMIO_INT_VRING, vec![true]));
    let generation = bench.read(VIRTIO_MMIO_CONFIG_GENERATION);
    interrupt.config_changed();
    assert_eq!(bench.read(VIRTIO_MMIO_CONFIG_GENERATION), generation + 1);
    assert_eq!(bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
    bench.write(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    assert!(bench.levels().is_empty());
    bench.write(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
    assert_eq!((bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), bench.levels()), (0, vec![false]));
    interrupt.used(0);
    bench.slot.vm.transaction(|tx| bench.slot.reset(tx));
    assert_eq!(bench.levels(), [true, false]);
    interrupt.used(0);
    assert!(bench.levels().is_empty(), "there is no driver");
}

#[test]
fn a_broken_device_needs_a_reset_and_says_so_if_it_can() {
    for (version, ok, status, cause) in [(Version::Modern, 15, 79, 3), (Version::Legacy, 7, 7, 0)] {
        let bench = Bench::new(version);
        match version {
            Version::Modern => assert!(bench.start_modern(1 << 32)),
            Version::Legacy => bench.write(VIRTIO_MMIO_STATUS, ok),
        }
        bench.interrupt().broken();
        bench.write(VIRTIO_MMIO_STATUS, ok);
        assert_eq!(bench.read(VIRTIO_MMIO_STATUS), status);
        assert_eq!(bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), cause);
        bench.write(VIRTIO_MMIO_STATUS, 0);
        assert_eq!(bench.read(VIRTIO_MMIO_STATUS), 0);
    }
}

#[test]
fn what_a_device_says_once_it_was_reset_reaches_no_driver() {
    let bench = Bench::new(Version::Modern);
    bench.start_modern(1 << 32);
    let late = bench.interrupt();
    bench.write(VIRTIO_MMIO_STATUS, 0);
    late.broken();
    assert!(bench.start_modern(1 << 32));
    late.used(0);
    late.config_changed();
    late.broken();
    assert_eq!((bench.read(VIRTIO_MMIO_STATUS), bench.read(VIRTIO_MMIO_INTERRUPT_STATUS)), (15, 0));
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_eq!((&*bench.device.notified.lock(), bench.levels()), (&vec![0], vec![]));
}

#[test]
fn the_status_comes_back_as_it_was_written() {
    let bench = Bench::new(Version::Legacy);
    bench.write(VIRTIO_MMIO_STATUS, 0x1ff);
    assert_eq!(bench.read(VIRTIO_MMIO_STATUS), 0xff);
}

#[test]
fn a_queue_that_can_lie_nowhere_breaks_the_device() {
    let bench = Bench::new(Version::Modern);
    bench.write(VIRTIO_MMIO_QUEUE_SEL, 1);
    bench.write(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1001);
    bench.write(VIRTIO_MMIO_QUEUE_READY, 1);
    assert!(!bench.start_modern(1 << 32));
    assert_eq!(bench.read(VIRTIO_MMIO_STATUS), 79);
    assert!(bench.device.started.lock().is_empty());
}

#[test]
fn the_configuration_is_read_and_written_in_any_width() {
    let bench = Bench::new(Version::Modern);
    *bench.device.config.lock() = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut data = [0; 2];
    bench.slot.mmio_read(MmioAddress(0), 0x103, &mut data);
    assert_eq!(data, [4, 5]);
    bench.slot.mmio_read(MmioAddress(0), 0x107, &mut data);
    assert_eq!(data, [0xff, 0xff]);
    bench.slot.mmio_write(MmioAddress(0), 0x102, &[9]);
    assert_eq!(bench.device.config.lock()[2], 9);
}

#[test]
fn only_whole_registers_are_accessed() {
    let bench = Bench::new(Version::Modern);
    for length in [2, 8] {
        let mut data = vec![1; length];
        bench.slot.mmio_read(MmioAddress(0), 0, &mut data);
        assert_eq!(data, vec![0; length]);
    }
    bench.slot.mmio_write(MmioAddress(0), VIRTIO_MMIO_STATUS.into(), &[1]);
    assert_eq!((bench.read(VIRTIO_MMIO_STATUS), bench.read(2)), (0, 0));
}

proptest! {
    /// Whatever a driver does, a device is notified and started only in its turn, and the line is as the registers say.
    #[test]
    fn no_order_of_accesses_breaks_the_rules(
        legacy in any::<bool>(),
        accesses in prop::collection::vec((0_u32..0x44, prop_oneof![0_u32..16, any::<u32>()]), 0..200),
    ) {
        let bench = Bench::new(if legacy { Version::Legacy } else { Version::Modern });
        for (register, value) in accesses {
            let before = bench.device.notified.lock().len();
            bench.write(register * 4, value);
            let started = bench.device.started.lock().len();
            prop_assert!(started <= 1);
            prop_assert!(started == 1 || bench.device.notified.lock().len() == before);
            bench.read(register * 4);
        }
        if !bench.device.started.lock().is_empty() {
            bench.interrupt().used(0);
        }
        let high = bench.levels().last().copied().unwrap_or(false);
        prop_assert_eq!(high, bench.read(VIRTIO_MMIO_INTERRUPT_STATUS) != 0);
    }
}
