//! The tree of objects that `qom-list` and `qom-get` show: a picture of the machine at one moment.

use qapi_schema::qom::{ObjectPropertyInfo, ObjectTypeInfo};
use qapi_schema::{Error, ErrorClass};
use serde_json::{Value, json};

use crate::types::{self, Type};

/// An object with all that is below it.
#[derive(Clone, Debug)]
pub struct Object {
    type_name: &'static str,
    members: Vec<(String, Member)>,
}

/// What an object has under a name.
#[derive(Clone, Debug)]
pub enum Member {
    /// An object that belongs to it.
    Child(Object),
    /// The path of another object, and the type that it is of.
    Link {
        /// The type.
        of: &'static str,
        /// The path.
        path: String,
    },
    /// A value, and what its type is called.
    Value {
        /// The type.
        of: &'static str,
        /// The value.
        value: Value,
    },
}

impl Object {
    /// An object that has nothing yet.
    pub const fn new(type_name: &'static str) -> Self {
        Self { type_name, members: Vec::new() }
    }

    /// Gives it a member.
    pub fn add(&mut self, name: impl Into<String>, member: Member) {
        self.members.push((name.into(), member));
    }

    /// Gives it a value.
    pub fn add_value(&mut self, name: &str, of: &'static str, value: impl Into<Value>) {
        self.add(name, Member::Value { of, value: value.into() });
    }

    /// Gives it what every device has.
    pub fn add_device_values(&mut self, hotplugged: bool, hotpluggable: bool) {
        self.add_value("realized", "bool", true);
        self.add_value("hotplugged", "bool", hotplugged);
        self.add_value("hotpluggable", "bool", hotpluggable);
    }

    /// Gives it what every machine has.
    pub fn add_machine_values(&mut self, ram_size: u64, cpus: u32) {
        self.add_value("memory", "MemorySizeConfiguration", json!({ "size": ram_size }));
        self.add_value("smp", "SMPConfiguration", json!({ "cpus": cpus }));
    }

    /// The child of this name.
    pub fn child(&mut self, name: &str) -> Option<&mut Self> {
        self.members.iter_mut().find_map(|(other, member)| match member {
            Member::Child(child) if other == name => Some(child),
            Member::Child(_) | Member::Link { .. } | Member::Value { .. } => None,
        })
    }

    /// All that it has, as `qom-list` tells.
    pub fn list(&self) -> Vec<ObjectPropertyInfo> {
        let info = |name: &str, of: String| ObjectPropertyInfo {
            name: name.into(),
            r#type: of,
            description: None,
            default_value: None,
        };
        let mut list = vec![info("type", "string".into())];
        list.extend(self.members.iter().map(|(name, member)| match member {
            Member::Child(child) => info(name, format!("child<{}>", child.type_name)),
            Member::Link { of, .. } => info(name, format!("link<{of}>")),
            Member::Value { of, .. } => info(name, (*of).into()),
        }));
        list
    }

    /// What it has under this name; `path` is its own.
    ///
    /// # Errors
    /// There is nothing of this name.
    pub fn get(&self, path: &str, property: &str) -> Result<Value, Error> {
        if property == "type" {
            return Ok(self.type_name.into());
        }
        let found = self.members.iter().find(|(name, _)| name == property);
        match found {
            None => Err(Error::generic(format!("Property '{}.{property}' not found", self.type_name))),
            Some((name, Member::Child(_))) => Ok(below(path, name).into()),
            Some((_, Member::Link { path, .. })) => Ok(path.as_str().into()),
            Some((_, Member::Value { value, .. })) => Ok(value.clone()),
        }
    }

    /// Why what it has under this name can't be set: nothing can, once it is made.
    pub fn refuse(&self, path: &str, property: &str) -> Error {
        let refusal = || Error::generic(format!("Property '{}.{property}' is not writable", self.type_name));
        self.get(path, property).map_or_else(|error| error, |_| refusal())
    }

