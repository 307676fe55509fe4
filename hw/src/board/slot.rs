//! The slots of a board for virtio devices.

use std::sync::Arc;

use vl::Transaction;

use crate::device::{Device, Kind, Property};
use crate::types::Type;
use crate::virtio::mmio::Transport;

/// The type of a slot.
pub const TYPE: Type = Type {
    properties: &[Property {
        name: FORCE_LEGACY,
        kind: Kind::Bool(true),
        description: "legacy interface, not that of virtio 1",
    }],
    ..Type::fixed("virtio-mmio", "sys-bus-device")
};

/// The property that says which form a slot has.
pub(super) const FORCE_LEGACY: &str = "force-legacy";

/// A slot and where it stands in the tree.
pub struct Slot {
    /// Its path.
    pub(super) path: String,
    /// The slot itself.
    pub transport: Arc<Transport>,
}

impl Device for Transport {
    fn reset(&self, tx: &mut Transaction<'_>) {
        Self::reset(self, tx);
    }
}
