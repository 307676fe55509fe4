//! The driver `quota`: concurrent writers, failing children, and what is given back.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use block::driver::null_co::{NullDriver, NullOptions};
use block::driver::quota::{GRANULE, QuotaOptions};
use block::driver::{BlockDriver, DriverOptions, Reopening};
use block::node::{Discard, Node, Settings};
use parking_lot::Mutex;
use qapi_schema::Error;

use crate::graph::LARGEST;
use crate::host::{EIO, ENOSPC, Tmpfs, errno, image, node, options};

const MIB: u64 = 1 << 20;

fn null(size: u64) -> Arc<Node> {
    let (driver, latency) = (NullDriver::Co, std::time::Duration::ZERO);
    let options = NullOptions { driver, size, latency, read_zeroes: true };
    node("null", DriverOptions::NullCo(options))
}

fn quota(child: &Arc<Node>, limit: u64) -> Arc<Node> {
    node("pool", DriverOptions::Quota(QuotaOptions { limit }, Arc::clone(child)))
}

fn used(node: &Node) -> u64 {
    node.allocated().expect("known").expect("known")
}

fn enospc(result: io::Result<()>) {
    assert_eq!(errno(&result.expect_err("over the limit")), ENOSPC);
}

#[test]
fn a_write_that_would_pass_the_limit_fails_and_changes_nothing() {
    let (_directory, path) = image(MIB);
    let pool = quota(&node("disk", DriverOptions::File(options(&path))), 10 * GRANULE + 100);
    pool.write(0, &[1; 9 * 4096], false).expect("fits");
    enospc(pool.write(9 * GRANULE - 1, &[2; 4098], false));
    assert_eq!(used(&pool), 9 * GRANULE);
    let mut buffer = [0xff; 4098];
    pool.read(9 * GRANULE - 1, &mut buffer).expect("read");
    assert!(buffer[0] == 1 && buffer[1..].iter().all(|byte| *byte == 0));
    pool.write(MIB - 1, &[3], false).expect("the last granule of the limit");
    enospc(pool.write(9 * GRANULE, &[4], false));
    pool.write(0, &[5; 9 * 4096], true).expect("overwriting is free");
    pool.write_zeroes(20 * GRANULE, 20 * GRANULE, true, false).expect("zeroes that need no space are free");
    enospc(pool.write_zeroes(20 * GRANULE, GRANULE, false, false));
    assert_eq!(used(&pool), 10 * GRANULE);
}

#[test]
fn what_is_there_already_counts() {
    let (_directory, path) = image(MIB);
    let disk = node("disk", DriverOptions::File(options(&path)));
    disk.write(5 * GRANULE + 17, &[1; 5000], true).expect("written");
    let pool = quota(&disk, 3 * GRANULE);
    assert_eq!(used(&pool), 2 * GRANULE);
    pool.write(0, &[1], false).expect("fits");
    enospc(pool.write(GRANULE, &[1], false));
    let full = quota(&disk, 0);
    enospc(full.write(GRANULE, &[1], false));
    full.write(6 * GRANULE, &[1], false).expect("overwriting is free");
}

#[test]
fn the_limit_moves_both_ways_and_lowering_it_takes_nothing_away() {
    let null = null(MIB);
    let pool = DriverOptions::Quota(QuotaOptions { limit: 2 * GRANULE }, Arc::clone(&null)).open().expect("opens");
    let limit = |limit| {
        let options = DriverOptions::Quota(QuotaOptions { limit }, Arc::clone(&null));
        (pool.prepare_reopen(&options).expect("possible").commit)();
    };
    pool.write(0, &[1; 8192]).expect("fits");
    enospc(pool.write(8192, &[1]));
    limit(3 * GRANULE);
    pool.write(8192, &[1]).expect("fits now");
    limit(0);
    pool.write(0, &[1; 12_288]).expect("overwriting is free");
    enospc(pool.write(12_288, &[1]));
    limit(u64::MAX);
    pool.write(12_288, &[1]).expect("fits now");
    let dropped = DriverOptions::Quota(QuotaOptions { limit: 0 }, Arc::clone(&null));
    drop(pool.prepare_reopen(&dropped).expect("possible"));
    pool.write(40_960, &[1]).expect("a reopen that is given up changes nothing");
    let other = DriverOptions::Quota(QuotaOptions { limit: 0 }, self::null(MIB));
    let refused = pool.prepare_reopen(&other).err().expect("refused").to_string();
    assert_eq!(refused, "Cannot change the option 'file'");
}

