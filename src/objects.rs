//! What `object-add` makes, by id, and the RAM of the machine among it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hw::memory_backend::{self, MemoryBackend};
use hw::qom::{Member, Object};
use parking_lot::Mutex;
use qapi_schema::machine::Memdev;
use qapi_schema::qom::{ObjectOptions, ObjectOptionsKind, ObjectType};
use qapi_schema::{Error, check_identifier};

/// The objects there are. Lock order: `entries`, then that of the credentials.
#[derive(Debug, Default)]
pub struct Objects {
    credentials: Arc<sockets::Objects>,
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// What has an id.
#[derive(Debug)]
enum Entry {
    /// An object that is being made.
    Claimed,
    /// Credentials, which are kept where they are used.
    Credentials,
    /// RAM that was asked for.
    Memory(MemoryBackend),
    /// The RAM of the machine, and how much it is.
    MachineRam(u64),
}

impl Objects {
    /// The credentials among them.
    pub const fn credentials(&self) -> &Arc<sockets::Objects> {
        &self.credentials
    }

    /// Creates an object, as `object-add` does.
    ///
    /// # Errors
    /// Its id is in use, or what is wrong with its options.
    pub fn add(&self, arguments: ObjectOptions) -> Result<(), Error> {
        let ObjectOptions { id, qom_type } = arguments;
        check_identifier("id", &id)?;
        self.claim(&id, Entry::Claimed)?;
        // Files are read without the lock.
        let made = match qom_type {
            ObjectOptionsKind::TlsCredsX509(properties) => {
                self.credentials.add(&id, properties).map(|()| Entry::Credentials)
            }
            ObjectOptionsKind::MemoryBackendRam(properties) => {
                MemoryBackend::new(&id, properties.size).map(Entry::Memory)
            }
        };
        let mut entries = self.entries.lock();
        match made {
            Ok(entry) => drop(entries.insert(id, entry)),
            Err(error) => {
                entries.remove(&id);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes an object, as `object-del` does.
    ///
    /// # Errors
    /// There is none of this id, or it is the machine's.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let mut entries = self.entries.lock();
        match entries.get(id) {
            None | Some(Entry::Claimed) => return Err(Error::generic(format!("object '{id}' not found"))),
            Some(Entry::MachineRam(_)) => {
                return Err(Error::generic(format!("object '{id}' is in use, can not be deleted")));
            }
            Some(Entry::Credentials) => self.credentials.remove(id)?,
            Some(Entry::Memory(_)) => {}
        }
        entries.remove(id);
        Ok(())
    }

    /// Gives the RAM of the machine its place.
    ///
    /// # Errors
    /// There is an object of this id.
    pub fn add_machine_ram(&self, id: &str, size: u64) -> Result<(), Error> {
        self.claim(id, Entry::MachineRam(size))
    }

    fn claim(&self, id: &str, entry: Entry) -> Result<(), Error> {
        let mut entries = self.entries.lock();
        if entries.contains_key(id) {
            return Err(Error::generic(format!("Duplicate object '{id}'")));
        }
        entries.insert(id.to_owned(), entry);
        Ok(())
    }

    /// What `query-memdev` tells.
    pub fn memdevs(&self) -> Vec<Memdev> {
        let info = |(id, entry): (&String, &Entry)| match entry {
            Entry::Memory(memory) => Some(memory_backend::info(id, memory.size())),
            Entry::MachineRam(size) => Some(memory_backend::info(id, *size)),
            Entry::Claimed | Entry::Credentials => None,
        };
        self.entries.lock().iter().filter_map(info).collect()
    }

    /// All of them, as a container in the tree of objects.
    pub fn tree(&self) -> Object {
        let mut container = Object::new("container");
        for (id, entry) in self.entries.lock().iter() {
            let object = match entry {
                Entry::Claimed => continue,
                Entry::Credentials => Object::new(ObjectType::TlsCredsX509.as_str()),
                Entry::Memory(memory) => memory_backend::object(memory.size()),
                Entry::MachineRam(size) => memory_backend::object(*size),
            };
            container.add(id, Member::Child(object));
        }
        container
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qapi_schema::{FromValue, Visitor};
    use serde_json::{Value, json};

    fn add(objects: &Objects, options: Value) -> Result<(), String> {
        let options = FromValue::from_value(options, &Visitor::json()).expect("valid");
        objects.add(options).map_err(|error| error.to_string())
    }

    #[test]
    fn an_id_is_given_once_and_free_again_when_nothing_came_of_it() {
        let objects = Objects::default();
        let memory = |size: u64| json!({"qom-type": "memory-backend-ram", "id": "m", "size": size});
        let no_files = json!({"qom-type": "tls-creds-x509", "id": "m", "dir": "/nowhere"});
        objects.add_machine_ram("ram", 4096).expect("free");
        assert!(add(&objects, memory(0)).is_err() && add(&objects, no_files.clone()).is_err());
        assert_eq!(add(&objects, memory(8192)), Ok(()));
        assert_eq!(add(&objects, no_files), Err("Duplicate object 'm'".into()));
        assert!(objects.add_machine_ram("m", 1).is_err());
        let sizes: Vec<_> = objects.memdevs().into_iter().map(|memdev| (memdev.id, memdev.size)).collect();
        assert_eq!(sizes, [(Some("m".into()), 8192), (Some("ram".into()), 4096)]);
        let remove = |id| objects.remove(id).map_err(|error| error.to_string());
        assert_eq!(remove("ram"), Err("object 'ram' is in use, can not be deleted".into()));
        assert_eq!((remove("m"), remove("m")), (Ok(()), Err("object 'm' not found".into())));
        assert_eq!(objects.memdevs().len(), 1);
    }
}
