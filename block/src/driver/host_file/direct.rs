//! `cache.direct`: I/O past the page cache, which the kernel does in whole blocks and from aligned memory only.
//!
//! A request that isn't aligned goes through a bounce buffer, and where it covers a block in part the rest of the block
//! is read first. Such a write holds its blocks alone, any other write shares them ([`Direct::mode`]).
//!
//! An image need not end on a block boundary, but O_DIRECT can only write whole blocks, and would make it longer. So
//! its last, partial block is the one place that is read and written through the page cache; the kernel keeps the
//! two views coherent.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;

use super::super::range_lock::Mode;
use super::handle;

/// The largest bounce buffer, hence what one request in flight costs.
const BOUNCE: usize = 1 << 20;

/// What is tried, smallest first, where the kernel doesn't say what it wants.
const CANDIDATES: [usize; 4] = [512, 1024, 2048, 4096];

/// A descriptor with O_DIRECT.
#[derive(Debug)]
pub(super) struct Direct {
    file: fs::File,
    alignment: Alignment,
}

/// What the kernel demands, in powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alignment {
    /// Of offset and length.
    block: usize,
    /// Of the address.
    memory: usize,
}

impl Direct {
    /// Finds out what the kernel demands of I/O on `file`.
    pub(super) fn new(file: fs::File) -> io::Result<Self> {
        let alignment = match stated(&file)? {
            Some(alignment) => alignment,
            None => probed(&file),
        };
        Ok(Self { file, alignment })
    }

    /// Reads from an image of `length` bytes; its partial block from `cached`.
    pub(super) fn read(&self, cached: &fs::File, length: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let whole = self.in_whole_blocks(length, offset, buffer.len());
        let (body, tail) = buffer.split_at_mut(whole);
        if !body.is_empty() {
            self.read_blocks(offset, body)?;
        }
        handle::read(cached, offset + whole as u64, tail)
    }

    /// Writes to an image of `length` bytes; its partial block to `cached`. The caller has locked the range.
    pub(super) fn write(&self, cached: &fs::File, length: u64, offset: u64, data: &[u8]) -> io::Result<()> {
        let whole = self.in_whole_blocks(length, offset, data.len());
        let (body, tail) = data.split_at(whole);
        if !body.is_empty() {
            self.write_blocks(offset, body)?;
        }
        handle::write(cached, offset + whole as u64, tail)
    }

    /// How a write must lock its blocks.
    pub(super) fn mode(&self, length: u64, range: &Range<u64>) -> Mode {
        let partial = !self.is_aligned(range.start) || !self.is_aligned(range.end);
        let tail = range.end > self.whole_blocks(length);
        if partial || tail { Mode::Exclusive } else { Mode::Shared }
    }

    /// What offset and length must be multiples of.
    pub(super) const fn block(&self) -> u64 {
        self.alignment.block as u64
    }

    /// How many bytes of an image lie in whole blocks.
    const fn whole_blocks(&self, length: u64) -> u64 {
        length - length % self.block()
    }

    /// How many of `count` bytes at `offset` lie in whole blocks of the image.
    fn in_whole_blocks(&self, length: u64, offset: u64, count: usize) -> usize {
        let left = self.whole_blocks(length).saturating_sub(offset);
        usize::try_from(left).map_or(count, |left| left.min(count))
    }

    const fn is_aligned(&self, at: u64) -> bool {
        at.is_multiple_of(self.block())
    }