#[test]
fn discard_and_zeroing_give_back_what_the_node_beneath_gives_back() {
    let (_directory, path) = image(MIB);
    let disk = node("disk", DriverOptions::File(options(&path)));
    let pool = quota(&disk, MIB);
    pool.write(0, &[1; 16 * 4096], false).expect("fits");
    pool.discard(100, 2 * GRANULE).expect("discarded");
    if disk.next_data(GRANULE).expect("asked").is_some_and(|data| data.start < 2 * GRANULE) {
        return crate::host::skipped("a file system with holes");
    }
    assert_eq!(used(&pool), 15 * GRANULE, "one granule was covered entirely");
    pool.discard(0, GRANULE).expect("discarded");
    pool.write_zeroes(8 * GRANULE, 4 * GRANULE, true, false).expect("zeroed");
    assert_eq!(used(&pool), 10 * GRANULE);
    pool.write_zeroes(8 * GRANULE, 4 * GRANULE, false, false).expect("zeroed");
    assert_eq!(used(&pool), 14 * GRANULE, "this keeps its space");
    pool.write_zeroes(0, MIB, true, false).expect("zeroed");
    assert_eq!(used(&pool), 0);
}

#[test]
fn nothing_is_given_back_where_the_node_beneath_ignores_discards() {
    let (_directory, path) = image(MIB);
    let file = DriverOptions::File(options(&path)).open().expect("opens");
    let disk = Node::new("disk", file, Settings { discard: Discard::Ignore, ..Settings::default() }).expect("a node");
    let pool = quota(&disk, MIB);
    pool.write(0, &[1; 16 * 4096], true).expect("fits");
    pool.discard(0, MIB).expect("advice");
    assert_eq!(used(&pool), 16 * GRANULE);
}

#[test]
fn zeroing_reaches_what_others_wrote_behind_the_quota_s_back() {
    let (_directory, path) = image(MIB);
    let disk = node("disk", DriverOptions::File(options(&path)));
    let pool = quota(&disk, MIB);
    disk.write(300_000, &[1; 100], false).expect("written");
    pool.write_zeroes(0, MIB, true, false).expect("zeroed");
    let mut buffer = [1; 100];
    disk.read(300_000, &mut buffer).expect("read");
    assert_eq!(buffer, [0; 100]);
}

#[test]
fn shrinking_gives_back_and_growing_costs_nothing() {
    let (_directory, path) = image(MIB);
    let disk = node("disk", DriverOptions::File(options(&path)));
    let pool = DriverOptions::Quota(QuotaOptions { limit: MIB }, Arc::clone(&disk)).open().expect("opens");
    pool.write(0, &[1; 1 << 20]).expect("fits");
    pool.truncate(10 * GRANULE + 1).expect("shorter");
    assert_eq!(pool.allocated().expect("known"), Some(11 * GRANULE));
    pool.truncate(64 * MIB).expect("longer");
    assert_eq!(pool.allocated().expect("known"), Some(11 * GRANULE));
    assert_eq!(pool.length().expect("known"), 64 * MIB);
}

#[test]
fn the_largest_disk_is_accounted_for() {
    // Less by a byte, so that it ends within a granule.
    let size = LARGEST as u64 - 1;
    let pool = quota(&null(size), 4 * GRANULE);
    pool.write(size - 1, &[1], false).expect("fits");
    pool.write(0, &[1; 8192], false).expect("fits");
    enospc(pool.write_zeroes(0, size, false, false));
    pool.write_zeroes(0, size, true, false).expect("costs nothing");
    pool.discard(0, size).expect("discarded");
    assert_eq!(used(&pool), GRANULE, "a part of a granule is not given back");
}

