//! Character devices as the command line spells them: where a monitor meets its clients.

use std::time::Duration;

use monitor::Address;
use qapi_schema::Error;

use crate::keyval::Argument;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This one: any number of clients.
    Server,
    /// The other one.
    Client {
        /// How long to wait before connecting again; `None` for never.
        reconnect: Option<Duration>,
    },
}

/// The kinds, for `--chardev help`.
pub const BACKENDS: &[&str] = &["socket", "stdio"];

impl Chardev {
    /// Reads `socket,id=qmp0,path=qmp.sock,server=on,wait=off` or `stdio,id=qmp0`, and returns the id with it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<(String, Self), Error> {
        Argument::parse(&long_form(text), Some("backend"))?.read(|members| {
            let backend: String = members.required("backend")?;
            let id = members.required("id")?;
            let chardev = match backend.as_str() {
                "stdio" => Self::Stdio,
                "socket" => {
                    let path: Option<String> = members.optional("path")?;
                    let address = match path {
                        Some(path) => Address::Unix(path.into()),
                        None => inet(members.required("host")?, &members.required::<String>("port")?)?,
                    };
                    Self::Socket { address, role: Role::read(members)? }
                }
                _ => return Err(Error::generic(format!("'{backend}' is not a valid char driver name"))),
            };
            Ok((id, chardev))
        })
    }

    /// Reads what `-qmp` takes: `unix:PATH,server=on,wait=off`, `tcp:HOST:PORT,...` or `stdio`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_legacy(text: &str) -> Result<Self, Error> {
        if text == "stdio" {
            return Ok(Self::Stdio);
        }
        let (place, options) = text.split_once(',').unwrap_or((text, ""));
        let address = if let Some(path) = place.strip_prefix("unix:") {
            Address::Unix(path.into())
        } else if let Some((host, port)) = place.strip_prefix("tcp:").and_then(|place| place.rsplit_once(':')) {
            inet(host.to_owned(), port)?
        } else {
            return Err(Error::generic(format!("'{place}' is not a valid char driver")));
        };
        let role = Argument::parse(&long_form(options), None)?.read(Role::read)?;
        Ok(Self::Socket { address, role })
    }
}

impl Role {
    fn read(members: &mut qapi_schema::Members<'_>) -> Result<Self, Error> {
        let server = members.optional("server")?.unwrap_or(false);
        let wait: Option<bool> = members.optional("wait")?;
        let reconnect: Option<u64> = members.optional("reconnect-ms")?;
        match (server, wait, reconnect) {
            (true, Some(true), _) => Err(Error::generic(
                "'wait=on' is not supported: clients may connect at any time, and '-S' keeps the guest from starting",
            )),
            (true, _, Some(_)) => Err(Error::generic("'reconnect-ms' is for sockets with server=off")),
            (true, _, None) => Ok(Self::Server),
            (false, Some(_), _) => Err(Error::generic("'wait' is for sockets with server=on")),
            (false, None, reconnect) => {
                let reconnect = reconnect.filter(|&milliseconds| milliseconds > 0).map(Duration::from_millis);
                Ok(Self::Client { reconnect })
            }
        }
    }
}

fn inet(host: String, port: &str) -> Result<Address, Error> {
    let port = port.parse().map_err(|_| Error::generic(format!("'{port}' is not a port")))?;
    Ok(Address::inet(host, port))
}

/// QEMU's short form of switches: `server` for `server=on`, `nowait` for `wait=off`.
fn long_form(options: &str) -> String {
    let long = |option| match option {
        "server" => "server=on",
        "nowait" => "wait=off",
        _ => option,
    };
    options.split(',').map(long).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(role: Role) -> Chardev {
        Chardev::Socket { address: Address::Unix("q".into()), role }
    }

    #[test]
    fn sockets_and_terminals_are_read() {
        let server = Ok(("c".to_owned(), unix(Role::Server)));
        assert_eq!(Chardev::parse("socket,id=c,path=q,server=on,wait=off"), server);
        assert_eq!(Chardev::parse("socket,id=c,path=q,server,nowait"), server);
        assert_eq!(Chardev::parse("stdio,id=c"), Ok(("c".to_owned(), Chardev::Stdio)));
        let again = Role::Client { reconnect: Some(Duration::from_millis(500)) };
        assert_eq!(Chardev::parse("socket,id=c,path=q,reconnect-ms=500"), Ok(("c".to_owned(), unix(again))));
    }

    #[test]
    fn the_short_option_says_the_same() {
        assert_eq!(Chardev::parse_legacy("unix:q,server=on,wait=off"), Ok(unix(Role::Server)));
        assert_eq!(Chardev::parse_legacy("unix:q"), Ok(unix(Role::Client { reconnect: None })));
        let address = Address::inet("127.0.0.1", 4444);
        let tcp = Chardev::Socket { address, role: Role::Server };
        assert_eq!(Chardev::parse_legacy("tcp:127.0.0.1:4444,server=on"), Ok(tcp));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text| Chardev::parse(text).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(error("pty,id=c"), Err("'pty' is not a valid char driver name".into()));
        assert_eq!(error("socket,id=c"), Err("Parameter 'host' is missing".into()));
        assert_eq!(error("socket,id=c,path=q,colour=red"), Err("Parameter 'colour' is unexpected".into()));
        assert!(error("socket,id=c,path=q,server=on,wait=on").expect_err("refused").contains("wait=on"));
        let error = Chardev::parse_legacy("vc:80x25").expect_err("refused");
        assert_eq!(error.desc(), "'vc:80x25' is not a valid char driver");
    }
}
