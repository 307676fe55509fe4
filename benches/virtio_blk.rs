//! virtio-blk requests of 4 KiB through a driver in this process, beside `qemu-img bench`.
//!
//! The driver reaches guest memory and registers by calls, as a processor would by loads and stores: what is measured is
//! the device. The peer is QEMU's block layer with neither ring nor device, which a guest of QEMU would pay for on top.
//! An argument picks the lines that contain it.
#![allow(clippy::expect_used)]

use std::env;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread::{self, Thread};
use std::time::Instant;

use hw::irq::Interceptor;
use hw::{Bus, VirtualClock};
use qapi_schema::block_core::{BlockdevOptions, Commands as _};
use qapi_schema::{Dialect, FromValue, Visitor};
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use support::{installed, on_cores, row};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use whystop::Machine;
use whystop::machine_options::MachineOptions;

mod support;

const SIZE: u64 = 64 << 20;
const BLOCK: u32 = 4096;
/// How often each contestant has its turn, and its requests in one.
const TURNS: usize = 3;
const REQUESTS: usize = 50_000;
/// Queues and requests under way.
const LOADS: [(u16, u16); 4] = [(1, 1), (1, 8), (1, 32), (4, 32)];

/// The last slot of `microvm`, and its registers.
const LAST_SLOT: u64 = 0xfeb0_0000 + 7 * SLOT;
const SLOT: u64 = 0x200;
const FEATURES: u64 = 0x20;
const PAGE_SIZE: u64 = 0x28;
const QUEUE: u64 = 0x30;
const QUEUE_SIZE: u64 = 0x38;
const QUEUE_ALIGN: u64 = 0x3c;
const QUEUE_PAGE: u64 = 0x40;
const NOTIFY: u64 = 0x50;
const INTERRUPT_STATUS: u64 = 0x60;
const INTERRUPT_ACK: u64 = 0x64;
const STATUS: u64 = 0x70;
const EVENT_IDX: u32 = 1 << 29;

/// The length of a ring, and where its parts are. Requests follow it, each in two pages.
const ENTRIES: u16 = 128;
const PAGE: u64 = 4096;
const AVAILABLE: u64 = 16 * ENTRIES as u64;
const USED: u64 = PAGE;
const REQUEST: u64 = 2 * PAGE;
const NEXT: u16 = 1;
const WRITE: u16 = 2;

fn main() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("memory for files");
    let filter = env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let qemu_img = installed("qemu-img");
    let everywhere = sched_getaffinity(None).expect("affinity");
    // The peer has its own: an image in use is locked.
    let files @ [_, _, theirs] = &["1", "4", "qemu"].map(|name| directory.path().join(name));
    files.iter().for_each(|file| File::create(file).and_then(|file| file.set_len(SIZE)).expect("an image"));
    let start = || {
        let mut machine = Machine::new().expect("a machine");
        machine.build(&MachineOptions::default(), VirtualClock::host().expect("a clock")).expect("a board");
        let board = Arc::clone(machine.board().expect("built"));
        let running = machine.start(true).expect("started");
        let disks = [("null-co", 1), ("null-co", 4), ("file", 1), ("file", 4)];
        for (slot, (driver, queues)) in disks.into_iter().enumerate() {
            let name = format!("n{slot}");
            let mut node = json!({"driver": driver, "node-name": name});
            match driver {
                "file" => node["filename"] = json!(files[usize::from(queues > 1)]),
                _ => node["size"] = json!(SIZE),
            }
            let node = BlockdevOptions::from_value(node, &Visitor::json()).expect("options");
            board.block().blockdev_add(node).expect("a node");
            let device = json!({"driver": "virtio-blk-device", "drive": name, "num-queues": queues});
            let Value::Object(device) = device else { unreachable!("an object") };
            board.device_add(device, Dialect::Json).expect("plugged in");
        }
        board.controller("ioapic").expect("microvm's").intercept(Arc::new(Processor(thread::current())));
        (board, disks, running)
    };
    on_cores(start, |place, (board, disks, ..)| {
        for (slot, (driver, of_disk)) in disks.iter().enumerate() {
            for (queues, depth) in LOADS.into_iter().filter(|(queues, _)| queues == of_disk) {
                for (direction, write) in [("read", false), ("write", true)] {
                    let peer = || {
                        let here = sched_getaffinity(None).expect("affinity");
                        if place == "two cores" {
                            sched_setaffinity(None, &everywhere).expect("it was allowed before");
                        }
                        let rate = bench(qemu_img.as_deref()?, driver, theirs, write, depth);
                        sched_setaffinity(None, &here).expect("it was allowed before");
                        Some(rate)
                    };
                    for (mode, interrupts) in [("poll", false), ("interrupt", true)] {
                        let what = format!("{driver} {direction} {queues}x{depth} {mode}, {place}");
                        if !what.contains(&filter) {
                            continue;
                        }
                        let slot = LAST_SLOT - slot as u64 * SLOT;
                        let (mut ours, mut peers) = (Vec::new(), Vec::new());
                        for _ in 0..TURNS {
                            let mut disk = Driver::new(board.bus(), slot, queues, depth / queues, write, interrupts);
                            ours.push(disk.run());
                            peers.extend(peer());
                        }
                        ours.sort_by(|one, other| one[0].total_cmp(&other[0]));
                        peers.sort_by(f64::total_cmp);
                        let [rate, device, guest] = ours[TURNS / 2];
                        let peer = peers.get(TURNS / 2).map(|rate| ("qemu-img", *rate));
                        row(&what, "per s", &[("whystop", rate)].into_iter().chain(peer).collect::<Vec<_>>());
                        row("", "us of CPU each", &[("device", device), ("driver", guest)]);
                    }
                }
            }
        }
    });
}

