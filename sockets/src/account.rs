//! Users and groups, by name or number.

use nix::unistd::{Group, User};
use qapi_schema::Error;
use qapi_schema::sockets::Accounts;

/// The number of a user.
pub(crate) fn user(key: &str, name: &str) -> Result<u32, Error> {
    number("user", key, name, |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
}

/// The number of a group.
pub(crate) fn group(key: &str, name: &str) -> Result<u32, Error> {
    number("group", key, name, |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
}

/// The numbers of all of them.
pub(crate) fn all(
    key: &str,
    accounts: Option<Accounts>,
    number: fn(&str, &str) -> Result<u32, Error>,
) -> Result<Option<Vec<u32>>, Error> {
    let names = match accounts {
        None => return Ok(None),
        Some(Accounts::One(name)) => vec![name],
        Some(Accounts::Several(names)) => names,
    };
    names.iter().map(|name| number(key, name)).collect::<Result<_, _>>().map(Some)
}

fn number(
    kind: &str,
    key: &str,
    name: &str,
    look_up: impl FnOnce(&str) -> nix::Result<Option<u32>>,
) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match look_up(name) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(Error::generic(format!("Parameter '{key}': there is no {kind} '{name}'"))),
        Err(error) => {
            Err(Error::generic(format!("Parameter '{key}': cannot look up {kind} '{name}': {}", error.desc())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_by_name_or_number() {
        assert_eq!(user("allow-uid", "root"), Ok(0));
        assert_eq!(user("allow-uid", "4711"), Ok(4711));
        assert_eq!(group("group", "root"), Ok(0));
        for name in ["", "-1", "4294967296", "no such user"] {
            let refused = user("allow-uid", name).expect_err("nobody");
            assert_eq!(refused.desc(), format!("Parameter 'allow-uid': there is no user '{name}'"));
        }
    }

    #[test]
    fn several_are_all_known_or_none() {
        let several = |names: &[&str]| Accounts::Several(names.iter().map(|&name| name.into()).collect());
        assert_eq!(all("allow-gid", Some(several(&["root", "7"])), group), Ok(Some(vec![0, 7])));
        assert_eq!(all("allow-gid", Some(Accounts::One("7".into())), group), Ok(Some(vec![7])));
        assert_eq!(all("allow-gid", None, group), Ok(None));
        assert!(all("allow-gid", Some(several(&["root", "nobody at all"])), group).is_err());
    }
}
