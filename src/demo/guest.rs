//! The guest of the demo: writes a whole disk, several requests at a time, and reads it back.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::Arc;

use block::nbd::Address;
use block::nbd::client::{Client, Cookie, Replies, Submitter};
use block::request::Operation;

use super::screen::{Screen, mebibytes};

const PIECE: usize = 64 << 10;
const IN_FLIGHT: usize = 16;
/// How often progress is shown.
const REPORTS: u64 = 8;

/// What became of the guest's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes that were written and acknowledged.
    pub written: u64,
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Checksum of what was written.
    pub checksum_written: u64,
    /// Checksum of what was read back.
    pub checksum_read: u64,
}

struct Guest {
    screen: Arc<Screen>,
    size: u64,
    outcome: Outcome,
    outstanding: HashMap<Cookie, u64>,
}

/// Writes to all of the export, flushes, and reads all of it.
///
/// # Errors
/// The connection failed.
pub fn work(server: &Address, export: &str, screen: &Arc<Screen>) -> io::Result<Outcome> {
    let client = Client::connect(server, export).map_err(io::Error::other)?;
    let size = client.terms().size;
    let (mut submitter, mut replies) = client.split();
    let mut guest = Guest { screen: screen.clone(), size, outcome: Outcome::default(), outstanding: HashMap::new() };
    guest.write(&mut submitter, &mut replies)?;
    guest.execute(&mut submitter, &mut replies, &Operation::Flush)?;
    screen.guest("has flushed, and reads everything back");
    guest.read(&mut submitter, &mut replies)?;
    submitter.disconnect().map_err(io::Error::other)?;
    Ok(guest.outcome)
}

impl Guest {
    fn write(&mut self, submitter: &mut Submitter, replies: &mut Replies) -> io::Result<()> {
        let (mut noise, mut checksum) = (Noise(0x9e37_79b9_7f4a_7c15), DefaultHasher::new());
        let mut offset = 0;
        while offset < self.size || !self.outstanding.is_empty() {
            if offset < self.size && self.outstanding.len() < IN_FLIGHT {
                let data = noise.take(PIECE.min(usize::try_from(self.size - offset).unwrap_or(PIECE)));
                checksum.write(&data);
                let length = data.len() as u64;
                let write = Operation::Write { offset, data, fua: false };
                self.outstanding.insert(submitter.submit(&write).map_err(io::Error::other)?, length);
                offset += length;
            } else {
                self.settle(replies)?;
            }
        }
        self.outcome.checksum_written = checksum.finish();
        Ok(())
    }

    fn settle(&mut self, replies: &mut Replies) -> io::Result<()> {
        let reply = replies.next_reply().map_err(io::Error::other)?;
        let length = self.outstanding.remove(&reply.cookie).unwrap_or(0);
        if let Err(error) = reply.result {
            self.outcome.failed += 1;
            self.screen.guest(&format!("was failed a write: {}", io::Error::from(error)));
            return Ok(());
        }
        self.outcome.acknowledged += 1;
        let before = self.outcome.written;
        self.outcome.written += length;
        let step = (self.size / REPORTS).max(1);
        if before / step < self.outcome.written / step {
            let (written, size) = (mebibytes(self.outcome.written), mebibytes(self.size));
            self.screen.guest(&format!("{written} of {size} MiB acknowledged"));
        }
        Ok(())
    }

    fn read(&mut self, submitter: &mut Submitter, replies: &mut Replies) -> io::Result<()> {
        let mut checksum = DefaultHasher::new();
        let mut offset = 0;
        while offset < self.size {
            let length = PIECE.min(usize::try_from(self.size - offset).unwrap_or(PIECE));
            checksum.write(&self.execute(submitter, replies, &Operation::Read { offset, length })?);
            offset += length as u64;
        }
        self.outcome.checksum_read = checksum.finish();
        Ok(())
    }

    /// One request by itself. A failure counts; there is no data then.
    fn execute(
        &mut self,
        submitter: &mut Submitter,
        replies: &mut Replies,
        operation: &Operation,
    ) -> io::Result<Vec<u8>> {
        submitter.submit(operation).map_err(io::Error::other)?;
        let answer = replies.next_reply().map_err(io::Error::other)?.result;
        match &answer {
            Ok(_) => self.outcome.acknowledged += 1,
            Err(_) => self.outcome.failed += 1,
        }
        Ok(answer.unwrap_or_default())
    }
}

/// Data that no file system can compress or share (xorshift64).
struct Noise(u64);

impl Noise {
    fn take(&mut self, length: usize) -> Vec<u8> {
        let mut data = Vec::with_capacity(length + 8);
        while data.len() < length {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            data.extend_from_slice(&self.0.to_le_bytes());
        }
        data.truncate(length);
        data
    }
}