/// Requests per second of QEMU's block layer.
fn bench(qemu_img: &Path, driver: &str, file: &Path, write: bool, depth: u16) -> f64 {
    let image = match driver {
        "file" => format!("driver=file,filename={}", file.display()),
        _ => format!("driver=null-co,size={SIZE}"),
    };
    let mut command = Command::new(qemu_img);
    command.args(["bench", "-t", "writeback", "-s", "4096", "-c", &REQUESTS.to_string(), "-d", &depth.to_string()]);
    let output = command.args(write.then_some("-w")).args(["--image-opts", &image]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let seconds = text.split_whitespace().rev().nth(1).and_then(|seconds| seconds.parse::<f64>().ok());
    REQUESTS as f64 / seconds.expect("how long it took")
}

/// Whom interrupts reach.
struct Processor(Thread);

impl Interceptor for Processor {
    fn level(&self, _input: u32, high: bool) {
        if high {
            self.0.unpark();
        }
    }
}

/// A driver of a legacy device.
struct Driver<'a> {
    bus: &'a Bus,
    slot: u64,
    queues: Vec<Queue<'a>>,
    interrupts: bool,
    random: u64,
}

/// One of its queues: the indices of both rings as they are known.
struct Queue<'a> {
    ram: &'a GuestMemoryMmap,
    base: u64,
    event_idx: bool,
    available: u16,
    published: u16,
    used: u16,
}

impl<'a> Driver<'a> {
    fn new(bus: &'a Bus, slot: u64, queues: u16, depth: u16, write: bool, interrupts: bool) -> Self {
        let mut this = Self { bus, slot, queues: Vec::new(), interrupts, random: 0x2545_f491_4f6c_dd1d };
        for status in [0, 1, 3] {
            this.set(STATUS, status);
        }
        this.set(FEATURES, if interrupts { EVENT_IDX } else { 0 });
        this.set(PAGE_SIZE, PAGE as u32);
        for index in 0..queues {
            let base = 1 << 20 << index;
            this.set(QUEUE, index.into());
            this.set(QUEUE_SIZE, ENTRIES.into());
            this.set(QUEUE_ALIGN, PAGE as u32);
            let queue = Queue { ram: bus.ram(), base, event_idx: interrupts, available: 0, published: 0, used: 0 };
            queue.prepare(depth, write);
            this.queues.push(queue);
            this.set(QUEUE_PAGE, (base / PAGE) as u32);
        }
        this.set(STATUS, 7);
        for index in 0..queues {
            (0..depth).for_each(|request| this.submit(index.into(), 3 * request));
        }
        this
    }

    fn set(&self, register: u64, value: u32) {
        self.bus.memory_write(self.slot + register, &value.to_le_bytes());
    }

