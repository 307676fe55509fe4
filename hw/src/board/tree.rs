//! A board's objects as a tree.

use super::{Board, plug};
use crate::device::{BusKind, Plugged};
use crate::qom::{Member, Object};

impl Board {
    /// The objects there are at this moment, from the root.
    pub fn tree(&self) -> Object {
        let mut containers =
            ["peripheral", "peripheral-anon", "unattached"].map(|name| (name, Object::new("container")));
        for plugged in self.devices.lock().iter() {
            let Some((parent, name)) = plugged.path.rsplit_once('/') else { continue };
            if let Some((_, container)) = containers.iter_mut().find(|(name, _)| parent.ends_with(&format!("/{name}")))
            {
                container.add(name, Member::Child(self.object(plugged)));
            }
        }
        let [_, _, (_, unattached)] = &mut containers;
        unattached.add("sysbus", Member::Child(Object::new(BusKind::System.type_name())));
        if self.kind.has_isa {
            unattached.add(plug::name(BusKind::Isa, 0), Member::Child(Object::new(BusKind::Isa.type_name())));
        }

        let mut machine = Object::new(self.kind.type_name);
        machine.add_machine_values(self.options.ram_size, self.options.cpus);
        if let Some(controller) = &self.kind.controller {
            machine.add(controller.name, Member::Child(Object::new(controller.type_name)));
        }
        for (name, container) in containers {
            machine.add(name, Member::Child(container));
        }
        let mut root = Object::new("container");
        root.add("machine", Member::Child(machine));
        root
    }

    fn object(&self, plugged: &Plugged) -> Object {
        let Plugged { of, bus, hotplugged, values, .. } = plugged;
        let mut object = Object::new(of.name);
        if let Some((kind, bus)) = *bus {
            object.add("parent_bus", Member::Link { of: "bus", path: self.bus_path(kind, bus) });
        }
        object.add_device_values(*hotplugged, bus.is_some_and(|(kind, _)| kind.is_hotpluggable()));
        for property in of.properties {
            object.add_value(property.name, property.kind.type_name(), values.get(property.name).clone());
        }
        let slot = self.slots.iter().position(|slot| slot.path == plugged.path);
        if let Some(slot) = slot {
            let bus = Object::new(BusKind::Virtio.type_name());
            object.add(plug::name(BusKind::Virtio, slot), Member::Child(bus));
        }
        object
    }

    fn bus_path(&self, kind: BusKind, bus: usize) -> String {
        let name = plug::name(kind, bus);
        match kind {
            BusKind::System => "/machine/unattached/sysbus".into(),
            BusKind::Isa => format!("/machine/unattached/{name}"),
            BusKind::Virtio => self.slots.get(bus).map(|slot| format!("{}/{name}", slot.path)).unwrap_or_default(),
        }
    }
}
