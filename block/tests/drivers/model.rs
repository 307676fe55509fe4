//! Stacks of drivers against a model: random requests, the content equal to a vector of bytes, the accounts true.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use block::driver::host_file::HostOptions;
use block::driver::quota::{GRANULE, QuotaOptions};
use block::driver::raw::RawOptions;
use block::driver::{DriverOptions, file::File};
use block::node::{Discard, Node, Settings};
use proptest::prelude::*;
use qapi_schema::block_core::BlockdevDetectZeroesOptions;

use crate::host::{ENOSPC, errno, image, node, options};

const SIZE: usize = 40_007;
/// That of a window, of whole sectors.
const WINDOW: usize = SIZE.next_multiple_of(512);
const LIMIT: u64 = 6;

#[derive(Clone, Copy, Debug)]
struct Stack {
    direct: bool,
    /// A window onto a part of the file, not at the start.
    window: bool,
    quota: bool,
    detect_zeroes: bool,
}

impl Stack {
    /// Where the window starts: anywhere, but accounts are true only where granules are granules of the file, too.
    const fn before(self) -> usize {
        match (self.window, self.quota) {
            (false, _) => 0,
            (true, true) => 8192,
            (true, false) => 5000,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        offset: usize,
        length: usize,
        byte: u8,
        fua: bool,
    },
    Read {
        offset: usize,
        length: usize,
    },
    Flush,
    Discard {
        offset: usize,
        length: usize,
    },
    WriteZeroes {
        offset: usize,
        length: usize,
        unmap: bool,
    },
    /// Everything closed and opened again.
    Restart,
}

fn stacks() -> impl Strategy<Value = Stack> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    flags.prop_map(|(direct, window, quota, detect_zeroes)| Stack { direct, window, quota, detect_zeroes })
}

fn ranges() -> impl Strategy<Value = (usize, usize)> {
    let offset = prop_oneof![0..SIZE, (0..SIZE / 512).prop_map(|block| block * 512), Just(0), SIZE - 600..SIZE];
    let length = prop_oneof![0..600_usize, 0..SIZE, (0..9_usize).prop_map(|blocks| blocks * 4096)];
    (offset, length).prop_map(|(offset, length)| (offset, length.min(SIZE - offset)))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (ranges(), 0..4_u8, any::<bool>())
            .prop_map(|((offset, length), byte, fua)| Step::Write { offset, length, byte, fua }),
        2 => ranges().prop_map(|(offset, length)| Step::Read { offset, length }),
        1 => Just(Step::Flush),
        1 => ranges().prop_map(|(offset, length)| Step::Discard { offset, length }),
        2 => (ranges(), any::<bool>())
            .prop_map(|((offset, length), unmap)| Step::WriteZeroes { offset, length, unmap }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..30)
}

/// The stack, the node under its quota first.
fn open(path: &Path, stack: Stack) -> (Arc<Node>, Arc<Node>) {
    let wanted = HostOptions { direct: stack.direct, ..options(path) };
    // Where the file system can't, the page cache does.
    let direct = stack.direct && File::open(wanted.clone()).is_ok();
    let file = node("file", DriverOptions::File(HostOptions { direct, ..wanted }));
    let window = if stack.window {
        let window = RawOptions { offset: stack.before() as u64, size: Some(WINDOW as u64) };
        node("raw", DriverOptions::Raw(window, file))
    } else {
        file
    };
    let top = if stack.quota {
        let quota = QuotaOptions { limit: LIMIT * GRANULE };
        DriverOptions::Quota(quota, Arc::clone(&window))
    } else {
        DriverOptions::Raw(RawOptions { offset: 0, size: None }, Arc::clone(&window))
    };
    let detect_zeroes =
        if stack.detect_zeroes { BlockdevDetectZeroesOptions::Unmap } else { BlockdevDetectZeroesOptions::Off };
    let settings = Settings { discard: Discard::Unmap, detect_zeroes, ..Settings::default() };
    let top = Node::new("top", top.open().expect("opens"), settings).expect("a node");
    (window, top)
}

/// The granules in which a node has data.
fn allocated(node: &Node) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let mut from = 0;
    while let Some(data) = node.next_data(from).expect("asked") {
        assert!(data.start >= from && data.end > data.start);
        found.extend(data.start / GRANULE..data.end.div_ceil(GRANULE));
        from = data.end;
    }
    found
}

fn granules(offset: usize, length: usize) -> std::ops::Range<u64> {
    offset as u64 / GRANULE
        ..(offset + length) as u64 / GRANULE + u64::from(!((offset + length) as u64).is_multiple_of(GRANULE))
}