    /// Requests per second, and what each takes of the processor's time in the device and here, in microseconds.
    fn run(&mut self) -> [f64; 3] {
        const CLOCKS: [ClockId; 2] = [ClockId::ProcessCPUTime, ClockId::ThreadCPUTime];
        let (start, before) = (Instant::now(), CLOCKS.map(cpu));
        let (mut begun, mut done) = (0, 0);
        (0..self.queues.len()).for_each(|queue| self.publish(queue));
        self.queues.iter().for_each(|queue| begun += usize::from(queue.published));
        while done < REQUESTS {
            let idle = done;
            for index in 0..self.queues.len() {
                while let Some(head) = self.queues[index].take() {
                    done += 1;
                    if begun < REQUESTS {
                        begun += 1;
                        self.submit(index, head);
                    }
                }
                self.publish(index);
            }
            match (self.interrupts, done == idle) {
                (false, true) => thread::yield_now(),
                (true, true) if self.queues.iter_mut().all(|queue| queue.await_answer()) => {
                    thread::park();
                    let mut causes = [0; 4];
                    self.bus.memory_read(self.slot + INTERRUPT_STATUS, &mut causes);
                    self.set(INTERRUPT_ACK, u32::from_le_bytes(causes));
                }
                (_, _) => {}
            }
        }
        let elapsed = start.elapsed().as_secs_f64();
        let [process, thread] = [0, 1].map(|clock| cpu(CLOCKS[clock]) - before[clock]);
        let each = 1e6 / REQUESTS as f64;
        [REQUESTS as f64 / elapsed, (process - thread) * each, thread * each]
    }

    fn submit(&mut self, queue: usize, head: u16) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.queues[queue].submit(head, self.random % (SIZE / u64::from(BLOCK)) * u64::from(BLOCK / 512));
    }

    fn publish(&mut self, queue: usize) {
        if self.queues[queue].publish() {
            self.set(NOTIFY, queue as u32);
        }
    }
}

impl Queue<'_> {
    /// The chains of all requests: header, data, status.
    fn prepare(&self, depth: u16, write: bool) {
        self.ram.write_slice(&[0; 3 * PAGE as usize], GuestAddress(self.base)).expect("RAM");
        for request in 0..depth {
            let at = self.request(3 * request);
            let data = if write { 0 } else { WRITE };
            let parts = [(at, 16, NEXT), (at + PAGE, BLOCK, data | NEXT), (at + 16, 1, WRITE)];
            for (index, (address, length, flags)) in (3 * request..).zip(parts) {
                let words = u128::from(address) | u128::from(length) << 64 | u128::from(flags) << 96;
                let descriptor = words | u128::from(index + 1) << 112;
                self.store_at(16 * u64::from(index), descriptor.to_le_bytes());
            }
            self.ram.write_obj(u32::from(write), GuestAddress(at)).expect("RAM");
        }
        // Without an index, there are no interrupts.
        self.store(AVAILABLE, u16::from(!self.event_idx));
    }

    fn request(&self, head: u16) -> u64 {
        self.base + 4 * PAGE + REQUEST * u64::from(head / 3)
    }

    fn store_at(&self, offset: u64, bytes: [u8; 16]) {
        self.ram.write_obj(bytes, GuestAddress(self.base + offset)).expect("RAM");
    }

    fn store(&self, offset: u64, value: u16) {
        self.ram.store(value, GuestAddress(self.base + offset), Ordering::Release).expect("RAM");
    }

    fn load(&self, offset: u64) -> u16 {
        self.ram.load(GuestAddress(self.base + offset), Ordering::Acquire).expect("RAM")
    }

    fn submit(&mut self, head: u16, sector: u64) {
        self.ram.store(sector, GuestAddress(self.request(head) + 8), Ordering::Relaxed).expect("RAM");
        self.store(AVAILABLE + 4 + 2 * u64::from(self.available % ENTRIES), head);
        self.available = self.available.wrapping_add(1);
    }

    /// Shows the device what was submitted. Returns whether it is to be notified.
    fn publish(&mut self) -> bool {
        let published = std::mem::replace(&mut self.published, self.available);
        if published == self.available {
            return false;
        }
        self.store(AVAILABLE + 2, self.available);
        fence(Ordering::SeqCst);
        if self.event_idx {
            let event = self.load(USED + 4 + 8 * u64::from(ENTRIES));
            self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(published)
        } else {
            self.load(USED) & 1 == 0
        }
    }

    /// The next request that was answered.
    fn take(&mut self) -> Option<u16> {
        if self.load(USED + 2) == self.used {
            return None;
        }
        let head = self.load(USED + 4 + 8 * u64::from(self.used % ENTRIES));
        self.used = self.used.wrapping_add(1);
        let status: u8 = self.ram.load(GuestAddress(self.request(head) + 16), Ordering::Relaxed).expect("RAM");
        assert_eq!(status, 0, "the disk works");
        Some(head)
    }

    /// Wants an interrupt for the next answer. Returns whether there is none yet.
    fn await_answer(&mut self) -> bool {
        self.store(AVAILABLE + 4 + 2 * u64::from(ENTRIES), self.used);
        fence(Ordering::SeqCst);
        self.load(USED + 2) == self.used
    }
}

fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
