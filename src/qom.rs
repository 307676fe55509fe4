//! `qom.json` served from the machine's tree of objects, and from those that others refer to.

use std::sync::Arc;

use hw::Board;
use hw::qom::{Member, Object, list_types};
use qapi_schema::Error;
use qapi_schema::qom::{Commands, ObjectOptions, ObjectPropertyInfo, ObjectType, ObjectTypeInfo};
use serde_json::Value;
use sockets::Objects;

/// All objects.
pub struct Qom {
    /// Those that others refer to.
    pub objects: Arc<Objects>,
    /// The machine.
    pub board: Arc<Board>,
}

impl Qom {
    fn tree(&self) -> Object {
        let mut objects = Object::new("container");
        for id in self.objects.ids() {
            objects.add(id, Member::Child(Object::new(ObjectType::TlsCredsX509.as_str())));
        }
        let mut tree = self.board.tree();
        tree.add("objects", Member::Child(objects));
        tree
    }
}

impl Commands for Qom {
    fn qom_list(&self, path: String) -> Result<Vec<ObjectPropertyInfo>, Error> {
        Ok(self.tree().resolve(&path)?.1.list())
    }

    fn qom_get(&self, path: String, property: String) -> Result<Value, Error> {
        let tree = self.tree();
        let (path, object) = tree.resolve(&path)?;
        object.get(&path, &property)
    }

    fn qom_list_types(
        &self,
        implements: Option<String>,
        r#abstract: Option<bool>,
    ) -> Result<Vec<ObjectTypeInfo>, Error> {
        Ok(list_types(implements.as_deref().unwrap_or("object"), r#abstract.unwrap_or(false)))
    }

    fn object_add(&self, arguments: ObjectOptions) -> Result<(), Error> {
        self.objects.add(arguments)
    }

    fn object_del(&self, id: String) -> Result<(), Error> {
        self.objects.remove(&id)
    }
}
