//! What a device tells its driver: status, interrupts, and that its configuration is another.

use std::sync::Arc;

use parking_lot::Mutex;
use virtio_bindings::virtio_config::{VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_NEEDS_RESET};
use virtio_bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};

use super::Version;
use crate::irq::Line;
use crate::virtio::Interrupt;

/// Those of one slot. The line is set with the lock held, so that it is always as the interrupt status says.
pub(super) struct Signals {
    version: Version,
    line: Line,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    status: u32,
    /// Only a reset helps. A legacy driver can't see it.
    broken: bool,
    interrupt_status: u32,
    generation: u32,
    /// How often the device was reset.
    resets: u64,
}

impl Signals {
    pub(super) fn new(version: Version, line: Line) -> Self {
        Self { version, line, state: Mutex::default() }
    }

    /// What the driver wrote. That the device needs a reset is not the driver's to deny.
    pub(super) fn status(&self) -> u32 {
        let state = self.state.lock();
        let says_so = state.broken && self.version == Version::Modern;
        state.status | if says_so { VIRTIO_CONFIG_S_NEEDS_RESET } else { 0 }
    }

    pub(super) fn set_status(&self, status: u32) {
        self.state.lock().status = status;
    }

    /// Whether the driver may use its queues: a legacy one may before it says that it is ready (section 3.1.2).
    pub(super) fn is_live(&self) -> bool {
        let state = self.state.lock();
        (state.is_ready() || self.version == Version::Legacy) && !state.broken
    }

    pub(super) fn generation(&self) -> u32 {
        self.state.lock().generation
    }

    pub(super) fn interrupt_status(&self) -> u32 {
        self.state.lock().interrupt_status
    }

    pub(super) fn acknowledge(&self, causes: u32) {
        let mut state = self.state.lock();
        state.interrupt_status &= !causes;
        self.line.set(state.interrupt_status != 0);
    }

    /// The configuration's generation goes on: a driver must not take it for the one it knows.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        *state = State { generation: state.generation, resets: state.resets + 1, ..State::default() };
        self.line.set(false);
    }

    /// The way of a device to its driver, until it is reset.
    pub(super) fn interrupt(self: &Arc<Self>) -> Arc<dyn Interrupt> {
        Arc::new(UntilReset { signals: Arc::clone(self), resets: self.state.lock().resets })
    }

    fn raise(&self, state: &mut State, causes: u32) {
        state.interrupt_status |= causes;
        self.line.set(true);
    }

    /// Something other than the queues has changed. Raises both causes, as QEMU does, and not before the driver is ready.
    fn raise_config(&self, state: &mut State) {
        if state.is_ready() {
            self.raise(state, VIRTIO_MMIO_INT_CONFIG | VIRTIO_MMIO_INT_VRING);
        }
    }
}

impl State {
    const fn is_ready(&self) -> bool {
        self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0
    }
}

/// What a device says on another thread while it is reset may come too late: it is not for the next driver.
struct UntilReset {
    signals: Arc<Signals>,
    resets: u64,
}

impl UntilReset {
    fn signal(&self, say: impl FnOnce(&Signals, &mut State)) {
        let mut state = self.signals.state.lock();
        if state.resets == self.resets {
            say(&self.signals, &mut state);
        }
    }
}

impl Interrupt for UntilReset {
    fn used(&self, _queue: u16) {
        self.signal(|signals, state| signals.raise(state, VIRTIO_MMIO_INT_VRING));
    }

    fn config_changed(&self) {
        self.signal(|signals, state| {
            state.generation = state.generation.wrapping_add(1);
            signals.raise_config(state);
        });
    }

    fn broken(&self) {
        self.signal(|signals, state| {
            state.broken = true;
            if signals.version == Version::Modern {
                signals.raise_config(state);
            }
        });
    }
}
