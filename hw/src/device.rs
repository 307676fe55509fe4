//! Devices: what a type of device is, what its user may set, and what a board asks of one that is plugged in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use qapi_schema::block_core::BlockdevOnError;
use qapi_schema::common::OnOffAuto;
use qapi_schema::qom::ObjectPropertyInfo;
use qapi_schema::{Dialect, Error, FromValue, Visitor};
use serde_json::{Map, Value};
use vl::Transaction;

use crate::board::Board;

/// A device that is plugged into a board.
///
/// Lock order: the VM's, the board's, then what the device has.
pub trait Device: Send + Sync {
    /// Everything is as it was when the device was plugged in. Called under the VM's lock: must not block.
    fn reset(&self, _tx: &mut Transaction<'_>) {}

    /// The guest is to be asked to shut down. Called under the VM's lock: must not block.
    fn powerdown(&self) {}

    /// Notes what became of the properties that were left open. Called once, when it has been plugged in.
    fn settle(&self, _values: &mut Values) {}

    /// Leaves its place on the board: the guest reaches it no more.
    fn unplug(&self, _board: &Board) {}
}

/// Makes a device and puts it into its place.
pub type Plug = fn(&Board, &Site<'_>) -> Result<Arc<dyn Device>, Error>;

/// Where a device comes to stand.
#[derive(Debug)]
pub struct Site<'a> {
    /// Its path in the tree.
    pub path: &'a str,
    /// Its identifier, if it has one.
    pub id: Option<&'a str>,
    /// The number of its bus, among those of one kind.
    pub bus: usize,
    /// What its user has set.
    pub values: &'a Values,
}

/// The kinds of bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusKind {
    /// The board itself: devices in memory.
    System,
    /// Devices at ports.
    Isa,
    /// A slot for one virtio device.
    Virtio,
}

impl BusKind {
    /// The name that errors call it by: that of the type of bus which a device asks for.
    pub const fn wanted(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Isa => "ISA",
            Self::Virtio => "virtio-bus",
        }
    }

    /// The type of such a bus.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Isa => "ISA",
            Self::Virtio => "virtio-mmio-bus",
        }
    }

    /// Whether devices may be plugged and unplugged once the machine is built.
    pub const fn is_hotpluggable(self) -> bool {
        match self {
            Self::System | Self::Isa => false,
            Self::Virtio => true,
        }
    }
}

/// What a user may set of a device.
#[derive(Debug)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it takes, and what it is if it is not set.
    pub kind: Kind,
    /// What it means.
    pub description: &'static str,
}

/// A kind of value with its default.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A switch.
    Bool(bool),
    /// A number of 8 bits.
    Uint8(u8),
    /// A number of 16 bits.
    Uint16(u16),
    /// A number of 32 bits.
    Uint32(u32),
    /// A number of bytes.
    Size(u64),
    /// A number of bytes that fits in 32 bits.
    Size32(u32),
    /// A text, empty if it is not set.
    Text,
    /// A switch that can be left to the program, as it is if it is not set.
    OnOffAuto,
    /// What to do about an error, `auto` if it is not set.
    OnError,
}

impl Kind {
    /// What `qom-list` calls it.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Uint8(_) => "uint8",
            Self::Uint16(_) => "uint16",
            Self::Uint32(_) => "uint32",
            Self::Size(_) | Self::Size32(_) => "size",
            Self::Text => "str",
            Self::OnOffAuto => "OnOffAuto",
            Self::OnError => "BlockdevOnError",
        }
    }

    fn default(self) -> Option<Value> {
        match self {
            Self::Bool(value) => Some(value.into()),
            Self::Uint8(value) => Some(value.into()),
            Self::Uint16(value) => Some(value.into()),
            Self::Uint32(value) => Some(value.into()),
            Self::Size(value) => Some(value.into()),
            Self::Size32(value) => Some(value.into()),
            Self::Text => None,
            Self::OnOffAuto | Self::OnError => Some("auto".into()),
        }
    }

    fn read(self, value: Value, at: &Visitor<'_>) -> Result<Value, Error> {
        match self {
            Self::Bool(_) => bool::from_value(value, at).map(Value::from),
            Self::Uint8(_) => u8::from_value(value, at).map(Value::from),
            Self::Uint16(_) => u16::from_value(value, at).map(Value::from),
            Self::Uint32(_) | Self::Size32(_) => u32::from_value(value, at).map(Value::from),
            Self::Size(_) => u64::from_value(value, at).map(Value::from),
            Self::Text => String::from_value(value, at).map(Value::from),
            Self::OnOffAuto => OnOffAuto::from_value(value, at).map(|value| value.as_str().into()),
            Self::OnError => BlockdevOnError::from_value(value, at).map(|value| value.as_str().into()),
        }
    }
}

impl From<&Property> for ObjectPropertyInfo {
    fn from(property: &Property) -> Self {
        Self {
            name: property.name.into(),
            r#type: property.kind.type_name().into(),
            description: Some(property.description.into()),
            default_value: property.kind.default(),
        }
    }
}

/// The properties of one device: what its user has set, and the defaults of the rest.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// Reads what is set of these properties. `of` is the device's type, for errors.
    ///
    /// # Errors
    /// There is no such property, or it does not take this value.
    pub fn read(
        properties: &'static [Property],
        of: &str,
        set: Map<String, Value>,
        dialect: Dialect,
    ) -> Result<Self, Error> {
        // A text has no default to tell of.
        let unset = |property: &Property| (property.name, property.kind.default().unwrap_or_else(|| "".into()));
        let mut values: BTreeMap<_, _> = properties.iter().map(unset).collect();
        let root = Visitor::root(dialect);
        for (name, value) in set {
            let property = properties.iter().find(|property| property.name == name);
            let property = property.ok_or_else(|| Error::generic(format!("Property '{of}.{name}' not found")))?;
            values.insert(property.name, property.kind.read(value, &root.member(&name))?);
        }
        Ok(Self(values))
    }

    /// The value of a property; null if there is no such property.
    pub fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// That of a switch.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).as_bool().unwrap_or(false)
    }

    /// That of a number.
    pub fn number<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        self.get(name).as_u64().and_then(|number| number.try_into().ok()).unwrap_or_default()
    }

    /// That of a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).as_str()
    }

    /// Notes what became of a property that was left open.
    pub fn settle(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.insert(name, value.into());
    }
}

/// A device and where it stands.
pub struct Plugged {
    /// Its identifier, if it has one.
    pub id: Option<String>,
    /// Its path in the tree.
    pub path: String,
    /// Its type.
    pub of: &'static crate::types::Type,
    /// Its bus, and the number of that among its kind; `None` for what is wired to the board for good.
    pub bus: Option<(BusKind, usize)>,
    /// Whether it came once the machine was built.
    pub hotplugged: bool,
    /// What its user has set.
    pub values: Values,
    /// The device itself.
    pub device: Arc<dyn Device>,
}

impl fmt::Debug for Plugged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugged").field("path", &self.path).finish_non_exhaustive()
    }
}
