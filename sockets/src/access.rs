//! Who may use a listening socket: the schema's `SocketAccess`, checked.

use qapi_schema::Error;
use qapi_schema::crypto::QCryptoTLSCredsEndpoint;
use qapi_schema::sockets::SocketAccess;
use rustix::fs::{Gid, Mode};

use crate::account;
use crate::address::Address;
use crate::objects::Objects;
use crate::socket_file::USER;
use crate::tls::Credentials;

/// The mode that lets everybody connect.
const EVERYBODY: Mode = Mode::from_raw_mode(0o666);

/// Who may use a listening socket. The default is the narrow one of each kind of socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub(crate) mode: Option<Mode>,
    pub(crate) group: Option<Gid>,
    pub(crate) users: Option<Vec<u32>>,
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) credentials: Option<Credentials>,
}

impl Access {
    /// Looks up what `access` names, some of it in `objects`, for a socket at `address`.
    ///
    /// # Errors
    /// What makes no sense, or none for this address, by its key.
    pub fn new(access: SocketAccess, address: &Address, objects: &Objects) -> Result<Self, Error> {
        let SocketAccess { mode, group, allow_uid, allow_gid, tls_creds } = access;
        let credentials = |id: String| objects.tls_creds(&id, QCryptoTLSCredsEndpoint::Server);
        let access = Self {
            mode: mode.as_deref().map(octal).transpose()?,
            group: group.map(|group| account::group("group", &group).map(Gid::from_raw)).transpose()?,
            users: account::all("allow-uid", allow_uid, account::user)?,
            groups: account::all("allow-gid", allow_gid, account::group)?,
            credentials: tls_creds.map(credentials).transpose()?,
        };
        let keys = |keys: &[(bool, &'static str)]| keys.iter().find(|(given, _)| *given).map(|(_, key)| *key);
        let of_file = keys(&[(access.mode.is_some(), "mode"), (access.group.is_some(), "group")]);
        let of_peer = keys(&[(access.users.is_some(), "allow-uid"), (access.groups.is_some(), "allow-gid")]);
        let refused = |key, why| Err(Error::generic(format!("Parameter '{key}' {why}")));
        match (address, of_file, of_peer) {
            (Address::Inet(_), Some(key), _) | (Address::Inet(_), _, Some(key)) => refused(key, "is for unix sockets"),
            (Address::Abstract { .. }, Some(key), _) => {
                refused(key, "is for sockets with a file; an abstract one has allow-uid and allow-gid")
            }
            (Address::Inherited(_), Some(key), _) => {
                refused(key, "is for sockets that are created here; this one is decided upon by who created it")
            }
            (Address::Unix(_) | Address::Abstract { .. } | Address::Inherited(_), ..)
            | (Address::Inet(_), None, None) => Ok(access),
        }
    }

    /// The mode of a socket's file. It is for its user, unless the gate asks everybody who he is: those whom it lets in
    /// must get there.
    pub(crate) fn file_mode(&self) -> Mode {
        let is_guarded = self.users.is_some() || self.groups.is_some();
        self.mode.unwrap_or(if is_guarded { EVERYBODY } else { USER })
    }

    /// What clients must prove themselves to, if they must.
    pub const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

fn octal(mode: &str) -> Result<Mode, Error> {
    let digits = mode.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(mode, 8).ok().filter(|&mode| digits && mode <= 0o777).map(Mode::from_raw_mode);
    mode.ok_or_else(|| Error::generic("Parameter 'mode' expects an octal file mode from 0 to 0777, such as 0660"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use qapi_schema::sockets::Accounts;

    const NOTHING: SocketAccess =
        SocketAccess { mode: None, group: None, allow_uid: None, allow_gid: None, tls_creds: None };

    fn refused(access: SocketAccess, address: &Address) -> String {
        Access::new(access, address, &Objects::default()).expect_err("refused").desc().to_owned()
    }

    #[test]
    fn a_mode_is_octal() {
        assert_eq!(octal("0660"), Ok(Mode::from_raw_mode(0o660)));
        assert_eq!(octal("660"), octal("0660"));
        for mode in ["", "rw", "0668", "1777", "+660", "0o660", "-1", "99999999999"] {
            assert!(octal(mode).is_err(), "{mode}");
        }
    }

    #[test]
    fn a_key_without_effect_is_refused() {
        let one = |name: &str| Some(Accounts::One(name.into()));
        let tcp = Address::inet("localhost", 1);
        let mode = SocketAccess { mode: Some("0600".into()), ..NOTHING };
        assert_eq!(refused(mode.clone(), &tcp), "Parameter 'mode' is for unix sockets");
        let user = SocketAccess { allow_uid: one("0"), ..NOTHING };
        assert_eq!(refused(user.clone(), &tcp), "Parameter 'allow-uid' is for unix sockets");
        let hidden = Address::Abstract { name: "q".into(), tight: true };
        assert!(refused(mode.clone(), &hidden).starts_with("Parameter 'mode' is for sockets with a file"));
        let group = SocketAccess { group: Some("0".into()), ..NOTHING };
        let inherited = Address::Inherited("q".into());
        assert!(refused(group, &inherited).starts_with("Parameter 'group' is for sockets that are created here"));
        assert!(Access::new(user, &hidden, &Objects::default()).is_ok());
    }
}
