//! The device against a model disk: requests laid out at random, too little space, `stop`, `cont`, resets.
//!
//! Every request is answered once, or dropped by a reset; it says and does what the model says; and not a byte of the
//! guest's memory changes but those of its answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use proptest::sample::Index;
use qapi_schema::run_state::{RunState, ShutdownCause};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
    VIRTIO_BLK_T_WRITE_ZEROES,
};
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use vm_memory::GuestMemoryMmap;

use crate::driver::{BUFFERS, Driver, Part, header, memory};
use crate::held::{Fixture, SIZE};
use crate::requests::OK;

const SECTOR: usize = 512;
const SECTORS: usize = SIZE as usize / SECTOR;
/// Requests at the same time.
const SLOTS: usize = 8;
/// Guest memory of one: buffers, and a table of descriptors behind them.
const SLOT: usize = 0x4000;
const TABLE: usize = 0x3000;

#[derive(Clone, Debug)]
enum Step {
    Request(Wish),
    Extend(u64),
    Stop,
    Cont,
    ResetDevice,
    ResetMachine,
}

#[derive(Clone, Debug)]
struct Wish {
    kind: u32,
    sector: Index,
    sectors: usize,
    byte: u8,
    /// Where the request, and the room for its answer, are cut.
    cuts: [Vec<Index>; 2],
    gap: usize,
    indirect: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let cuts = || prop::collection::vec(any::<Index>(), 0..4);
    let kind = prop_oneof![
        4 => Just(VIRTIO_BLK_T_OUT),
        3 => Just(VIRTIO_BLK_T_IN),
        1 => Just(VIRTIO_BLK_T_FLUSH),
        1 => Just(VIRTIO_BLK_T_DISCARD),
        1 => Just(VIRTIO_BLK_T_WRITE_ZEROES),
    ];
    let wish = (kind, any::<Index>(), 1..=8_usize, 1..=u8::MAX, [cuts(), cuts()], 0..3_usize, any::<bool>());
    let wish = wish.prop_map(|(kind, sector, sectors, byte, cuts, gap, indirect)| {
        Step::Request(Wish { kind, sector, sectors, byte, cuts, gap, indirect })
    });
    prop_oneof![
        12 => wish,
        2 => (0..24_u64).prop_map(|granules| Step::Extend(granules * 4096)),
        1 => Just(Step::Stop),
        4 => Just(Step::Cont),
        1 => Just(Step::ResetDevice),
        1 => Just(Step::ResetMachine),
    ]
}

/// A request in flight.
struct Outstanding {
    wish: Wish,
    slot: usize,
    first: usize,
    /// The slot as the driver left it, and the places in it of the answer's bytes.
    image: Vec<u8>,
    answer: Vec<usize>,
}

impl Outstanding {
    fn touches(&self, first: usize, sectors: usize) -> bool {
        first < self.first + self.wish.sectors && self.first < first + sectors
    }
}

struct Run {
    fixture: Fixture,
    memory: Arc<GuestMemoryMmap>,
    driver: Driver,
    features: u64,
    /// What each sector is full of; `None` where that is not known.
    disk: Vec<Option<u8>>,
    outstanding: BTreeMap<u16, Outstanding>,
}

