//! A driver that can do it right, so that what goes wrong is met beyond the first step.

use std::time::Duration;

use hw::Board;
use hw::irq::Interceptor;
use hw::virtio::mmio::{SLOT_SIZE, Version};
use parking_lot::{Condvar, Mutex};

/// The last slot of the machine, which is filled first, and its interrupt.
pub(super) const SLOT: u64 = 0xfeb0_0000 + 7 * SLOT_SIZE;
const INPUT: u32 = 16 + 7;

/// How long a fresh driver waits for an answer at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Registers (virtio 1.2, sections 4.2.2 and 4.2.4).
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const GUEST_PAGE_SIZE: u64 = 0x28;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_NUM: u64 = 0x38;
const QUEUE_ALIGN: u64 = 0x3c;
const QUEUE_PFN: u64 = 0x40;
const QUEUE_READY: u64 = 0x44;
const QUEUE_NOTIFY: u64 = 0x50;
const INTERRUPT_ACK: u64 = 0x64;
const STATUS: u64 = 0x70;
const QUEUE_DESC: u64 = 0x80;
const QUEUE_DRIVER: u64 = 0x90;
const QUEUE_DEVICE: u64 = 0xa0;

const ACKNOWLEDGE_AND_DRIVER: u32 = 3;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;

const NEXT: u16 = 1;
const WRITE: u16 = 2;

const PAGE: u64 = 4096;

/// Where requests that are laid out in order have their headers, and all of them their data.
const HEADERS: u64 = 0x8000;
const DATA: u64 = 0x9000;

/// A descriptor (section 2.7.5).
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) flags: u16,
    pub(super) next: u16,
}

/// Tells whether the device's interrupt was raised.
#[derive(Default)]
pub(super) struct Interrupts {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Interceptor for Interrupts {
    fn level(&self, input: u32, high: bool) {
        assert!(input < 24);
        if input == INPUT {
            *self.raised.lock() = high;
            self.changed.notify_all();
        }
    }
}

impl Interrupts {
    fn wait(&self) {
        let silent = self.changed.wait_while_for(&mut self.raised.lock(), |raised| !*raised, PATIENCE).timed_out();
        assert!(!silent, "a fresh driver is not answered");
    }
}

/// A driver, which has its two rings at the beginning of memory.
pub(super) struct Driver<'a> {
    board: &'a Board,
    version: Version,
    size: u16,
    /// What was put into the available ring of each queue.
    offered: [u16; 2],
    requests: u16,
}

impl<'a> Driver<'a> {
    pub(super) fn new(board: &'a Board, version: Version) -> Self {
        Self { board, version, size: 16, offered: [0; 2], requests: 0 }
    }

    pub(super) fn write_register(&self, register: u64, value: u32) {
        self.write(SLOT + register, &value.to_le_bytes());
    }

    /// Resets the device, which shows at once.
    pub(super) fn reset(&self) {
        self.write_register(STATUS, 0);
        assert_eq!(self.read::<4>(SLOT + STATUS), [0; 4]);
    }

    pub(super) fn notify(&self, queue: u32) {
        self.write_register(QUEUE_NOTIFY, queue);
    }

    /// Takes the device into service with these of its features, and queues of so many entries.
    pub(super) fn start(&mut self, size: u16, features: u32) {
        (self.size, self.offered) = (size, [0; 2]);
        self.reset();
        self.write_register(STATUS, ACKNOWLEDGE_AND_DRIVER);
        for (word, features) in [(0, features), (1, 1)] {
            self.write_register(DRIVER_FEATURES_SEL, word);
            self.write_register(DRIVER_FEATURES, features);
        }
        self.write_register(GUEST_PAGE_SIZE, PAGE as u32);
        self.write_register(STATUS, ACKNOWLEDGE_AND_DRIVER | FEATURES_OK);
        for queue in 0..2 {
            let (descriptors, available, used) = self.rings(queue);
            self.write(available, &[0; 4]);
            self.write(used, &[0; 4]);
            self.write_register(QUEUE_SEL, queue.into());
            self.write_register(QUEUE_NUM, self.size.into());
            if self.version == Version::Legacy {
                self.write_register(QUEUE_ALIGN, PAGE as u32);
                self.write_register(QUEUE_PFN, (descriptors / PAGE) as u32);
                continue;
            }
            for (register, address) in [(QUEUE_DESC, descriptors), (QUEUE_DRIVER, available), (QUEUE_DEVICE, used)] {
                self.write_register(register, address as u32);
                self.write_register(register + 4, 0);
            }
            self.write_register(QUEUE_READY, 1);
        }
        self.write_register(STATUS, ACKNOWLEDGE_AND_DRIVER | FEATURES_OK | DRIVER_OK);
    }

