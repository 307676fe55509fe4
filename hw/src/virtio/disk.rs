//! `virtio-blk-device`: a disk in a slot for virtio devices.

use std::sync::Arc;

use block::backend::BlockBackend;
use block::block::{Block, DeviceOptions};
use block::drive::OnError;
use block::virtio_blk::{Geometry, VirtioBlk, VirtioBlkOptions};
use parking_lot::Mutex;
use qapi_schema::block_core::BlockdevOnError;
use qapi_schema::{Dialect, Error, FromValue, Visitor};

use super::mmio::Version;
use crate::board::Board;
use crate::device::{BusKind, Device, Kind, Property, Site, Values};
use crate::types::Type;

/// QEMU's way to leave the number of queues open.
const AUTO_QUEUES: u16 = u16::MAX;

/// The same for the granularity of discards.
const AUTO_GRANULARITY: u32 = u32::MAX;

/// The most sectors of one request.
const MOST_SECTORS: u32 = (i32::MAX as u32) >> 9;

const fn property(name: &'static str, kind: Kind, description: &'static str) -> Property {
    Property { name, kind, description }
}

/// The device.
pub const TYPE: Type = Type {
    description: "virtio disk",
    properties: &[
        property("drive", Kind::Text, "the disk: the id of a drive, or the name of a node"),
        property("serial", Kind::Text, "what the guest reads as the disk's identity, 20 bytes at most"),
        property("werror", Kind::OnError, "what to do when a write fails: report, ignore, enospc, stop"),
        property("rerror", Kind::OnError, "what to do when a read fails: report, ignore, stop"),
        property("num-queues", Kind::Uint16(AUTO_QUEUES), "how many queues; one if left alone"),
        property("queue-size", Kind::Uint16(256), "how long each queue is, at most"),
        property("seg-max-adjust", Kind::Bool(true), "a request may have as many buffers as fit in the queue"),
        property("logical_block_size", Kind::Size32(512), "the smallest unit of a request"),
        property("physical_block_size", Kind::Size32(512), "what the disk writes in one piece"),
        property("min_io_size", Kind::Size32(0), "the smallest request that performs well"),
        property("opt_io_size", Kind::Size32(0), "the request that performs best"),
        property("discard_granularity", Kind::Size32(AUTO_GRANULARITY), "the unit of discards; a block if left alone"),
        property("report-discard-granularity", Kind::Bool(true), "the guest is told of it"),
        property("discard", Kind::Bool(true), "the guest may give space back"),
        property("max-discard-sectors", Kind::Uint32(MOST_SECTORS), "the longest discard"),
        property("write-zeroes", Kind::Bool(true), "the guest may have ranges zeroed"),
        property("max-write-zeroes-sectors", Kind::Uint32(MOST_SECTORS), "the longest range"),
        property("write-cache", Kind::OnOffAuto, "writes are stable only after a flush; as the drive says if auto"),
        property("config-wce", Kind::Bool(true), "the guest may change that"),
        property("cyls", Kind::Uint32(0), "cylinders of the made-up geometry"),
        property("heads", Kind::Uint32(0), "its heads"),
        property("secs", Kind::Uint32(0), "its sectors"),
        property("event_idx", Kind::Bool(true), "notifications are suppressed by index"),
        property("indirect_desc", Kind::Bool(true), "descriptors may stand in tables of their own"),
    ],
    plug: Some((BusKind::Virtio, plug)),
    ..Type::fixed("virtio-blk-device", "virtio-device")
};

/// The device and what it is made of.
struct Disk {
    slot: usize,
    core: Arc<VirtioBlk>,
    backend: Mutex<Option<Arc<BlockBackend>>>,
    block: Arc<Block>,
}

fn plug(board: &Board, site: &Site<'_>) -> Result<Arc<dyn Device>, Error> {
    let slot = board.slots().get(site.bus).ok_or_else(|| Error::generic("there is no such slot"))?;
    let drive = site.values.text("drive").filter(|drive| !drive.is_empty());
    let drive = drive.ok_or_else(|| Error::generic("drive property not set"))?;
    let on_error = OnError { werror: on_error(site, "werror")?, rerror: on_error(site, "rerror")? };
    let options = options_of(site, slot.transport.version());
    // Once it is taken, a drive leaves with its device.
    options.check().map_err(|error| Error::generic(error.to_string()))?;
    let backend = board.block().add_device(DeviceOptions { qom_path: site.path.into(), drive, on_error })?;
    match site.values.text("write-cache") {
        Some("on") => backend.set_write_cache(true),
        Some("off") => backend.set_write_cache(false),
        _ => {}
    }
    let core = VirtioBlk::new(backend.clone(), options).inspect_err(|_| board.block().remove_backend(&backend));
    let core = core.map_err(|error| Error::generic(error.to_string()))?;
    slot.transport.plug(core.clone());
    Ok(Arc::new(Disk { slot: site.bus, core, backend: Mutex::new(Some(backend)), block: board.block().clone() }))
}