impl Run {
    fn new(event_idx: bool) -> Self {
        let fixture = Fixture::new(0);
        let memory = memory();
        let features = 1 << VIRTIO_BLK_F_FLUSH | u64::from(event_idx) << VIRTIO_RING_F_EVENT_IDX;
        let driver = Driver::start(&fixture.device, &memory, features);
        Self { fixture, memory, driver, features, disk: vec![Some(0); SECTORS], outstanding: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) {
        let vm = &self.fixture.setup.vm;
        match step {
            Step::Request(wish) => self.request(wish),
            Step::Extend(limit) => self.fixture.setup.set_limit(limit),
            Step::Stop => vm.transaction(|tx| tx.vm_stop(RunState::Paused)).expect("stopped"),
            Step::Cont => vm.transaction(|tx| tx.vm_start()).expect("started"),
            Step::ResetDevice => {
                self.fixture.device.reset();
                self.begin_again();
            }
            Step::ResetMachine => {
                let reset = vm.transaction(|tx| {
                    self.fixture.device.reset_in(tx);
                    tx.reset(ShutdownCause::HostQmpSystemReset)
                });
                reset.expect("reset");
                self.begin_again();
            }
        }
        self.take_answers();
    }

    fn request(&mut self, wish: Wish) {
        let first = wish.sector.index(SECTORS - wish.sectors);
        let used: Vec<_> = self.outstanding.values().map(|other| other.slot).collect();
        let parts = wish.cuts.iter().map(|cuts| cuts.len() + 1).sum::<usize>();
        let Some(slot) = (0..SLOTS).find(|slot| !used.contains(slot)) else { return };
        let busy = self.outstanding.values().any(|other| other.touches(first, wish.sectors));
        if busy || self.driver.room() < parts {
            return;
        }
        let mut out = header(wish.kind, first as u64).to_vec();
        let mut room = 1;
        match wish.kind {
            VIRTIO_BLK_T_OUT => out.extend(vec![wish.byte; wish.sectors * SECTOR]),
            VIRTIO_BLK_T_IN => room += wish.sectors * SECTOR,
            VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES => {
                out.extend((first as u64).to_le_bytes());
                out.extend((wish.sectors as u64).to_le_bytes());
            }
            _ => {}
        }
        let mut image = vec![0xee; TABLE];
        let (mut at, mut parts, mut answer) = (0, Vec::new(), Vec::new());
        for (writable, len) in [(false, out.len()), (true, room)] {
            for range in pieces(len, &wish.cuts[usize::from(writable)]) {
                at += wish.gap;
                let address = BUFFERS + (slot * SLOT + at) as u64;
                parts.push(Part { address, len: u32::try_from(range.len()).expect("short"), writable });
                if writable {
                    answer.extend(at..at + range.len());
                } else {
                    image[at..at + range.len()].copy_from_slice(&out[range.clone()]);
                }
                at += range.len();
            }
        }
        self.driver.write(BUFFERS + (slot * SLOT) as u64, &image);
        let before = self.driver.available();
        let head = if wish.indirect {
            self.driver.offer_indirect(BUFFERS + (slot * SLOT + TABLE) as u64, &parts)
        } else {
            self.driver.offer(&parts)
        };
        if self.driver.must_kick(before) {
            self.driver.kick(&self.fixture.device);
        }
        self.outstanding.insert(head, Outstanding { wish, slot, first, image, answer });
    }

    fn take_answers(&mut self) {
        for (head, len) in self.driver.answers() {
            let mut request = self.outstanding.remove(&head).expect("asked for");
            assert_eq!(len as usize, request.answer.len());
            let memory = self.slot(request.slot);
            let content = &mut self.disk[request.first..request.first + request.wish.sectors];
            match request.wish.kind {
                VIRTIO_BLK_T_OUT => content.fill(Some(request.wish.byte)),
                VIRTIO_BLK_T_WRITE_ZEROES => content.fill(Some(0)),
                VIRTIO_BLK_T_DISCARD => content.fill(None),
                VIRTIO_BLK_T_IN => {
                    for (index, place) in request.answer[..len as usize - 1].iter().enumerate() {
                        request.image[*place] = content[index / SECTOR].unwrap_or(memory[*place]);
                    }
                }
                _ => {}
            }
            request.image[*request.answer.last().expect("a status")] = OK;
            assert!(
                memory == request.image,
                "{:?} at {} changed memory to something else",
                request.wish,
                request.first
            );
        }
    }

    /// After a reset: what was not answered was dropped, and may have been done or not.
    fn begin_again(&mut self) {
        self.take_answers();
        for (_, request) in std::mem::take(&mut self.outstanding) {
            // It may have been about to be answered.
            let memory = self.slot(request.slot);
            let changed = (0..TABLE).find(|at| memory[*at] != request.image[*at] && !request.answer.contains(at));
            assert_eq!(changed, None, "{:?}", request.wish);
            if ![VIRTIO_BLK_T_IN, VIRTIO_BLK_T_FLUSH].contains(&request.wish.kind) {
                self.disk[request.first..][..request.wish.sectors].fill(None);
            }
        }
        let before = self.snapshot();
        // Whatever is still under way leaves the guest's memory alone.
        self.fixture.device.drain();
        assert!(before == self.snapshot(), "something was written after the reset");
        self.driver = Driver::start(&self.fixture.device, &self.memory, self.features);
    }

    fn slot(&self, slot: usize) -> Vec<u8> {
        self.driver.read(BUFFERS + (slot * SLOT) as u64, TABLE)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.driver.read(0, crate::driver::RAM)
    }

    /// Gives all the space there is, and waits for every answer.
    fn settle(&mut self) {
        self.fixture.setup.set_limit(SIZE);
        self.step(Step::Cont);
        while !self.outstanding.is_empty() {
            thread::yield_now();
            self.step(Step::Cont);
        }
    }

    fn finish(mut self) {
        self.settle();
        for first in (0..SECTORS).step_by(8) {
            let (status, data) =
                self.driver.ask_polling(&self.fixture.device, VIRTIO_BLK_T_IN, first as u64, 8 * SECTOR as u32);
            assert_eq!(status, OK);
            for (at, byte) in data.iter().enumerate() {
                assert_eq!(*byte, self.disk[first + at / SECTOR].unwrap_or(*byte), "sector {}", first + at / SECTOR);
            }
        }
        self.fixture.setup.log.check();
        assert_eq!(self.driver.told.counts().broken, 0);
    }
}

/// Cuts so many bytes into ranges.
fn pieces(len: usize, cuts: &[Index]) -> Vec<std::ops::Range<usize>> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(len)).chain([len]).filter(|end| *end > 0).collect();
    ends.sort_unstable();
    ends.dedup();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| start..*end).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_once_and_the_disk_is_what_the_answers_say(
        steps in prop::collection::vec(step(), 1..60),
        event_idx: bool,
    ) {
        let mut run = Run::new(event_idx);
        steps.into_iter().for_each(|step| run.step(step));
        run.finish();
    }
}