#[test]
fn concurrent_writers_never_pass_the_limit_and_reach_it() {
    const LIMIT: u64 = 100;
    let (_directory, path) = image(4 * MIB);
    let disk = node("disk", DriverOptions::File(options(&path)));
    let pool = quota(&disk, LIMIT * GRANULE);
    let full = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (pool, full) = (&pool, &full);
            scope.spawn(move || {
                let mut random = thread + 1;
                for _ in 0..500 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let granule = (random >> 33) % 1000;
                    match pool.write(granule * GRANULE, &[1; 4096], false) {
                        Ok(()) => {}
                        Err(error) => {
                            assert_eq!(errno(&error), ENOSPC);
                            full.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    assert!(used(pool) <= LIMIT * GRANULE);
                }
            });
        }
    });
    assert_eq!(used(&pool), LIMIT * GRANULE);
    assert!(full.into_inner() > 0);
    let reckoned = quota(&disk, 0);
    assert_eq!(used(&reckoned), LIMIT * GRANULE, "as many are there as were charged");
}

/// A disk in memory whose writes fail on demand, after part of them was done.
#[derive(Default)]
struct Faulty {
    content: Mutex<Vec<Option<u8>>>,
    fails: AtomicBool,
    done_before_failing: usize,
}

/// The disk and what the test holds of it.
struct Shared(Arc<Faulty>);

impl BlockDriver for Shared {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn filename(&self) -> String {
        String::new()
    }
    fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let fails = self.0.fails.load(Ordering::Relaxed);
        let done = if fails { self.0.done_before_failing.min(data.len()) } else { data.len() };
        let start = usize::try_from(offset).expect("small");
        self.0.content.lock()[start..start + done].fill(Some(1));
        if fails { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Ok(())
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.content.lock().len() as u64)
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn allocated(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let content = self.0.content.lock();
        let from = usize::try_from(from).expect("small");
        let start = (from..content.len()).find(|at| content[*at].is_some());
        Ok(start.map(|start| {
            let end = (start..content.len()).find(|at| content[*at].is_none()).unwrap_or(content.len());
            start as u64..end as u64
        }))
    }
    fn prepare_reopen(&self, _: &DriverOptions) -> Result<Reopening<'_>, Error> {
        Ok(Reopening::unchanged())
    }
}

fn faulty(done_before_failing: usize) -> (Arc<Faulty>, Arc<Node>) {
    let content = Mutex::new(vec![None; 100 * 4096]);
    let disk = Arc::new(Faulty { content, done_before_failing, ..Faulty::default() });
    let node = Node::new("faulty", Box::new(Shared(Arc::clone(&disk))), Settings::default()).expect("a node");
    (disk, node)
}

#[test]
fn a_failed_write_is_charged_for_what_it_did_only() {
    for (done, charged) in [(0, 0), (1, 1), (4096, 1), (5000, 2), (20_480, 5)] {
        let (disk, node) = faulty(done);
        let pool = quota(&node, 10 * GRANULE);
        disk.fails.store(true, Ordering::Relaxed);
        for _ in 0..100 {
            let error = pool.write(0, &[1; 20_480], false).expect_err("fails");
            assert_eq!(errno(&error), EIO);
        }
        assert_eq!(used(&pool), charged * GRANULE, "{done} bytes were written");
        disk.fails.store(false, Ordering::Relaxed);
        pool.write(0, &[1; 40_960], false).expect("the whole limit is there");
    }
}

#[test]
fn failing_and_succeeding_writers_of_the_same_place_leave_a_true_account() {
    let (disk, node) = faulty(0);
    let pool = quota(&node, 100 * GRANULE);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (disk, pool) = (&disk, &pool);
            scope.spawn(move || {
                let mut random = thread + 1;
                for _ in 0..2000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    disk.fails.store(random >> 40 & 1 == 0, Ordering::Relaxed);
                    let _ = pool.write((random >> 33) % 90 * GRANULE, &[1; 3 * 4096], false);
                }
            });
        }
    });
    assert_eq!(used(&pool), used(&quota(&node, 0)));
}

#[test]
fn a_full_file_system_beneath_fails_with_its_own_error_and_is_not_charged_for() {
    let Some(tmpfs) = Tmpfs::mount("64k") else { return };
    let path = tmpfs.path().join("disk.img");
    std::fs::File::create(&path).and_then(|file| file.set_len(MIB)).expect("sparse");
    let pool = quota(&node("disk", DriverOptions::File(options(&path))), MIB);
    enospc(pool.write(0, &[1; 1 << 20], false));
    let left = used(&pool);
    assert!(left <= 1 << 16, "{left}");
    tmpfs.resize("2m");
    pool.write(0, &[1; 1 << 20], false).expect("fits now");
    assert_eq!(used(&pool), MIB);
}
