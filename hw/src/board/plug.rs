//! Devices come and go.

use qapi_schema::qdev::event;
use qapi_schema::{Dialect, Error, FromValue, Visitor, check_identifier};
use serde_json::{Map, Value};

use super::Board;
use crate::device::{BusKind, Plugged, Site, Values};
use crate::types::Type;

/// What is remembered from one device to the next.
#[derive(Debug, Default)]
pub(super) struct Plugging {
    /// The machine is built.
    pub(super) built: bool,
    /// How many devices had no identifier.
    anonymous: usize,
}

impl Plugging {
    pub(super) fn add(&mut self, board: &Board, arguments: Map<String, Value>, dialect: Dialect) -> Result<(), Error> {
        let mut arguments = arguments;
        let root = Visitor::root(dialect);
        let mut take = |name: &str| {
            let text = |value| String::from_value(value, &root.member(name));
            arguments.remove(name).map(text).transpose()
        };
        let driver = take("driver")?.ok_or_else(|| Error::generic("Parameter 'driver' is missing"))?;
        let (of, kind, plug) = Type::pluggable(&driver)?;
        let bus = match take("bus")? {
            Some(name) => board.bus_of_name(&name, of, kind)?,
            None => board.free_bus(of, kind)?,
        };
        if self.built && !kind.is_hotpluggable() {
            return Err(not_hotpluggable(kind, bus));
        }
        let id = take("id")?;
        let path = match &id {
            None => format!("/machine/peripheral-anon/device[{}]", self.anonymous),
            Some(id) => {
                check_identifier("id", id)?;
                format!("/machine/peripheral/{id}")
            }
        };
        if let Some(id) = &id
            && board.devices.lock().iter().any(|plugged| plugged.id.as_ref() == Some(id))
        {
            return Err(Error::generic(format!("Duplicate device ID '{id}'")));
        }
        let mut values = Values::read(of.properties, of.name, arguments, dialect)?;
        let device = plug(board, &Site { path: &path, id: id.as_deref(), bus, values: &values })?;
        device.settle(&mut values);
        self.anonymous += usize::from(id.is_none());
        let bus = Some((kind, bus));
        board.devices.lock().push(Plugged { id, path, of, bus, hotplugged: self.built, values, device });
        Ok(())
    }

    pub(super) fn remove(&self, board: &Board, id: &str) -> Result<(), Error> {
        let path = if id.starts_with('/') { id.into() } else { format!("/machine/peripheral/{id}") };
        let tree = board.tree();
        let not_found = |error: Error| Error::new(error.class(), format!("Device '{id}' not found"));
        let (path, _) = tree.resolve(&path).map_err(not_found)?;
        let mut devices = board.devices.lock();
        let found = devices.iter().position(|plugged| plugged.path == path);
        let at = found.ok_or_else(|| Error::generic(format!("{id} is not a device")))?;
        let (kind, bus) = devices[at].bus.unwrap_or((BusKind::System, 0));
        if !kind.is_hotpluggable() {
            return Err(not_hotpluggable(kind, bus));
        }
        let Plugged { id, path, device, .. } = devices.remove(at);
        drop(devices);
        device.unplug(board);
        board.vm().emit(&event::DeviceDeleted { device: id, path });
        Ok(())
    }
}

fn not_hotpluggable(kind: BusKind, bus: usize) -> Error {
    Error::generic(format!("Bus '{}' does not support hotplugging", name(kind, bus)))
}

/// What a bus is called.
pub(super) fn name(kind: BusKind, bus: usize) -> String {
    match kind {
        BusKind::System => "main-system-bus".into(),
        BusKind::Isa => "isa.0".into(),
        BusKind::Virtio => format!("virtio-mmio-bus.{bus}"),
    }
}

impl Board {
    fn buses(&self) -> impl Iterator<Item = (BusKind, usize)> {
        let isa = self.kind.has_isa.then_some((BusKind::Isa, 0));
        let slots = (0..self.slots.len()).map(|slot| (BusKind::Virtio, slot));
        [(BusKind::System, 0)].into_iter().chain(isa).chain(slots)
    }

    fn bus_of_name(&self, wanted: &str, of: &Type, kind: BusKind) -> Result<usize, Error> {
        let found = self.buses().find(|&(kind, bus)| name(kind, bus) == wanted);
        match found {
            None => Err(Error::generic(format!("Bus '{wanted}' not found"))),
            Some((other, _)) if other != kind => {
                Err(Error::generic(format!("Device '{}' can't go on {} bus", of.name, other.type_name())))
            }
            Some(found) if self.is_full(found) => Err(Error::generic(format!("Bus '{wanted}' is full"))),
            Some((_, bus)) => Ok(bus),
        }
    }

    /// The last that is free: so drivers find the first device in the last slot, as with QEMU.
    fn free_bus(&self, of: &Type, kind: BusKind) -> Result<usize, Error> {
        let found = self.buses().filter(|&found| found.0 == kind && !self.is_full(found)).last();
        let none = || Error::generic(format!("No '{}' bus found for device '{}'", kind.wanted(), of.name));
        found.map(|(_, bus)| bus).ok_or_else(none)
    }

    fn is_full(&self, (kind, bus): (BusKind, usize)) -> bool {
        kind == BusKind::Virtio && self.slots.get(bus).is_some_and(|slot| !slot.transport.is_empty())
    }
}