fn on_error(site: &Site<'_>, name: &str) -> Result<Option<BlockdevOnError>, Error> {
    let root = Visitor::root(Dialect::Json);
    BlockdevOnError::from_value(site.values.get(name).clone(), &root.member(name)).map(Some)
}

fn options_of(site: &Site<'_>, version: Version) -> VirtioBlkOptions {
    let values = site.values;
    VirtioBlkOptions {
        serial: values.text("serial").unwrap_or_default().into(),
        num_queues: Some(values.number("num-queues")).filter(|&queues| queues != AUTO_QUEUES).unwrap_or(1),
        queue_size: values.number("queue-size"),
        seg_max_adjust: values.flag("seg-max-adjust"),
        logical_block_size: values.number("logical_block_size"),
        physical_block_size: values.number("physical_block_size"),
        min_io_size: values.number("min_io_size"),
        opt_io_size: values.number("opt_io_size"),
        discard_granularity: Some(values.number("discard_granularity")).filter(|&bytes| bytes != AUTO_GRANULARITY),
        report_discard_granularity: values.flag("report-discard-granularity"),
        discard: values.flag("discard"),
        max_discard_sectors: values.number("max-discard-sectors"),
        write_zeroes: values.flag("write-zeroes"),
        max_write_zeroes_sectors: values.number("max-write-zeroes-sectors"),
        config_wce: values.flag("config-wce"),
        geometry: Geometry {
            cylinders: values.number("cyls"),
            heads: values.number("heads"),
            sectors: values.number("secs"),
        },
        event_idx: values.flag("event_idx"),
        indirect_desc: values.flag("indirect_desc"),
        version_1: version == Version::Modern,
    }
}

impl Device for Disk {
    // The slot resets it when the machine is reset.

    fn settle(&self, values: &mut Values) {
        let Geometry { cylinders, heads, sectors } = self.core.geometry();
        values.settle("num-queues", self.core.num_queues());
        values.settle("cyls", cylinders);
        values.settle("heads", heads);
        values.settle("secs", sectors);
    }

