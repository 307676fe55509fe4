//! What a driver wants, as its request says it, and what becomes of it: pure.
//!
//! virtio 1.2, section 5.2.6. Mistakes of the guest are answered here; nothing of them reaches the disk or its error
//! policy.

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_BARRIER, VIRTIO_BLK_T_DISCARD,
    VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
    VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};
use vm_memory::GuestMemoryMmap;

use super::chain::{Chain, Malformed};

/// The unit of the protocol, whatever the block size.
pub(super) const SECTOR: u64 = 512;

/// Bytes of the header of every request.
pub(super) const HEADER: usize = 16;

/// Bytes of the range of a discard or write-zeroes.
const RANGE: usize = 16;

/// The answer's last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok = VIRTIO_BLK_S_OK as isize,
    IoError = VIRTIO_BLK_S_IOERR as isize,
    Unsupported = VIRTIO_BLK_S_UNSUPP as isize,
}

/// What a request is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of the disk, in bytes.
    pub(super) capacity: u64,
    /// Bytes.
    pub(super) block_size: u64,
    /// Sectors of one discard, `None` where it is not offered.
    pub(super) discard: Option<u32>,
    /// Sectors of one write-zeroes, `None` where it is not offered.
    pub(super) write_zeroes: Option<u32>,
}

/// A request that makes sense. Offsets and lengths are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Read { offset: u64, length: usize },
    Write { offset: u64, length: usize },
    Flush,
    Id,
    Discard { offset: u64, length: u64 },
    WriteZeroes { offset: u64, length: u64, unmap: bool },
}

impl Command {
    /// Reads the header of a request and checks it.
    ///
    /// # Errors
    /// Outside, it is no request at all; inside, it is refused.
    pub(super) fn decode(
        chain: &Chain,
        memory: &GuestMemoryMmap,
        limits: &Limits,
    ) -> Result<Result<Self, Status>, Malformed> {
        if chain.readable.len() < HEADER {
            return Err(Malformed("a request shorter than its header"));
        }
        if chain.writable.len() == 0 {
            return Err(Malformed("a request without a place for its status"));
        }
        let mut header = [0; HEADER];
        read(chain, memory, 0, &mut header)?;
        let kind = le32(&header, 0) & !VIRTIO_BLK_T_BARRIER;
        let undirected = kind & !VIRTIO_BLK_T_OUT;
        let (payload, room) = (chain.readable.len() - HEADER, chain.writable.len() - 1);
        Ok(match kind {
            VIRTIO_BLK_T_IN => {
                limits.range(le64(&header, 8), room as u64).map(|offset| Self::Read { offset, length: room })
            }
            VIRTIO_BLK_T_OUT => {
                limits.range(le64(&header, 8), payload as u64).map(|offset| Self::Write { offset, length: payload })
            }
            // Old drivers say a direction here, too.
            _ if undirected == VIRTIO_BLK_T_FLUSH => Ok(Self::Flush),
            _ if undirected == VIRTIO_BLK_T_GET_ID => Ok(Self::Id),
            VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES if payload > RANGE => Err(Status::Unsupported),
            VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES => {
                if payload < RANGE {
                    return Err(Malformed("a discard or write-zeroes request without its range"));
                }
                let mut range = [0; RANGE];
                read(chain, memory, HEADER, &mut range)?;
                limits.clear(kind, &range)
            }
            _ => Err(Status::Unsupported),
        })
    }
}

impl Limits {
    /// Where a range of sectors starts, in bytes, if it lies on the disk.
    fn range(&self, sector: u64, length: u64) -> Result<u64, Status> {
        let offset = sector.checked_mul(SECTOR).ok_or(Status::IoError)?;
        let end = offset.checked_add(length).ok_or(Status::IoError)?;
        let aligned = offset.is_multiple_of(self.block_size) && length.is_multiple_of(self.block_size);
        let most = u64::from(super::options::MOST_SECTORS) * SECTOR;
        // As in QEMU a last part of the disk that is no sector can't be reached.
        if aligned && length <= most && end <= self.capacity / SECTOR * SECTOR {
            Ok(offset)
        } else {
            Err(Status::IoError)
        }
    }

    fn clear(&self, kind: u32, range: &[u8; RANGE]) -> Result<Command, Status> {
        let discard = kind == VIRTIO_BLK_T_DISCARD;
        let most = if discard { self.discard } else { self.write_zeroes }.ok_or(Status::Unsupported)?;
        let (sectors, flags) = (le32(range, 8), le32(range, 12));
        if sectors > most {
            return Err(Status::IoError);
        }
        let length = u64::from(sectors) * SECTOR;
        let offset = self.range(le64(range, 0), length)?;
        let unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0;
        if flags & !VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0 || discard && unmap {
            return Err(Status::Unsupported);
        }
        Ok(if discard { Command::Discard { offset, length } } else { Command::WriteZeroes { offset, length, unmap } })
    }
}

fn read(chain: &Chain, memory: &GuestMemoryMmap, offset: usize, data: &mut [u8]) -> Result<(), Malformed> {
    chain.readable.read(memory, offset, data).map_err(|_| Malformed("a request outside of the guest's memory"))
}

fn le32(bytes: &[u8; 16], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn le64(bytes: &[u8; 16], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