    fn takes(&self, offset: u64, memory: &[u8]) -> bool {
        self.is_aligned(offset)
            && memory.len().is_multiple_of(self.alignment.block)
            && memory.as_ptr().addr().is_multiple_of(self.alignment.memory)
    }

    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.takes(offset, buffer) {
            return self.read_aligned(offset, buffer);
        }
        let mut bounce = Bounce::new(self.alignment, offset, buffer.len());
        let mut done = 0;
        while done < buffer.len() {
            let piece = bounce.piece(offset, done, buffer.len());
            self.read_aligned(piece.start, bounce.blocks(&piece))?;
            buffer[done..][..piece.count].copy_from_slice(&bounce.blocks(&piece)[piece.skip..][..piece.count]);
            done += piece.count;
        }
        Ok(())
    }

    fn write_blocks(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.takes(offset, data) {
            return handle::write(&self.file, offset, data);
        }
        let block = self.alignment.block;
        let mut bounce = Bounce::new(self.alignment, offset, data.len());
        let mut done = 0;
        while done < data.len() {
            let piece = bounce.piece(offset, done, data.len());
            let blocks = bounce.blocks(&piece);
            let last = blocks.len() - block;
            if piece.skip > 0 {
                self.read_aligned(piece.start, &mut blocks[..block])?;
            }
            let ends_within = !(piece.skip + piece.count).is_multiple_of(block);
            if ends_within && (last > 0 || piece.skip == 0) {
                self.read_aligned(piece.start + last as u64, &mut blocks[last..])?;
            }
            blocks[piece.skip..][..piece.count].copy_from_slice(&data[done..][..piece.count]);
            handle::write(&self.file, piece.start, blocks)?;
            done += piece.count;
        }
        Ok(())
    }

    /// As [`handle::read`], but a count that isn't whole blocks is the end of the file, after which no read may start.
    fn read_aligned(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(count) => {
                    done += count;
                    if count == 0 || !count.is_multiple_of(self.alignment.block) {
                        buffer[done..].fill(0);
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Aligned memory between the caller's and the kernel.
struct Bounce {
    memory: Vec<u8>,
    start: usize,
    capacity: usize,
    block: usize,
}

/// A part of a request that goes through the bounce buffer at once.
struct Piece {
    /// Where its blocks start in the image.
    start: u64,
    /// Bytes of the first block that aren't asked for.
    skip: usize,
    /// Bytes that are.
    count: usize,
}

impl Bounce {
    fn new(alignment: Alignment, offset: u64, count: usize) -> Self {
        let Alignment { block, memory: align } = alignment;
        let skip = (offset % block as u64) as usize;
        let largest = BOUNCE.next_multiple_of(block);
        let capacity = skip.saturating_add(count).min(largest).next_multiple_of(block);
        // An aligned start is found within one alignment of any address.
        let memory = vec![0; capacity + align];
        let start = memory.as_ptr().align_offset(align).min(align);
        Self { memory, start, capacity, block }
    }

    /// The next part of a request of `count` bytes at `offset`, of which `done` are done.
    fn piece(&self, offset: u64, done: usize, count: usize) -> Piece {
        let at = offset + done as u64;
        let start = at - at % self.block as u64;
        let skip = (at - start) as usize;
        Piece { start, skip, count: (count - done).min(self.capacity - skip) }
    }

    fn blocks(&mut self, piece: &Piece) -> &mut [u8] {
        let length = (piece.skip + piece.count).next_multiple_of(self.block);
        &mut self.memory[self.start..][..length]
    }
}

/// What the kernel says that it demands: `STATX_DIOALIGN`, Linux 6.1 and a file system that knows.
fn stated(file: &fs::File) -> io::Result<Option<Alignment>> {
    let found = match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        Ok(found) => found,
        Err(Errno::NOSYS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let power = |value: u32| usize::try_from(value).ok().filter(|value| value.is_power_of_two());
    let said = found.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
    Ok(match (power(found.stx_dio_offset_align), power(found.stx_dio_mem_align)) {
        (Some(block), Some(memory)) if said => Some(Alignment { block, memory }),
        (Some(_) | None, Some(_) | None) => None,
    })
}

/// The smallest block that can be read. An empty file can't tell, and gets the largest.
fn probed(file: &fs::File) -> Alignment {
    let [.., largest] = CANDIDATES;
    let fits = |&candidate: &usize| {
        let mut bounce = Bounce::new(Alignment { block: candidate, memory: largest }, 0, candidate);
        let piece = bounce.piece(0, 0, candidate);
        matches!(file.read_at(bounce.blocks(&piece), 0), Ok(1..))
    };
    let block = CANDIDATES.into_iter().find(fits).unwrap_or(largest);
    Alignment { block, memory: block }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_request_cover_it_in_aligned_blocks() {
        let alignment = Alignment { block: 512, memory: 4096 };
        for (offset, count) in [(0, 1), (511, 2), (1, 3 * BOUNCE), (512, BOUNCE), (777, BOUNCE - 100)] {
            let mut bounce = Bounce::new(alignment, offset, count);
            let mut done = 0;
            while done < count {
                let piece = bounce.piece(offset, done, count);
                assert_eq!(piece.start + piece.skip as u64, offset + done as u64);
                assert!(piece.start.is_multiple_of(512) && piece.skip < 512 && piece.count > 0);
                let blocks = bounce.blocks(&piece);
                assert!(blocks.len().is_multiple_of(512) && blocks.len() <= BOUNCE);
                assert!(blocks.as_ptr().addr().is_multiple_of(4096));
                done += piece.count;
            }
            assert_eq!(done, count);
        }
    }

    #[test]
    fn an_alignment_is_found_without_the_kernel_s_word() {
        let file = tempfile::tempfile().expect("a file");
        assert_eq!(probed(&file), Alignment { block: 4096, memory: 4096 }, "an empty file can't tell");
        file.set_len(8192).expect("longer");
        assert_eq!(probed(&file), Alignment { block: 512, memory: 512 }, "the page cache takes anything");
    }
}
