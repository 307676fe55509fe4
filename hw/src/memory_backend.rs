//! `memory-backend-ram`: RAM that is set aside under a name, as `query-memdev` shows it.

use qapi_schema::Error;
use qapi_schema::machine::{HostMemPolicy, Memdev};
use vm_memory::MmapRegion;

use crate::device::{Kind, Property};
use crate::qom::Object;
use crate::types::Type;

/// The type of such an object.
pub const TYPE: Type = Type {
    description: "RAM that is set aside",
    properties: &[Property { name: "size", kind: Kind::Size(0), description: "how much, in bytes" }],
    ..Type::fixed("memory-backend-ram", "memory-backend")
};

/// RAM of this process. A page of it is occupied once it is written to.
#[derive(Debug)]
pub struct MemoryBackend {
    size: u64,
    _pages: MmapRegion,
}

impl MemoryBackend {
    /// Sets `size` bytes aside.
    ///
    /// # Errors
    /// There is no such RAM.
    pub fn new(id: &str, size: u64) -> Result<Self, Error> {
        if size == 0 {
            return Err(Error::generic("property 'size' of memory-backend-ram doesn't take value '0'"));
        }
        let refused =
            |error: &dyn std::fmt::Display| Error::generic(format!("cannot set up guest memory '{id}': {error}"));
        let length = usize::try_from(size).map_err(|error| refused(&error))?;
        let pages = MmapRegion::new(length).map_err(|error| refused(&error))?;
        Ok(Self { size, _pages: pages })
    }

    /// How much it is, in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// What `query-memdev` tells of so much RAM under this name.
pub fn info(id: &str, size: u64) -> Memdev {
    Memdev {
        id: Some(id.into()),
        size,
        merge: false,
        dump: true,
        prealloc: false,
        share: false,
        reserve: Some(false),
        host_nodes: Vec::new(),
        policy: HostMemPolicy::Default,
    }
}

/// The same in the tree of objects.
pub fn object(size: u64) -> Object {
    let mut object = Object::new(TYPE.name);
    object.add_value("size", Kind::Size(0).type_name(), size);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ram_that_can_be_had_is_set_aside() {
        assert_eq!(MemoryBackend::new("m", 4097).expect("a little").size(), 4097);
        let refused = |size| MemoryBackend::new("m", size).expect_err("refused").to_string();
        assert_eq!(refused(0), "property 'size' of memory-backend-ram doesn't take value '0'");
        assert!(refused(1 << 60).starts_with("cannot set up guest memory 'm': "));
        assert!(refused(u64::MAX).starts_with("cannot set up guest memory 'm': "));
    }
}