/// The disk as it should be.
struct Model {
    content: Vec<u8>,
    charged: BTreeSet<u64>,
    /// Allocated by zeroing before a restart, and never written to: the file system may show it as data or not, as it likes
    /// (ext4: depending on the page cache).
    unseen: BTreeSet<u64>,
}

impl Model {
    /// Whether a request that allocates succeeds; if so it is charged.
    fn allocates(&mut self, stack: Stack, offset: usize, length: usize) -> bool {
        if !stack.quota || length == 0 {
            return true;
        }
        let wanted: BTreeSet<_> = granules(offset, length).chain(self.charged.iter().copied()).collect();
        let fits = wanted.len() == self.charged.len() || wanted.len() as u64 <= LIMIT;
        if fits {
            self.charged = wanted;
        }
        fits
    }

    /// Gives back what is no longer there.
    fn frees(&mut self, disk: &Node, offset: usize, length: usize) {
        let there = allocated(disk);
        let (start, end) = (offset as u64, (offset + length) as u64);
        let covered = |granule: u64| granule * GRANULE >= start && (granule + 1) * GRANULE <= end;
        self.charged.retain(|granule| !covered(*granule) || there.contains(granule));
    }
}

fn check(stack: Stack, steps: Vec<Step>) {
    let before = stack.before();
    let after = if stack.window { WINDOW - SIZE + 777 } else { 0 };
    let (_directory, path) = image((before + SIZE + after) as u64);
    let (mut disk, mut top) = open(&path, stack);
    let mut model = Model { content: vec![0; SIZE], charged: BTreeSet::new(), unseen: BTreeSet::new() };
    for step in steps {
        match step {
            Step::Write { offset, length, byte, fua } => {
                let result = top.write(offset as u64, &vec![byte; length], fua);
                if stack.detect_zeroes && byte == 0 {
                    result.expect("zeroes that need no space");
                    model.content[offset..offset + length].fill(0);
                    model.frees(&disk, offset, length);
                } else if model.allocates(stack, offset, length) {
                    result.expect("written");
                    model.content[offset..offset + length].fill(byte);
                } else {
                    assert_eq!(errno(&result.expect_err("full")), ENOSPC);
                }
            }
            Step::Read { offset, length } => {
                let mut buffer = vec![0xaa; length];
                top.read(offset as u64, &mut buffer).expect("read");
                assert!(buffer == model.content[offset..offset + length]);
            }
            Step::Flush => top.flush().expect("flushed"),
            Step::Discard { offset, length } => {
                top.discard(offset as u64, length as u64).expect("discarded");
                let found = &mut vec![0xaa; length][..];
                top.read(offset as u64, found).expect("read");
                let expected = &mut model.content[offset..offset + length];
                assert!(found.iter().zip(&*expected).all(|(now, before)| now == before || *now == 0));
                expected.copy_from_slice(found);
                model.frees(&disk, offset, length);
            }
            Step::WriteZeroes { offset, length, unmap } => {
                let result = top.write_zeroes(offset as u64, length as u64, unmap, false);
                if unmap || model.allocates(stack, offset, length) {
                    result.expect("zeroed");
                    model.content[offset..offset + length].fill(0);
                    if unmap {
                        model.frees(&disk, offset, length);
                    }
                } else {
                    assert_eq!(errno(&result.expect_err("full")), ENOSPC);
                }
            }
            Step::Restart => {
                top.flush().expect("flushed");
                drop(top);
                (disk, top) = open(&path, stack);
                let seen = allocated(&disk);
                model.unseen.extend(model.charged.difference(&seen));
                model.charged = seen;
            }
        }
        if stack.quota {
            let charged = top.allocated().expect("known").expect("known");
            assert_eq!(charged, model.charged.len() as u64 * GRANULE);
            let known: BTreeSet<_> = model.charged.union(&model.unseen).copied().collect();
            assert!(allocated(&disk).is_subset(&known), "everything that is there is charged");
        }
    }
    let mut buffer = vec![0xaa; SIZE];
    top.read(0, &mut buffer).expect("read");
    assert!(buffer == model.content);
    top.flush().expect("flushed");
    let file = std::fs::read(&path).expect("read");
    assert_eq!(file.len(), before + SIZE + after, "no longer than it was");
    assert!(file[before..before + SIZE] == model.content);
    assert!(file[..before].iter().chain(&file[before + SIZE..]).all(|byte| *byte == 0), "untouched");
}

proptest! {
    #[test]
    fn every_stack_is_a_disk(stack in stacks(), steps in steps()) {
        check(stack, steps);
    }
}
