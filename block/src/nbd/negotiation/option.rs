//! What a client asks for in the handshake (section "Option types" of the specification).

use std::str;

use crate::nbd::fields::Fields;
use crate::nbd::protocol::{
    NBD_MAX_STRING, NBD_OPT_ABORT, NBD_OPT_EXPORT_NAME, NBD_OPT_GO, NBD_OPT_INFO, NBD_OPT_LIST, NBD_OPT_STARTTLS,
};

/// An option with its data.
#[derive(Debug)]
pub(super) enum Opt<'a> {
    ExportName(Result<&'a str, &'static str>),
    Abort,
    StartTls,
    List,
    Info(Choice<'a>),
    Go(Choice<'a>),
    Malformed(&'static str),
    Unsupported,
}

/// An export, and what is wanted to be known of it.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    pub(super) name: &'a str,
    information: &'a [u8],
}

impl<'a> Opt<'a> {
    pub(super) fn parse(option: u32, data: &'a [u8]) -> Self {
        match option {
            NBD_OPT_EXPORT_NAME => Self::ExportName(string(data)),
            // Data should be ignored.
            NBD_OPT_ABORT => Self::Abort,
            NBD_OPT_STARTTLS if data.is_empty() => Self::StartTls,
            NBD_OPT_STARTTLS => Self::Malformed("NBD_OPT_STARTTLS takes no data"),
            NBD_OPT_LIST if data.is_empty() => Self::List,
            NBD_OPT_LIST => Self::Malformed("NBD_OPT_LIST takes no data"),
            NBD_OPT_INFO => Choice::parse(data).map_or_else(Self::Malformed, Self::Info),
            NBD_OPT_GO => Choice::parse(data).map_or_else(Self::Malformed, Self::Go),
            _ => Self::Unsupported,
        }
    }
}

impl<'a> Choice<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Fields::new(data);
        let (name, count, information) = Self::split(&mut fields).ok_or("option data is too short")?;
        if information.len() != count * 2 {
            return Err("option data does not match its number of information requests");
        }
        Ok(Self { name: string(name)?, information })
    }

    fn split(fields: &mut Fields<'a>) -> Option<(&'a [u8], usize, &'a [u8])> {
        let length = fields.u32()? as usize;
        let name = fields.bytes(length)?;
        let count = fields.u16()?.into();
        Some((name, count, fields.bytes(fields.len())?))
    }

    /// Whether this was asked for.
    pub(super) fn wants(&self, information: u16) -> bool {
        self.information.chunks_exact(2).any(|wanted| wanted == information.to_be_bytes())
    }
}

/// Section "Conventions".
fn string(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.len() > NBD_MAX_STRING {
        return Err("export name is too long");
    }
    if bytes.contains(&0) {
        return Err("export name contains NUL");
    }
    str::from_utf8(bytes).map_err(|_| "export name is not valid UTF-8")
}
