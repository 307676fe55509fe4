//! The board `none`: an empty one.

use super::{BoardKind, Window};
use crate::types::Type;

/// The type of such a machine.
pub const TYPE: Type = Type::fixed("none-machine", "machine");

/// The kind of board.
pub static NONE: BoardKind = BoardKind {
    name: "none",
    type_name: TYPE.name,
    description: "no devices, and no memory unless -m gives some",
    is_default: false,
    default_ram: 0,
    ram_id: "ram",
    ram: &[Window { base: 0, most: 1 << 40 }],
    cpu: None,
    most_cpus: 1,
    controller: None,
    slots: None,
    has_isa: false,
    power: None,
    pvpanic: None,
    has_nmi: false,
};
