//! What `--monitor` takes: a character device, and how the clients there are treated.

use std::ops::RangeInclusive;

use monitor::{Mode, Options};
use qapi_schema::{Error, Members};

use crate::keyval::Argument;

/// How much may be kept for a client. Less would not hold an event, and of more a thousand clients would fill the memory.
const OUTBUF: RangeInclusive<u64> = 4 << 10..=1 << 30;

/// How many clients one monitor may have.
const MAX_CLIENTS: RangeInclusive<u64> = 1..=1_000_000;

/// What clients may speak, for `--monitor help`.
pub const MODES: &[&str] = &["control", "readline"];

/// A monitor as the command line spells it.
#[derive(Debug, PartialEq, Eq)]
pub struct MonitorOptions {
    /// The character device.
    pub chardev: String,
    /// A name for the monitor, which nothing refers to.
    pub id: Option<String>,
    /// How its clients are treated.
    pub options: Options,
}

impl MonitorOptions {
    /// Reads `chardev=qmp0,mode=control,outbuf=1M`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Argument::parse(text, Some("chardev"))?.read(|members| {
            let mode = match members.optional::<String>("mode")?.as_deref() {
                None | Some("control") => Mode::Control,
                Some("readline") => Mode::Readline,
                Some(mode) => {
                    return Err(Error::generic(format!("Parameter 'mode' does not accept value '{mode}'")));
                }
            };
            let mut options = Options { mode, ..Options::default() };
            if let Some(pretty) = members.optional("pretty")? {
                if mode == Mode::Readline {
                    return Err(Error::generic("'pretty' is for monitors with mode=control"));
                }
                options.pretty = pretty;
            }
            if let Some(outbuf) = within(members, "outbuf", &OUTBUF)? {
                options.outbuf = outbuf;
            }
            if let Some(max_clients) = within(members, "max-clients", &MAX_CLIENTS)? {
                options.max_clients = max_clients;
            }
            Ok(Self { chardev: members.required("chardev")?, id: members.optional("id")?, options })
        })
    }
}

fn within(members: &mut Members<'_>, name: &str, range: &RangeInclusive<u64>) -> Result<Option<usize>, Error> {
    let (start, end) = (range.start(), range.end());
    // Also of what is no such number at all: the range is that of the option, not of its type.
    let refused = || Error::generic(format!("Parameter '{name}' expects an integer from {start} to {end}"));
    let Some(value) = members.optional::<u64>(name).map_err(|_| refused())? else { return Ok(None) };
    let within = Some(value).filter(|value| range.contains(value)).and_then(|value| usize::try_from(value).ok());
    within.map(Some).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_is_a_chardev_and_options() {
        let parsed = MonitorOptions::parse("c,mode=control,pretty=on,id=m,outbuf=64k,max-clients=7").expect("valid");
        let options = Options { mode: Mode::Control, outbuf: 64 << 10, pretty: true, max_clients: 7 };
        assert_eq!(parsed, MonitorOptions { chardev: "c".into(), id: Some("m".into()), options });
        assert_eq!(MonitorOptions::parse("chardev=c").expect("valid").options, Options::default());
        assert_eq!(MonitorOptions::parse("c,mode=readline").expect("valid").options.mode, Mode::Readline);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, desc) in [
            ("mode=control", "Parameter 'chardev' is missing"),
            ("c,mode=vi", "Parameter 'mode' does not accept value 'vi'"),
            ("c,mode=readline,pretty=on", "'pretty' is for monitors with mode=control"),
            ("c,outbuf=4095", "Parameter 'outbuf' expects an integer from 4096 to 1073741824"),
            ("c,outbuf=2G", "Parameter 'outbuf' expects an integer from 4096 to 1073741824"),
            ("c,outbuf=-1", "Parameter 'outbuf' expects an integer from 4096 to 1073741824"),
            ("c,outbuf=much", "Parameter 'outbuf' expects an integer from 4096 to 1073741824"),
            ("c,max-clients=99999999999999999999", "Parameter 'max-clients' expects an integer from 1 to 1000000"),
            ("c,max-clients=0", "Parameter 'max-clients' expects an integer from 1 to 1000000"),
            ("c,pretty=very", "Parameter 'pretty' expects 'on' or 'off'"),
            ("c,colour=red", "Parameter 'colour' is unexpected"),
        ] {
            assert_eq!(MonitorOptions::parse(text).map_err(|error| error.to_string()), Err(desc.into()), "{text}");
        }
    }
}
