//! `qom.json` served from the machine's tree of objects, and from those that others refer to.

use std::sync::Arc;

use hw::Board;
use hw::qom::{Member, Object, list_type_properties, list_types};
use qapi_schema::Error;
use qapi_schema::qom::{Commands, ObjectOptions, ObjectPropertyInfo, ObjectTypeInfo};
use serde_json::Value;

use crate::objects::Objects;

/// All objects.
pub struct Qom {
    /// Those that others refer to.
    pub objects: Arc<Objects>,
    /// The machine.
    pub board: Arc<Board>,
}

impl Qom {
    fn tree(&self) -> Object {
        let mut tree = self.board.tree();
        tree.add("objects", Member::Child(self.objects.tree()));
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

    fn qom_set(&self, path: String, property: String, _value: Value) -> Result<(), Error> {
        let tree = self.tree();
        let (path, object) = tree.resolve(&path)?;
        Err(object.refuse(&path, &property))
    }

    fn qom_list_properties(&self, typename: String) -> Result<Vec<ObjectPropertyInfo>, Error> {
        list_type_properties(&typename)
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
