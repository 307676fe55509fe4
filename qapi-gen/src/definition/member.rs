//! Members of objects and the types they have.

use super::{Keyword, Reader, Role, Subject};
use crate::name::{self, Licence};
use crate::schema::{Member, Members, Type, TypeId};
use crate::value::{Key, Value, ValueKind};

impl<'a> Reader<'a, '_> {
    /// Reads a type name or a list of members.
    pub(super) fn type_or_members(&mut self, value: &'a Value, key: &str, role: Role<'a>, licence: Licence) -> Members {
        if let Some(name) = value.as_str() {
            let id = self.type_id(name, value.span, role, false);
            return id.map_or_else(|| Members::Inline(Vec::new()), Members::Of);
        }
        Members::Inline(self.members(value, key, licence))
    }

    /// Reads a list of members.
    pub(super) fn members(&mut self, value: &'a Value, key: &str, licence: Licence) -> Vec<Member> {
        let Some(object) = value.as_object() else {
            let or_type = if self.named.keyword == Keyword::Struct { "" } else { " or type name" };
            self.error(value.span, format!("'{key}' should be an object{or_type}"));
            return Vec::new();
        };
        let members = object.members.iter();
        members.filter_map(|(name, value)| self.member(key, name, value, licence)).collect()
    }

    fn member(&mut self, list: &str, key: &'a Key, value: &'a Value, licence: Licence) -> Option<Member> {
        let subject = Subject::Member(list, &key.name);
        let required = || (false, key.name.as_str());
        let (optional, name) = key.name.strip_prefix('*').map_or_else(required, |name| (true, name));
        self.check_rule(name::lower(name, licence), key.span, subject);
        if name::is_reserved_member(name) {
            self.error(key.span, format!("{subject} uses reserved name"));
        }
        let object = value.as_object();
        let (condition, features, ty) = match object {
            Some(object) => {
                self.keys(object, value.span, subject, &["type"], &["if", "features"]);
                let condition = self.condition(object, subject);
                (condition, self.features(object.find("features")), object.find("type")?)
            }
            None => (None, Vec::new(), value),
        };
        let ty = self.type_or_array(ty, subject, Role::Member(name))?;
        Some(Member { name: name.to_owned(), span: key.span, optional, ty, condition, features })
    }

    /// Reads a type name, alone or in an array.
    pub(super) fn type_or_array(&mut self, value: &'a Value, subject: Subject<'_>, role: Role<'a>) -> Option<Type> {
        let (name, array) = match &value.kind {
            ValueKind::String(_) => (value, false),
            ValueKind::Array(elements) => {
                if let [element @ Value { kind: ValueKind::String(_), .. }] = elements.as_slice() {
                    (element, true)
                } else {
                    self.error(value.span, format!("{subject}: array type must contain single type name"));
                    return None;
                }
            }
            ValueKind::Object(_) | ValueKind::Boolean(_) => {
                self.error(value.span, format!("{subject} should be a type name or array"));
                return None;
            }
        };
        let id = self.type_id(name.as_str()?, name.span, role, array)?;
        Some(Type { id, array })
    }

    /// Reads a type name.
    pub(super) fn type_name(&mut self, value: &'a Value, subject: Subject<'_>, role: Role<'a>) -> Option<TypeId> {
        let Some(name) = value.as_str() else {
            self.error(value.span, format!("{subject} should be a type name"));
            return None;
        };
        self.type_id(name, value.span, role, false)
    }
}