    /// Where the parts of a queue are, as a legacy device has them: longer ones overlap.
    fn rings(&self, queue: u8) -> (u64, u64, u64) {
        let descriptors = PAGE + 2 * PAGE * u64::from(queue & 1);
        let available = descriptors + 16 * u64::from(self.size);
        let used = (available + 6 + 2 * u64::from(self.size)).next_multiple_of(PAGE);
        (descriptors, available, used)
    }

    pub(super) fn set_descriptor(&self, queue: u8, index: u16, descriptor: Descriptor) {
        let Descriptor { address, length, flags, next } = descriptor;
        let bytes = u128::from(address) | u128::from(length) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
        self.write(self.rings(queue).0 + 16 * u64::from(index), &bytes.to_le_bytes());
    }

    /// Writes the header of a request.
    pub(super) fn set_header(&self, address: u64, kind: u32, sector: u64) {
        self.write(address, &(u128::from(kind) | u128::from(sector) << 64).to_le_bytes());
    }

    /// Makes a chain available, and says so.
    pub(super) fn offer(&mut self, queue: u8, head: u16) {
        let available = self.rings(queue).1;
        let offered = &mut self.offered[usize::from(queue & 1)];
        let entry = available + 4 + 2 * u64::from(*offered % self.size);
        *offered = offered.wrapping_add(1);
        let index = *offered;
        self.write(entry, &head.to_le_bytes());
        self.write(available + 2, &index.to_le_bytes());
        self.notify((queue & 1).into());
    }

    /// A request of three descriptors, as it should be. All have their data at the same place.
    pub(super) fn request(&mut self, queue: u8, kind: u32, sector: u64, length: u32) {
        let first = 3 * (self.requests % 5);
        let header = HEADERS + 32 * u64::from(self.requests % 64);
        self.requests = self.requests.wrapping_add(1);
        self.set_header(header, kind, sector);
        let direction = if kind & 1 == 0 { WRITE } else { 0 };
        let length = length.clamp(1, 0x7000);
        let data = Descriptor { address: DATA, length, flags: NEXT | direction, next: first + 2 };
        self.set_descriptor(queue, first, Descriptor { address: header, length: 16, flags: NEXT, next: first + 1 });
        self.set_descriptor(queue, first + 1, data);
        self.set_descriptor(queue, first + 2, Descriptor { address: header + 16, length: 1, flags: WRITE, next: 0 });
        self.offer(queue, first);
    }

    /// Starts anew, and has requests answered as it should be.
    pub(super) fn work(mut self, interrupts: &Interrupts) {
        self.start(16, 0);
        // Write, read and flush.
        for (queue, kind) in [(0, 1), (1, 0), (0, 4)] {
            let (head, used) = (3 * (self.requests % 5), self.rings(queue).2);
            let status = HEADERS + 32 * u64::from(self.requests) + 16;
            let answered = u16::from_le_bytes(self.read(used + 2));
            self.write(status, &[0xff]);
            self.request(queue, kind, 8, 4096);
            interrupts.wait();
            self.write_register(INTERRUPT_ACK, 3);
            assert_eq!(self.read(status), [0], "{kind}");
            assert_eq!(u16::from_le_bytes(self.read(used + 2)), answered + 1);
            assert_eq!(u32::from_le_bytes(self.read(used + 4 + 8 * u64::from(answered))), u32::from(head));
        }
    }

    fn write(&self, address: u64, data: &[u8]) {
        self.board.bus().memory_write(address, data);
    }

    fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut data = [0; N];
        self.board.bus().memory_read(address, &mut data);
        data
    }
}
