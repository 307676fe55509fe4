//! Building the nodes of a definition, bottom up, before any of them is seen.

use std::sync::Arc;

use qapi_schema::Error;

use super::definition::{Child, Definition};
use super::name;
use super::registry::{self, Registry};
use crate::node::Node;

/// Opens what is defined: the node of the definition itself, and those beneath it that are new, the lowest first. The caller
/// has checked the names and keeps others from changing the graph.
pub(super) fn build(definition: Definition, registry: &Registry) -> Result<(Arc<Node>, Vec<Arc<Node>>), Error> {
    let mut beneath = Vec::new();
    let node = build_onto(definition, registry, &mut beneath)?;
    Ok((node, beneath))
}

/// Checks all names of a definition: that they are well formed, and free.
pub(super) fn check_names(definition: &Definition, registry: &Registry) -> Result<(), Error> {
    check_names_below(definition, registry, &mut Vec::new())
}

fn check_names_below<'a>(
    definition: &'a Definition,
    registry: &Registry,
    above: &mut Vec<&'a str>,
) -> Result<(), Error> {
    if let Some(name) = &definition.name {
        name::check(name)?;
        if above.contains(&name.as_str()) || registry.find(name).is_some() {
            return Err(Error::generic(format!("Duplicate nodes with node-name='{name}'")));
        }
        above.push(name);
    }
    match definition.driver.child() {
        Some(Child::Definition(child)) => check_names_below(child, registry, above),
        Some(Child::Reference(_)) | None => Ok(()),
    }
}

fn build_onto(definition: Definition, registry: &Registry, beneath: &mut Vec<Arc<Node>>) -> Result<Arc<Node>, Error> {
    let Definition { name, settings, driver } = definition;
    let driver = driver.with_child(|child| match child {
        Child::Reference(name) => registry.find(&name).ok_or_else(|| registry::no_such_child(&name)),
        Child::Definition(child) => {
            let child = build_onto(*child, registry, beneath)?;
            beneath.push(Arc::clone(&child));
            Ok(child)
        }
    })?;
    let name = name.unwrap_or_else(|| registry.generate_name());
    Node::new(name, driver.open()?, settings)
}