    fn unplug(&self, board: &Board) {
        if let Some(slot) = board.slots().get(self.slot) {
            slot.transport.unplug();
        }
        self.core.drain();
        if let Some(backend) = self.backend.lock().take() {
            self.block.remove_backend(&backend);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::microvm::MICROVM;
    use crate::board::tests::{add, board};
    use qapi_schema::block_core::Commands as _;
    use serde_json::json;

    fn add_node(board: &Board, name: &str) {
        let node = json!({"driver": "null-co", "node-name": name, "size": 1 << 20});
        let node = FromValue::from_value(node, &Visitor::json()).expect("valid");
        board.block().blockdev_add(node).expect("added");
    }

    fn with_node(name: &str) -> Arc<Board> {
        let (board, _) = board(&MICROVM, 1 << 20);
        add_node(&board, name);
        board
    }

    fn word(board: &Board, offset: u64) -> u32 {
        let mut data = [0; 4];
        board.bus().memory_read(0xfeb0_0000 + 7 * 0x200 + offset, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn properties_left_alone_are_the_core_s_defaults() {
        let site = Site { path: "", id: None, bus: 0, values: &read(json!({})) };
        let modern = VirtioBlkOptions { version_1: true, ..VirtioBlkOptions::default() };
        assert_eq!(options_of(&site, Version::Modern), modern);
    }

    fn read(set: serde_json::Value) -> Values {
        let set = set.as_object().cloned().unwrap_or_default();
        Values::read(TYPE.properties, TYPE.name, set, Dialect::Json).expect("valid")
    }

    #[test]
    fn the_driver_finds_the_disk_in_the_last_slot_until_it_is_plugged_out() {
        let board = with_node("n");
        board.built();
        add(&board, json!({"driver": "virtio-blk-device", "drive": "n", "id": "d"})).expect("plugged in");
        assert_eq!((word(&board, 8), word(&board, 0x100)), (2, 1 << 11), "a disk, and its size in sectors");
        assert_eq!(board.block().query_block().expect("told")[0].qdev.as_deref(), Some("d"));
        board.device_del("d").expect("plugged out");
        assert_eq!((word(&board, 8), word(&board, 0x100)), (0, 0));
        assert_eq!(board.block().query_block().expect("told"), []);
        assert!(board.device_del("d").is_err());
        add(&board, json!({"driver": "virtio-blk-device", "drive": "n", "id": "d"})).expect("free again");
    }

    #[test]
    fn what_makes_no_sense_leaves_everything_as_it_was() {
        let board = with_node("n");
        let refused = |arguments: serde_json::Value| {
            let mut device = json!({"driver": "virtio-blk-device", "drive": "n"});
            device.as_object_mut().expect("one").extend(arguments.as_object().expect("one").clone());
            add(&board, device).expect_err("refused")
        };
        assert!(refused(json!({"queue-size": 3})).contains("queue-size"));
        assert!(refused(json!({"queue-size": 1 << 16})).contains("queue-size"));
        assert!(refused(json!({"num-queues": 0})).contains("num-queues"));
        assert!(refused(json!({"logical_block_size": 1000})).contains("logical_block_size"));
        assert!(refused(json!({"werror": "panic"})).contains("werror"));
        assert!(refused(json!({"rerror": "enospc"})).contains("rerror"));
        assert!(refused(json!({"write-cache": true})).contains("write-cache"));
        assert!(refused(json!({"drive": "m"})).contains('m'));
        assert_eq!(refused(json!({"drive": ""})), "drive property not set");
        assert_eq!(refused(json!({"packed": true})), "Property 'virtio-blk-device.packed' not found");
        assert_eq!(board.block().query_block().expect("told"), []);
        assert!(board.slots().iter().all(|slot| slot.transport.is_empty()));
    }

    #[test]
    fn a_disk_shows_what_became_of_the_properties_that_were_left_alone() {
        let board = with_node("n");
        let shown = |more: serde_json::Value, properties: &[&str]| {
            let mut device = json!({"driver": "virtio-blk-device", "drive": "n", "id": "d"});
            device.as_object_mut().expect("one").extend(more.as_object().expect("one").clone());
            add(&board, device).expect("plugged in");
            let tree = board.tree();
            let (path, disk) = tree.resolve("/machine/peripheral/d").expect("there");
            let values: Vec<_> = properties.iter().map(|name| disk.get(&path, name).expect("there")).collect();
            board.device_del("d").expect("plugged out");
            serde_json::Value::from(values)
        };
        let properties = ["serial", "num-queues", "cyls", "heads", "secs", "discard_granularity", "write-cache"];
        assert_eq!(shown(json!({}), &properties), json!(["", 1, 2, 16, 63, u32::MAX, "auto"]));
        let set = json!({"serial": "s", "num-queues": 2, "cyls": 20, "heads": 3, "secs": 5});
        assert_eq!(shown(set, &properties[..5]), json!(["s", 2, 20, 3, 5]));
    }

    #[test]
    fn sizes_are_told_as_such_and_may_have_a_unit() {
        let sizes = TYPE.properties.iter().filter(|property| property.kind.type_name() == "size");
        let sizes: Vec<_> = sizes.map(|property| property.name).collect();
        let expected =
            ["logical_block_size", "physical_block_size", "min_io_size", "opt_io_size", "discard_granularity"];
        assert_eq!(sizes, expected);
        for name in expected {
            let set = |size: &str, dialect| {
                let set = json!({ name: size }).as_object().cloned().unwrap_or_default();
                Values::read(TYPE.properties, TYPE.name, set, dialect)
            };
            assert_eq!(set("4k", Dialect::Keyval).expect("accepted").number::<u32>(name), 4096);
            set("4G", Dialect::Keyval).expect_err("too large");
            set("4k", Dialect::Json).expect_err("a text");
        }
    }

    #[test]
    fn there_are_as_many_disks_as_slots() {
        let board = with_node("n");
        for slot in 0..board.slots().len() {
            let node = format!("n{slot}");
            add_node(&board, &node);
            add(&board, json!({"driver": "virtio-blk-device", "drive": node})).expect("a free slot");
        }
        let refused = add(&board, json!({"driver": "virtio-blk-device", "drive": "n"}));
        assert_eq!(refused, Err("No 'virtio-bus' bus found for device 'virtio-blk-device'".into()));
    }
}
