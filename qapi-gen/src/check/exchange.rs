//! Commands and events: what they may take and return.

use super::Checker;
use super::object::Object;
use crate::definition::Unresolved;
use crate::schema::{Command, Definition, DefinitionKind, Event, Members, TypeId};

impl<'a> Checker<'a, '_> {
    /// Checks a command.
    pub(super) fn command(&mut self, definition: &'a Definition, command: &'a Command) {
        if let Some(data) = &command.data {
            self.data(definition, data, command.boxed, "command");
        }
        let Some(returns) = command.returns else {
            return;
        };
        let object = match returns.id {
            TypeId::Builtin(_) => false,
            TypeId::Definition(id) => {
                let returned = self.schema.definition(id).map(|returned| &returned.kind);
                matches!(returned, Some(DefinitionKind::Struct(_) | DefinitionKind::Union(_)))
            }
        };
        if !object && !self.pragmas.excepts_command_returns(&definition.name) {
            let message = format!("command's 'returns' cannot take {}", self.describe(returns.id));
            self.error(definition, definition.span, message);
        }
    }

    /// Checks an event.
    pub(super) fn event(&mut self, definition: &'a Definition, event: &'a Event) {
        if let Some(data) = &event.data {
            self.data(definition, data, event.boxed, "event");
        }
    }

    fn data(&mut self, definition: &'a Definition, data: &'a Members, boxed: bool, what: &str) {
        self.unresolved(definition, Unresolved::BASE..=Unresolved::MEMBERS);
        let conditional = match data {
            Members::Inline(members) => {
                self.add_members(definition, members, &mut Object::default());
                members.iter().any(|member| member.condition.is_some())
            }
            Members::Of(ty) => {
                let object = match ty {
                    TypeId::Builtin(_) => None,
                    TypeId::Definition(id) => self.schema.definition(*id),
                };
                let union = match object.map(|object| &object.kind) {
                    Some(DefinitionKind::Struct(_)) => false,
                    Some(DefinitionKind::Union(_)) => true,
                    Some(
                        DefinitionKind::Enum(_)
                        | DefinitionKind::Alternate(_)
                        | DefinitionKind::Command(_)
                        | DefinitionKind::Event(_),
                    )
                    | None => {
                        let message = format!("{what}'s 'data' cannot take {}", self.describe(*ty));
                        self.error(definition, definition.span, message);
                        return;
                    }
                };
                if union && !boxed {
                    let message = format!("{what}'s 'data' can take {} only with 'boxed': true", self.describe(*ty));
                    self.error(definition, definition.span, message);
                }
                object.is_some_and(|object| self.has_conditional_members(object))
            }
        };
        if conditional && !boxed {
            let message = format!("{what}'s 'data' members may have 'if' conditions only with 'boxed': true");
            self.error(definition, definition.span, message);
        }
    }
}
