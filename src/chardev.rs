//! Character devices as the command line spells them: where a monitor meets its clients.

use std::time::Duration;

use qapi_schema::crypto::QCryptoTLSCredsEndpoint;
use qapi_schema::sockets::{InetSocketAddress, SocketAccess, UnixSocketAddress};
use qapi_schema::{Error, FromMembers, Members};
use sockets::tls::Credentials;
use sockets::{Access, Address, Inet, Objects};

use crate::keyval::{Argument, pairs};

/// A way to reach clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chardev {
    /// A socket.
    Socket {
        /// Where.
        address: Address,
        /// Which side listens.
        role: Role,
    },
    /// Standard input and output.
    Stdio,
}

/// Which side of a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// This one: any number of clients.
    Server {
        /// Who may be one.
        access: Access,
        /// Nothing starts before the first is there.
        wait: bool,
    },
    /// The other one.
    Client {
        /// What it must prove itself to.
        credentials: Option<Credentials>,
        /// How long to wait before connecting again; `None` for never.
        reconnect: Option<Duration>,
    },
}

/// The kinds, for `--chardev help`.
pub const BACKENDS: &[&str] = &["socket", "stdio"];

/// What says which kind of socket it is.
enum Place {
    Path(String),
    Host(String, String),
    Fd(String),
}

impl Chardev {
    /// Reads `socket,id=qmp0,path=qmp.sock,server=on,wait=off` or `stdio,id=qmp0`, and returns the id with it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, objects: &Objects) -> Result<(String, Self), Error> {
        Argument::parse(&long_form(text), Some("backend"))?.read(|members| {
            let backend: String = members.required("backend")?;
            let id = members.required("id")?;
            let chardev = match backend.as_str() {
                "stdio" => Self::Stdio,
                "socket" => Self::socket(Place::read(members)?, members, objects)?,
                _ => return Err(Error::generic(format!("'{backend}' is not a valid char driver name"))),
            };
            Ok((id, chardev))
        })
    }

    /// Reads what `-qmp` takes: `unix:PATH,server=on,wait=off`, `tcp:HOST:PORT,...` or `stdio`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_legacy(text: &str, objects: &Objects) -> Result<Self, Error> {
        if text == "stdio" {
            return Ok(Self::Stdio);
        }
        let (place, options) = text.split_once(',').unwrap_or((text, ""));
        if let Some(path) = place.strip_prefix("unix:") {
            let pairs = pairs(&format!("{path},{}", long_form(options)), Some("path"));
            let socket =
                |members: &mut Members<'_>| Self::socket(Place::Path(members.required("path")?), members, objects);
            return pairs.and_then(Argument::from_pairs)?.read(socket);
        }
        let place = if let Some((host, port)) = place.strip_prefix("tcp:").and_then(|place| place.rsplit_once(':')) {
            // An IPv6 address is in brackets, as in a URL.
            let numeric = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            Place::Host(numeric.unwrap_or(host).into(), port.into())
        } else {
            return Err(Error::generic(format!("'{place}' is not a valid char driver")));
        };
        Argument::parse(&long_form(options), None)?.read(|members| Self::socket(place, members, objects))
    }

    fn socket(place: Place, members: &mut Members<'_>, objects: &Objects) -> Result<Self, Error> {
        let address = place.address(members)?;
        let role = Role::read(&address, members, objects)?;
        Ok(Self::Socket { address, role })
    }
}

impl Place {
    fn read(members: &mut Members<'_>) -> Result<Self, Error> {
        let (path, host, fd) = (members.optional("path")?, members.optional("host")?, members.optional("fd")?);
        match (path, host, fd) {
            (Some(path), None, None) => Ok(Self::Path(path)),
            (None, Some(host), None) => Ok(Self::Host(host, members.required("port")?)),
            (None, None, Some(fd)) => Ok(Self::Fd(fd)),
            _ => Err(Error::generic("a socket takes one of 'path', 'host' and 'fd'")),
        }
    }

