//! Loads an NBD server with random reads or writes over one connection, and prints how many it did per second.
//!
//! ```text
//! cargo run --release -p block --example nbd_load -- /tmp/nbd.sock disk randwrite 32
//! ```
//!
//! The address is the path of a unix socket or `host:port`. Any server will do, so that servers can be compared.

use std::env;
use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use block::nbd::Address;
use block::nbd::client::{Client, Replies, Submitter};
use block::request::Operation;

const USAGE: &str = "usage: nbd_load ADDRESS EXPORT randread|randwrite DEPTH [SECONDS [BLOCK]]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, export, pattern, depth, rest @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let write = match pattern.as_str() {
        "randread" => false,
        "randwrite" => true,
        _ => return Err(USAGE.into()),
    };
    let seconds = rest.first().map_or(Ok(3), |text| text.parse())?;
    let block = rest.get(1).map_or(Ok(4096), |text| text.parse())?;

    let client = Client::connect(&parse_address(address)?, export)?;
    let blocks = client.terms().size / block as u64;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let next = || {
        let offset = random.below(blocks) * block as u64;
        if write {
            Operation::Write { offset, data: vec![offset as u8; block], fua: false }
        } else {
            Operation::Read { offset, length: block }
        }
    };
    let (submitter, replies) = client.split();
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    let done = match depth.parse()? {
        1 => one_by_one(submitter, replies, next, until)?,
        depth => pipelined(submitter, replies, next, until, depth)?,
    };
    let took = started.elapsed();
    println!(
        "{:.0} per second, {:.1} us each",
        done as f64 / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / done as f64
    );
    Ok(())
}

fn parse_address(text: &str) -> Result<Address, Box<dyn Error>> {
    match text.rsplit_once(':') {
        Some((host, port)) => Ok(Address::inet(host, port.parse()?)),
        None => Ok(Address::Unix(text.into())),
    }
}

fn one_by_one(
    mut submitter: Submitter,
    mut replies: Replies,
    mut next: impl FnMut() -> Operation,
    until: Instant,
) -> Result<u64, Box<dyn Error>> {
    let mut done = 0;
    while Instant::now() < until {
        submitter.submit(&next())?;
        replies.next_reply()?.result.map_err(|error| format!("{error:?}"))?;
        done += 1;
    }
    submitter.disconnect()?;
    Ok(done)
}

/// One thread submits, one takes replies and passes them on as permission to submit more.
fn pipelined(
    mut submitter: Submitter,
    mut replies: Replies,
    mut next: impl FnMut() -> Operation + Send,
    until: Instant,
    depth: usize,
) -> Result<u64, Box<dyn Error>> {
    let (permit, permits) = mpsc::channel();
    for _ in 0..depth {
        permit.send(())?;
    }
    thread::scope(|scope| {
        scope.spawn(move || {
            let submitted = permits.iter().try_for_each(|()| submitter.submit(&next()).map(drop));
            submitted.and_then(|()| submitter.disconnect())
        });
        let mut done = 0;
        let mut unanswered = depth;
        while unanswered > 0 {
            replies.next_reply()?.result.map_err(|error| format!("{error:?}"))?;
            done += 1;
            if Instant::now() >= until || permit.send(()).is_err() {
                unanswered -= 1;
            }
        }
        drop(permit);
        Ok(done)
    })
}

/// A sequence that is good enough to defeat readahead (Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}
