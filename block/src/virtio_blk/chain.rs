//! The buffers that a driver offers as one descriptor chain, checked and collected.
//!
//! How a request is laid out over its buffers is the driver's own business (virtio 1.2, section 2.7.4): what a request
//! consists of is found by counting bytes, first those that the device may read, then those that it may write.

use virtio_queue::DescriptorChain;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemory, GuestMemoryError, GuestMemoryMmap, Permissions};

/// Buffers of one chain, as in QEMU: a table of indirect descriptors may be longer than any queue.
const MOST_BUFFERS: usize = 1024;

/// What no driver may do. The device is broken until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// A descriptor chain.
#[derive(Debug)]
pub(super) struct Chain {
    /// Its name in the used ring.
    pub(super) head: u16,
    /// What the driver says.
    pub(super) readable: Buffer,
    /// Where the device answers.
    pub(super) writable: Buffer,
}

/// Pieces of guest memory, one after the other.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pieces: Vec<(GuestAddress, usize)>,
    len: usize,
}

impl Chain {
    /// Collects the buffers of a chain, all of them in guest memory.
    pub(super) fn collect(
        chain: DescriptorChain<&GuestMemoryMmap>,
        memory: &GuestMemoryMmap,
    ) -> Result<Self, Malformed> {
        let mut this = Self { head: chain.head_index(), readable: Buffer::default(), writable: Buffer::default() };
        let mut goes_on = true;
        for descriptor in chain {
            let (buffer, access) = if descriptor.is_write_only() {
                (&mut this.writable, Permissions::Write)
            } else if this.writable.len == 0 {
                (&mut this.readable, Permissions::Read)
            } else {
                return Err(Malformed("a buffer for the device to read follows one for it to write"));
            };
            let len = descriptor.len() as usize;
            if len == 0 {
                return Err(Malformed("a buffer of no length"));
            }
            if !memory.check_range(descriptor.addr(), len, access) {
                return Err(Malformed("a buffer outside of the guest's memory"));
            }
            buffer.pieces.push((descriptor.addr(), len));
            buffer.len += len;
            if this.readable.pieces.len() + this.writable.pieces.len() > MOST_BUFFERS {
                return Err(Malformed("a descriptor chain of too many buffers"));
            }
            goes_on = descriptor.has_next();
        }
        // The iterator ends without a word at a descriptor that can't be followed.
        if goes_on { Err(Malformed("a descriptor chain that leads nowhere")) } else { Ok(this) }
    }
}

impl Buffer {
    /// Bytes of all pieces.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Reads guest memory from `offset` on until `data` is full or the buffer ends.
    pub(super) fn read(
        &self,
        memory: &GuestMemoryMmap,
        offset: usize,
        data: &mut [u8],
    ) -> Result<(), GuestMemoryError> {
        self.pieces_from(offset, data.len())
            .try_for_each(|(address, at, len)| memory.read_slice(&mut data[at..at + len], address))
    }

    /// Writes guest memory from `offset` on until `data` is written or the buffer ends.
    pub(super) fn write(&self, memory: &GuestMemoryMmap, offset: usize, data: &[u8]) -> Result<(), GuestMemoryError> {
        self.pieces_from(offset, data.len())
            .try_for_each(|(address, at, len)| memory.write_slice(&data[at..at + len], address))
    }

    /// The pieces of `len` bytes at `offset`: where each is in guest memory, where in the data, and how long.
    fn pieces_from(&self, offset: usize, len: usize) -> impl Iterator<Item = (GuestAddress, usize, usize)> {
        let (mut skip, mut at) = (offset, 0);
        self.pieces.iter().filter_map(move |&(address, piece)| {
            let skipped = skip.min(piece);
            skip -= skipped;
            let part = (piece - skipped).min(len - at);
            // Within guest memory, as the whole piece is.
            let found = (address.unchecked_add(skipped as u64), at, part);
            at += part;
            (part > 0).then_some(found)
        })
    }
}