    fn address(self, members: &mut Members<'_>) -> Result<Address, Error> {
        match self {
            Self::Path(path) => {
                let (r#abstract, tight) = (members.optional("abstract")?, members.optional("tight")?);
                Ok(UnixSocketAddress { path, r#abstract, tight }.into())
            }
            Self::Host(host, port) => {
                let inet = Inet::try_from(InetSocketAddress {
                    host,
                    port,
                    numeric: members.optional("numeric")?,
                    to: members.optional("to")?,
                    ipv4: members.optional("ipv4")?,
                    ipv6: members.optional("ipv6")?,
                    keep_alive: members.optional("keep-alive")?,
                    mptcp: members.optional("mptcp")?,
                })?;
                Ok(Address::Inet(Inet { nodelay: members.optional("nodelay")?.unwrap_or(true), ..inet }))
            }
            Self::Fd(name) => Ok(Address::Inherited(name)),
        }
    }
}

impl Role {
    fn read(address: &Address, members: &mut Members<'_>, objects: &Objects) -> Result<Self, Error> {
        let server = members.optional("server")?.unwrap_or(false);
        let wait: Option<bool> = members.optional("wait")?;
        let reconnect = Reconnect::read(members)?;
        match (server, wait, reconnect) {
            (true, _, Some(Reconnect { key, .. })) => {
                Err(Error::generic(format!("'{key}' is for sockets with server=off")))
            }
            (true, wait, None) => {
                let access = Access::new(SocketAccess::from_members(members)?, address, objects)?;
                Ok(Self::Server { access, wait: wait.unwrap_or(true) })
            }
            (false, Some(_), _) => Err(Error::generic("'wait' is for sockets with server=on")),
            (false, None, Some(Reconnect { key, milliseconds: 1.. })) if matches!(address, Address::Inherited(_)) => {
                Err(Error::generic(format!("'{key}' is not possible with 'fd', which is one connection")))
            }
            (false, None, reconnect) => {
                let reconnect = reconnect.map(|reconnect| reconnect.milliseconds).filter(|&pause| pause > 0);
                let reconnect = reconnect.map(Duration::from_millis);
                let credentials = |id: String| objects.tls_creds(&id, QCryptoTLSCredsEndpoint::Client);
                let credentials = members.optional("tls-creds")?.map(credentials).transpose()?;
                Ok(Self::Client { credentials, reconnect })
            }
        }
    }
}

/// How long to wait before connecting again, and the key that says so.
struct Reconnect {
    key: &'static str,
    milliseconds: u64,
}

impl Reconnect {
    fn read(members: &mut Members<'_>) -> Result<Option<Self>, Error> {
        // QEMU's older key counts in seconds. More of them than this will not pass.
        let seconds = members.optional::<u64>("reconnect")?.map(|seconds| seconds.saturating_mul(1000));
        let (key, milliseconds) = match (seconds, members.optional("reconnect-ms")?) {
            (Some(_), Some(_)) => {
                return Err(Error::generic("'reconnect' and 'reconnect-ms' are mutually exclusive"));
            }
            (Some(milliseconds), None) => ("reconnect", milliseconds),
            (None, Some(milliseconds)) => ("reconnect-ms", milliseconds),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { key, milliseconds }))
    }
}

/// QEMU's short form of switches: `server` for `server=on`, `nowait` for `wait=off`.
fn long_form(options: &str) -> String {
    let long = |option| match option {
        "server" => "server=on",
        "wait" => "wait=on",
        "nowait" => "wait=off",
        _ => option,
    };
    options.split(',').map(long).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, Chardev), Error> {
        Chardev::parse(text, &Objects::default())
    }

    fn parse_legacy(text: &str) -> Result<Chardev, Error> {
        Chardev::parse_legacy(text, &Objects::default())
    }

    fn server(wait: bool) -> Role {
        Role::Server { access: Access::default(), wait }
    }

    fn unix(role: Role) -> Chardev {
        Chardev::Socket { address: Address::Unix("q".into()), role }
    }

    #[test]
    fn sockets_and_terminals_are_read() {
        let expected = |wait| Ok(("c".to_owned(), unix(server(wait))));
        assert_eq!(parse("socket,id=c,path=q,server=on,wait=off"), expected(false));
        assert_eq!(parse("socket,id=c,path=q,server,nowait"), expected(false));
        assert_eq!(parse("socket,id=c,path=q,server=on,wait=on"), expected(true));
        assert_eq!(parse("socket,id=c,path=q,server,wait"), expected(true));
        assert_eq!(parse("socket,id=c,path=q,server=on"), expected(true));
        assert_eq!(parse("stdio,id=c"), Ok(("c".to_owned(), Chardev::Stdio)));
        let again = |pause| Role::Client { credentials: None, reconnect: Some(pause) };
        let expected = |pause| Ok(("c".to_owned(), unix(again(pause))));
        assert_eq!(parse("socket,id=c,path=q,reconnect-ms=500"), expected(Duration::from_millis(500)));
        assert_eq!(parse("socket,id=c,path=q,reconnect=5"), expected(Duration::from_secs(5)));
        let never = Role::Client { credentials: None, reconnect: None };
        assert_eq!(parse("socket,id=c,path=q,reconnect=0"), Ok(("c".to_owned(), unix(never))));
    }

    #[test]
    fn the_short_option_says_the_same() {
        assert_eq!(parse_legacy("unix:q,server=on,wait=off"), Ok(unix(server(false))));
        let client = || Ok(unix(Role::Client { credentials: None, reconnect: None }));
        assert_eq!((parse_legacy("unix:q"), parse_legacy("unix:path=q")), (client(), client()));
        assert_eq!(parse_legacy("unix:path=q,server=on"), Ok(unix(server(true))));
        assert_eq!(parse_legacy("unix:server=on,nowait,path=q"), Ok(unix(server(false))));
        let named = |path: &str| Ok(Chardev::Socket { address: Address::Unix(path.into()), role: server(true) });
        assert_eq!(parse_legacy("unix:server,server"), named("server"));
        assert_eq!(parse_legacy("unix:a,,b,server"), named("a,b"));
        let tcp = |host: &str| Ok(Chardev::Socket { address: Address::inet(host, 4444), role: server(true) });
        assert_eq!(parse_legacy("tcp:127.0.0.1:4444,server=on"), tcp("127.0.0.1"));
        assert_eq!(parse_legacy("tcp:[::1]:4444,server=on"), tcp("::1"));
    }

    #[test]
    fn every_kind_of_address_has_its_options() {
        let address = |text: &str| match parse_legacy(text) {
            Ok(Chardev::Socket { address, .. }) => address,
            other => panic!("{text}: {other:?}"),
        };
        let hidden = Address::Abstract { name: "q".into(), tight: false };
        assert_eq!(address("unix:q,abstract=on,tight=off"), hidden);
        assert_eq!(address("unix:q,tight=off"), Address::Unix("q".into()));
        let inet = Inet { last_port: 9, ipv6: false, nodelay: false, mptcp: true, ..Inet::new("h".into(), 7) };
        assert_eq!(address("tcp:h:7,to=9,ipv4=on,nodelay=off,mptcp=on"), Address::Inet(inet));
        let (_, inherited) = parse("socket,id=c,fd=qmp,server=on").expect("accepted");
        assert_eq!(inherited, Chardev::Socket { address: Address::Inherited("qmp".into()), role: server(true) });
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| parse(text).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(error("pty,id=c"), Err("'pty' is not a valid char driver name".into()));
        let place = Err("a socket takes one of 'path', 'host' and 'fd'".to_owned());
        assert_eq!((error("socket,id=c"), error("socket,id=c,path=q,fd=3")), (place.clone(), place));
        assert_eq!(error("socket,id=c,path=q,colour=red"), Err("Parameter 'colour' is unexpected".into()));
        assert_eq!(error("socket,id=c,path=q,to=7"), Err("Parameter 'to' is unexpected".into()));
        assert_eq!(error("socket,id=c,path=q,mode=0600"), Err("Parameter 'mode' is unexpected".into()));
        assert_eq!(error("socket,id=c,path=q,wait=on"), Err("'wait' is for sockets with server=on".into()));
        for key in ["reconnect", "reconnect-ms"] {
            let fd = format!("'{key}' is not possible with 'fd', which is one connection");
            assert_eq!(error(&format!("socket,id=c,fd=3,{key}=1")), Err(fd));
            let server = Err(format!("'{key}' is for sockets with server=off"));
            assert_eq!(error(&format!("socket,id=c,path=q,{key}=0,server=on")), server);
        }
        let both = Err("'reconnect' and 'reconnect-ms' are mutually exclusive".into());
        assert_eq!(error("socket,id=c,path=q,reconnect=0,reconnect-ms=0"), both);
        let error = parse_legacy("vc:80x25").expect_err("refused");
        assert_eq!(error.desc(), "'vc:80x25' is not a valid char driver");
        assert_eq!(parse_legacy("unix:pth=q").expect_err("refused").desc(), "Parameter 'path' is missing");
    }
}