    /// The object at a path: a whole one from here, which starts with a slash, or the end of one. Returns the whole path,
    /// too.
    ///
    /// # Errors
    /// There is no such object, or there are several.
    pub fn resolve(&self, path: &str) -> Result<(String, &Self), Error> {
        let steps: Vec<_> = path.split('/').filter(|step| !step.is_empty()).collect();
        let mut found = Vec::new();
        if path.starts_with('/') {
            found.extend(self.walk("", &steps));
        } else if !steps.is_empty() {
            self.search("", &steps, &mut found);
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some((path, object)), None) => Ok((if path.is_empty() { "/".into() } else { path }, object)),
            (Some(_), Some(_)) => Err(Error::generic(format!("Path '{path}' is ambiguous"))),
            (None, _) => Err(Error::new(ErrorClass::DeviceNotFound, format!("Device '{path}' not found"))),
        }
    }

    fn children(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.members.iter().filter_map(|(name, member)| match member {
            Member::Child(child) => Some((name.as_str(), child)),
            Member::Link { .. } | Member::Value { .. } => None,
        })
    }

    /// The object that these steps lead to from here, where `path` is.
    fn walk(&self, path: &str, steps: &[&str]) -> Option<(String, &Self)> {
        let Some((step, rest)) = steps.split_first() else { return Some((path.into(), self)) };
        let (name, child) = self.children().find(|(name, _)| name == step)?;
        child.walk(&below(path, name), rest)
    }

    /// Those that these steps lead to from here or from anywhere below.
    fn search<'a>(&'a self, path: &str, steps: &[&str], found: &mut Vec<(String, &'a Self)>) {
        found.extend(self.walk(path, steps));
        self.children().for_each(|(name, child)| child.search(&below(path, name), steps, found));
    }
}

fn below(path: &str, name: &str) -> String {
    let path = path.trim_end_matches('/');
    format!("{path}/{name}")
}

/// The types that `qom-list-types` tells: those that are a kind of `implements`, with `with_abstract` also the abstract ones.
pub fn list_types(implements: &str, with_abstract: bool) -> Vec<ObjectTypeInfo> {
    let wanted = types::all().filter(|of| of.implements(implements) && (with_abstract || !of.is_abstract));
    let info = |of: &Type| ObjectTypeInfo {
        name: of.name.into(),
        r#abstract: of.is_abstract.then_some(true),
        parent: of.parent.map(Into::into),
    };
    wanted.map(info).collect()
}

/// What `device-list-properties` tells of a type of devices.
///
/// # Errors
/// There is no such type, or it is none of devices.
pub fn list_properties(type_name: &str) -> Result<Vec<ObjectPropertyInfo>, Error> {
    let not_found = || Error::new(ErrorClass::DeviceNotFound, format!("Device '{type_name}' not found"));
    let of = Type::find(type_name).ok_or_else(not_found)?;
    if of.is_abstract || !of.implements("device") {
        return Err(Error::generic("Parameter 'typename' expects a non-abstract device type"));
    }
    Ok(of.properties.iter().map(Into::into).collect())
}

