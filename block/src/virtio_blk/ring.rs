//! One virtqueue of a device that runs: requests come off its available ring and go onto its used ring.

use std::sync::atomic::{Ordering, fence};

use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Error, Queue, QueueOwnedT, QueueT};
use vl::sync::Mutex;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::chain::{Chain, Malformed};

/// A queue.
#[derive(Debug)]
pub(super) struct Ring(Mutex<State>);

#[derive(Debug)]
struct State {
    queue: Queue,
    /// The driver wants to be told when all is answered, even if of nothing else (virtio 1.2, section 6.3).
    notify_on_empty: bool,
    /// All of it is in guest memory, as far as that was looked at yet.
    checked: bool,
    /// Requests taken off, and not answered.
    unanswered: u16,
    /// Something was answered that the driver was not told of.
    unsignalled: bool,
}

impl Ring {
    pub(super) const fn new(queue: Queue, notify_on_empty: bool) -> Self {
        Self(Mutex::new(State { queue, notify_on_empty, checked: false, unanswered: 0, unsignalled: false }))
    }

    /// Lies where `queue` does from now on, and goes on where it was.
    pub(super) fn replace(&self, mut queue: Queue) {
        let state = &mut *self.0.lock();
        queue.set_next_avail(state.queue.next_avail());
        queue.set_next_used(state.queue.next_used());
        (state.queue, state.checked) = (queue, false);
    }

    /// Takes off what is available, and returns how much that was. The driver gives notice of more only once there was
    /// nothing: until then this is to be called again.
    pub(super) fn take(
        &self,
        memory: &GuestMemoryMmap,
        mut each: impl FnMut(Chain) -> Result<(), Malformed>,
    ) -> Result<usize, Malformed> {
        let State { queue, checked, unanswered, .. } = &mut *self.0.lock();
        if !queue.ready() {
            return Ok(0);
        }
        if !*checked && !queue.is_valid(memory) {
            return Err(Malformed("a queue outside of the guest's memory"));
        }
        *checked = true;
        queue.disable_notification(memory).map_err(unreachable)?;
        for last in [false, true] {
            let (mut taken, size) = (0, queue.size());
            for chain in queue.iter(memory).map_err(unreachable)? {
                if *unanswered >= size {
                    return Err(Malformed("more requests than the queue holds"));
                }
                *unanswered += 1;
                taken += 1;
                each(Chain::collect(chain, memory)?)?;
            }
            if taken > 0 || last || !queue.enable_notification(memory).map_err(unreachable)? {
                return Ok(taken);
            }
        }
        Ok(0)
    }

    /// Answers a request, for which the device wrote up to `len` bytes.
    pub(super) fn put(&self, memory: &GuestMemoryMmap, head: u16, len: usize) -> Result<(), Malformed> {
        let state = &mut *self.0.lock();
        state.queue.add_used(memory, head, u32::try_from(len).unwrap_or(u32::MAX)).map_err(unreachable)?;
        state.unanswered -= 1;
        state.unsignalled = true;
        Ok(())
    }

    /// Whether the driver is to be told of what was answered since this was asked last.
    pub(super) fn needs_signal(&self, memory: &GuestMemoryMmap) -> Result<bool, Malformed> {
        let state = &mut *self.0.lock();
        if !std::mem::take(&mut state.unsignalled) {
            return Ok(false);
        }
        if state.notify_on_empty && state.unanswered == 0 {
            let available = state.queue.avail_idx(memory, Ordering::Acquire).map_err(unreachable)?;
            if available.0 == state.queue.next_avail() {
                return Ok(true);
            }
        }
        if state.queue.event_idx_enabled() {
            return state.queue.needs_notification(memory).map_err(unreachable);
        }
        // What was answered must be seen before the driver is asked whether it looks.
        fence(Ordering::SeqCst);
        let flags: u16 = memory
            .load(GuestAddress(state.queue.avail_ring()), Ordering::Relaxed)
            .map_err(|error| unreachable(Error::GuestMemory(error)))?;
        Ok(u32::from(u16::from_le(flags)) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }
}

/// The queue was checked when it was first looked at: what is wrong now are its indices.
fn unreachable(error: Error) -> Malformed {
    tracing::debug!(%error, "virtqueue");
    Malformed("a queue whose indices make no sense")
}
