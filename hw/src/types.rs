//! The types of objects there are, each below its parent. What is listed here works.

use qapi_schema::Error;

use crate::device::{BusKind, Plug, Property};
use crate::virtio::disk;
use crate::{board, ib700, memory_backend, power, pvpanic};

/// A type of objects.
#[derive(Debug)]
pub struct Type {
    /// Its name.
    pub name: &'static str,
    /// The type that it is a kind of.
    pub parent: Option<&'static str>,
    /// Whether there are only objects of the types below it.
    pub is_abstract: bool,
    /// What it is, for people.
    pub description: &'static str,
    /// What its user may set.
    pub properties: &'static [Property],
    /// Which bus it needs and how it is made, if a user may plug it in.
    pub plug: Option<(BusKind, Plug)>,
}

impl Type {
    /// A type that others are kinds of.
    pub const fn abstraction(name: &'static str, parent: &'static str) -> Self {
        Self { is_abstract: true, ..Self::fixed(name, parent) }
    }

    /// A type of what no user plugs in.
    pub const fn fixed(name: &'static str, parent: &'static str) -> Self {
        Self { name, parent: Some(parent), is_abstract: false, description: "", properties: &[], plug: None }
    }

    /// The type of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        all().find(|of| of.name == name)
    }

    /// Whether it is `ancestor` or a kind of it.
    pub fn implements(&self, ancestor: &str) -> bool {
        self.name == ancestor || self.parent.and_then(Self::find).is_some_and(|parent| parent.implements(ancestor))
    }

    /// The type of devices that a user may plug in under this name.
    ///
    /// # Errors
    /// There is none.
    pub fn pluggable(name: &str) -> Result<(&'static Self, BusKind, Plug), Error> {
        let of = Self::find(name).filter(|of| of.implements("device"));
        let of = of.ok_or_else(|| Error::generic(format!("'{name}' is not a valid device model name")))?;
        let expected = |kind| Error::generic(format!("Parameter 'driver' expects {kind} device type"));
        match of.plug {
            Some((bus, plug)) => Ok((of, bus, plug)),
            None if of.is_abstract => Err(expected("a non-abstract")),
            None => Err(expected("a pluggable")),
        }
    }
}

/// All types.
pub fn all() -> impl Iterator<Item = &'static Type> {
    TYPES.iter()
}

static TYPES: &[Type] = &[
    Type { parent: None, ..Type::abstraction("object", "") },
    Type::fixed("container", "object"),
    Type::abstraction("tls-creds", "object"),
    Type::fixed("tls-creds-x509", "tls-creds"),
    Type::abstraction("memory-backend", "object"),
    memory_backend::TYPE,
    Type::abstraction("bus", "object"),
    Type::fixed(BusKind::System.type_name(), "bus"),
    Type::fixed(BusKind::Isa.type_name(), "bus"),
    Type::abstraction(BusKind::Virtio.wanted(), "bus"),
    Type::fixed(BusKind::Virtio.type_name(), BusKind::Virtio.wanted()),
    Type::abstraction("machine", "object"),
    board::none::TYPE,
    board::microvm::TYPE,
    board::virt::TYPE,
    Type::abstraction("device", "object"),
    Type::abstraction("cpu", "device"),
    board::microvm::CPU,
    board::virt::CPU,
    Type::abstraction("sys-bus-device", "device"),
    board::microvm::CONTROLLER,
    board::virt::CONTROLLER,
    board::slot::TYPE,
    power::TYPE,
    pvpanic::MMIO_TYPE,
    Type::abstraction("isa-device", "device"),
    pvpanic::TYPE,
    ib700::TYPE,
    Type::abstraction("virtio-device", "device"),
    disk::TYPE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_type_has_a_name_of_its_own_and_comes_from_object_by_abstract_types() {
        let names: BTreeSet<_> = all().map(|of| of.name).collect();
        assert_eq!(names.len(), all().count());
        for of in all() {
            assert!(of.implements("object"), "{}", of.name);
            assert!(of.parent.and_then(Type::find).is_none_or(|parent| parent.is_abstract), "{}", of.name);
            assert!(!(of.is_abstract && of.plug.is_some()), "{}", of.name);
        }
    }

    #[test]
    fn only_what_can_be_plugged_in_is_a_device_model() {
        let refused = |name| Type::pluggable(name).expect_err(name).to_string();
        assert_eq!(refused("e1000"), "'e1000' is not a valid device model name");
        assert_eq!(refused("machine"), "'machine' is not a valid device model name");
        assert_eq!(refused("virtio-device"), "Parameter 'driver' expects a non-abstract device type");
        assert_eq!(refused("virtio-mmio"), "Parameter 'driver' expects a pluggable device type");
    }
}