/// What `qom-list-properties` tells of a type: what all its objects have.
///
/// # Errors
/// There is no such type.
pub fn list_type_properties(type_name: &str) -> Result<Vec<ObjectPropertyInfo>, Error> {
    let not_found = || Error::new(ErrorClass::DeviceNotFound, format!("Class '{type_name}' not found"));
    let of = Type::find(type_name).ok_or_else(not_found)?;
    let mut sample = Object::new(of.name);
    if of.plug.is_some() {
        sample.add("parent_bus", Member::Link { of: "bus", path: String::new() });
    }
    if of.implements("device") {
        sample.add_device_values(false, of.plug.is_some_and(|(bus, _)| bus.is_hotpluggable()));
    }
    if of.implements("machine") {
        sample.add_machine_values(0, 1);
    }
    Ok(sample.list().into_iter().chain(of.properties.iter().map(Into::into)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree() -> Object {
        let mut disk = Object::new("virtio-blk-device");
        disk.add_value("serial", "str", "s");
        disk.add("parent_bus", Member::Link { of: "bus", path: "/a/bus".into() });
        let (mut a, mut b) = (Object::new("container"), Object::new("container"));
        a.add("disk", Member::Child(disk.clone()));
        a.add("bus", Member::Child(Object::new("ISA")));
        b.add("disk", Member::Child(disk));
        let mut root = Object::new("container");
        root.add("a", Member::Child(a));
        root.add("b", Member::Child(b));
        root
    }

    #[test]
    fn an_object_is_found_by_its_path_or_the_end_of_it() {
        let tree = tree();
        let path = |path| tree.resolve(path).map(|(path, _)| path).map_err(|error| error.to_string());
        assert_eq!(path("/a/disk"), Ok("/a/disk".into()));
        assert_eq!(path("a/disk"), Ok("/a/disk".into()));
        assert_eq!(path("bus"), Ok("/a/bus".into()));
        assert_eq!(path("/"), Ok("/".into()));
        assert_eq!(path("disk"), Err("Path 'disk' is ambiguous".into()));
        assert_eq!(path(""), Err("Device '' not found".into()));
        assert_eq!(path("/disk"), Err("Device '/disk' not found".into()));
        assert_eq!(path("/a/disk/serial"), Err("Device '/a/disk/serial' not found".into()));
    }

    #[test]
    fn what_an_object_has_is_listed_and_read() {
        let tree = tree();
        let (path, disk) = tree.resolve("a/disk").expect("there");
        let listed: Vec<_> = disk.list().into_iter().map(|info| (info.name, info.r#type)).collect();
        let expected = [("type", "string"), ("serial", "str"), ("parent_bus", "link<bus>")];
        assert!(listed.iter().map(|(name, of)| (name.as_str(), of.as_str())).eq(expected));
        let get = |name| disk.get(&path, name).map_err(|error| error.to_string());
        assert_eq!(get("type"), Ok("virtio-blk-device".into()));
        assert_eq!((get("serial"), get("parent_bus")), (Ok("s".into()), Ok("/a/bus".into())));
        assert_eq!(get("colour"), Err("Property 'virtio-blk-device.colour' not found".into()));
        assert_eq!(tree.get("/", "a").expect("there"), "/a");
        let refused = |name| disk.refuse(&path, name).to_string();
        assert_eq!(refused("serial"), "Property 'virtio-blk-device.serial' is not writable");
        assert_eq!(refused("colour"), "Property 'virtio-blk-device.colour' not found");
    }

    #[test]
    fn types_are_listed_by_what_they_are_a_kind_of() {
        assert!(list_types("device", false).iter().all(|info| info.r#abstract.is_none()));
        assert!(
            list_types("device", true).iter().any(|info| info.name == "isa-device" && info.r#abstract == Some(true))
        );
        assert!(list_types("machine", false).iter().any(|info| info.name == "none-machine"));
        assert_eq!(list_types("nothing", true), []);
        let of_all =
            |name| list_type_properties(name).expect(name).into_iter().map(|info| info.name).collect::<Vec<_>>();
        assert_eq!(of_all("virtio-mmio"), ["type", "realized", "hotplugged", "hotpluggable", "force-legacy"]);
        let ib700 = ["type", "parent_bus", "realized", "hotplugged", "hotpluggable"];
        assert_eq!(of_all("ib700"), ib700);
        assert_eq!(of_all("machine"), ["type", "memory", "smp"]);
        assert_eq!(list_type_properties("nothing").expect_err("none").to_string(), "Class 'nothing' not found");
        let refused = |name| list_properties(name).expect_err(name).to_string();
        assert_eq!(refused("nothing"), "Device 'nothing' not found");
        assert_eq!(refused("machine"), "Parameter 'typename' expects a non-abstract device type");
        assert_eq!(refused("virtio-device"), "Parameter 'typename' expects a non-abstract device type");
        let properties = list_properties("virtio-mmio").expect("a device");
        assert!(properties.iter().map(|info| info.name.as_str()).eq(["force-legacy"]));
    }

    proptest! {
        #[test]
        fn whatever_the_path_an_answer_is_that_of_one_object(path in "[/ab]{0,3}(disk|bus|x)?[/ab]{0,3}") {
            let tree = tree();
            if let Ok((whole, object)) = tree.resolve(&path) {
                let (again, same) = tree.resolve(&whole).expect("a whole path");
                prop_assert_eq!((again, same.type_name), (whole, object.type_name));
            }
        }
    }
}
