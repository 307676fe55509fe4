//! The handshake, as the server sees it: a state machine without I/O. Bytes in, bytes out, and at the end an export.
//!
//! ```text
//!             flags            NBD_OPT_EXPORT_NAME, NBD_OPT_GO
//! ClientFlags -----> Haggling ---------------------------------> transmission
//!      |              |    ^  \
//!      | unknown      |    |   \ NBD_OPT_ABORT, garbage, too much
//!      v    too long  v    |    v
//!    close          Skipping   close
//! ```
//!
//! Only fixed newstyle is spoken (section "Fixed newstyle negotiation"): no structured replies; a client that asks for
//! them is told that they are unsupported, and goes on without.
//!
//! With TLS, the mode is FORCEDTLS (section "TLS support"): until the client has sent `NBD_OPT_STARTTLS` it learns nothing
//! of the exports. The encryption itself is done by whoever moves the bytes; the handshake goes on within it.

mod option;
mod reply;

use super::fields::Fields;
use super::protocol::{
    NBD_EXPORT_NAME_ZEROES, NBD_FLAG_C_FIXED_NEWSTYLE, NBD_FLAG_C_NO_ZEROES, NBD_FLAG_FIXED_NEWSTYLE,
    NBD_FLAG_NO_ZEROES, NBD_INIT_PASSWD, NBD_OPTS_MAGIC, NBD_REP_ACK, NBD_REP_ERR_INVALID, NBD_REP_ERR_POLICY,
    NBD_REP_ERR_TLS_REQD, NBD_REP_ERR_TOO_BIG, NBD_REP_ERR_UNKNOWN, NBD_REP_ERR_UNSUP,
};
use super::transmission::Terms;
use option::{Choice, Opt};
use reply::Replies;

/// Longest option data that is looked at: a name and more information requests than there are kinds of.
const MAX_OPTION: usize = 8 << 10;

/// What a client may send before it has chosen an export.
const MAX_HANDSHAKE: usize = 256 << 10;

/// What the server has to offer.
pub trait Directory {
    /// An export that was found.
    type Export;

    /// The export of exactly this name, or why there is none, for the client's user to read.
    ///
    /// # Errors
    /// The reason, without the name of the export.
    fn find(&self, name: &str) -> Result<Self::Export, String>;

    /// What the client is told about it.
    fn offer(&self, export: &Self::Export) -> Offer;

    /// Name and description of every export.
    fn list(&self) -> Vec<(String, Option<String>)>;
}

/// An export as the client sees it before it has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Size and access.
    pub terms: Terms,
}

/// What is to be done after a message was handled.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<E> {
    /// The message is not complete: call again with it and more.
    NeedMore,
    /// Call again with what follows this message.
    Continue,
    /// Send what was output, drop what was received, and call again with what comes over TLS.
    StartTls,
    /// The client has chosen; what follows belongs to the transmission phase.
    Transmission(E),
    /// Close the connection, after what was output is sent.
    Close(Farewell),
}

/// Why a handshake ended without an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The client wished to.
    Aborted,
    /// The client asked for an export that there is not, in the one way that can't be answered.
    UnknownExport,
    /// The client does not speak the protocol.
    Violation(&'static str),
}

/// The server's side of one handshake.
///
/// Input: [`handle_input`](Self::handle_input), one message a call. Output: what it appends, and its [`Step`].
#[derive(Debug)]
pub struct Negotiation {
    state: State,
    tls: Tls,
    received: usize,
}

/// Whether the client must use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// It can't.
    Off,
    /// It must, and does not yet.
    Required,
    /// It does.
    On,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The greeting was sent.
    ClientFlags,
    /// The client may send an option.
    Haggling(Style),
    /// This much is left of an option that is too long.
    Skipping { style: Style, option: u32, left: usize },
}

#[derive(Clone, Copy, Debug)]
struct Style {
    /// Whether options other than [`NBD_OPT_EXPORT_NAME`](super::protocol::NBD_OPT_EXPORT_NAME) may be sent.
    fixed: bool,
    zeroes: bool,
}

impl Negotiation {
    /// Starts the handshake: appends the greeting.
    pub fn start(tls: Tls, output: &mut Vec<u8>) -> Self {
        output.extend(NBD_INIT_PASSWD.to_be_bytes());
        output.extend(NBD_OPTS_MAGIC.to_be_bytes());
        output.extend((NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES).to_be_bytes());
        Self { state: State::ClientFlags, tls, received: 0 }
    }

    /// Handles the message at the front of `input`. Returns how many bytes it took, and what comes next.
    pub fn handle_input<D: Directory>(
        &mut self,
        input: &[u8],
        exports: &D,
        output: &mut Vec<u8>,
    ) -> (usize, Step<D::Export>) {
        let mut fields = Fields::new(input);
        let handled = match self.state {
            State::ClientFlags => self.client_flags(&mut fields),
            State::Haggling(style) => self.option(style, &mut fields, exports, output),
            State::Skipping { style, option, left } => Some(self.skip(style, option, left, &mut fields, output)),
        };
        let Some(step) = handled else {
            return (0, Step::NeedMore);
        };
        let taken = input.len() - fields.len();
        self.received += taken;
        match step {
            Step::Continue if self.received > MAX_HANDSHAKE => (taken, violation("too many options")),
            Step::NeedMore | Step::Continue | Step::StartTls | Step::Transmission(_) | Step::Close(_) => (taken, step),
        }
    }

    fn client_flags<E>(&mut self, fields: &mut Fields<'_>) -> Option<Step<E>> {
        let flags = fields.u32()?;
        // Section "Client flags": the connection must be dropped.
        if flags & !(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES) != 0 {
            return Some(violation("unknown client flags"));
        }
        let style = Style { fixed: flags & NBD_FLAG_C_FIXED_NEWSTYLE != 0, zeroes: flags & NBD_FLAG_C_NO_ZEROES == 0 };
        self.state = State::Haggling(style);
        Some(Step::Continue)
    }

    fn option<D: Directory>(
        &mut self,
        style: Style,
        fields: &mut Fields<'_>,
        exports: &D,
        output: &mut Vec<u8>,
    ) -> Option<Step<D::Export>> {
        if fields.u64()? != NBD_OPTS_MAGIC {
            return Some(violation("an option without its magic number"));
        }
        let option = fields.u32()?;
        let length = fields.u32()? as usize;
        if length > MAX_OPTION {
            self.state = State::Skipping { style, option, left: length };
            return Some(Step::Continue);
        }
        let data = fields.bytes(length)?;
        let parsed = Opt::parse(option, data);
        if !style.fixed && !matches!(parsed, Opt::ExportName(_)) {
            return Some(violation("an option before fixed newstyle was agreed on"));
        }
        let mut replies = Replies::new(option, output);
        if self.tls == Tls::Required && !matches!(parsed, Opt::StartTls | Opt::Abort) {
            return Some(refuse_plain(&parsed, &mut replies));
        }
        Some(match parsed {
            Opt::StartTls => match self.tls {
                Tls::Required => {
                    self.tls = Tls::On;
                    replies.send(NBD_REP_ACK, &[]);
                    Step::StartTls
                }
                Tls::Off => {
                    replies.error(NBD_REP_ERR_POLICY, "the server has no TLS credentials");
                    Step::Continue
                }
                Tls::On => {
                    replies.error(NBD_REP_ERR_INVALID, "TLS is on already");
                    Step::Continue
                }
            },
            Opt::ExportName(name) => export_name(name, style, exports, output),
            Opt::Abort => {
                replies.send(NBD_REP_ACK, &[]);
                Step::Close(Farewell::Aborted)
            }
            Opt::List => {
                for (name, description) in exports.list() {
                    replies.server(&name, description.as_deref());
                }
                replies.send(NBD_REP_ACK, &[]);
                Step::Continue
            }
            Opt::Info(choice) => {
                describe(&choice, exports, &mut replies);
                Step::Continue
            }
            Opt::Go(choice) => describe(&choice, exports, &mut replies).map_or(Step::Continue, Step::Transmission),
            Opt::Malformed(why) => {
                replies.error(NBD_REP_ERR_INVALID, why);
                Step::Continue
            }
            Opt::Unsupported => {
                replies.error(NBD_REP_ERR_UNSUP, "option is not supported");
                Step::Continue
            }
        })
    }

    /// A client's claim of up to 4 GiB is taken off the stream without keeping it, as far as the handshake's limit goes.
    fn skip<E>(
        &mut self,
        style: Style,
        option: u32,
        left: usize,
        fields: &mut Fields<'_>,
        output: &mut Vec<u8>,
    ) -> Step<E> {
        let skipped = left.min(fields.len());
        if skipped == 0 {
            return Step::NeedMore;
        }
        fields.bytes(skipped);
        if skipped < left {
            self.state = State::Skipping { style, option, left: left - skipped };
        } else {
            self.state = State::Haggling(style);
            Replies::new(option, output).error(NBD_REP_ERR_TOO_BIG, "option is too long");
        }
        Step::Continue
    }
}

const fn violation<E>(what: &'static str) -> Step<E> {
    Step::Close(Farewell::Violation(what))
}

/// Section "FORCEDTLS mode": an option that comes before TLS is refused, or ends the session if it can't be.
fn refuse_plain<E>(option: &Opt<'_>, replies: &mut Replies<'_>) -> Step<E> {
    match option {
        Opt::ExportName(_) => violation("NBD_OPT_EXPORT_NAME without TLS"),
        Opt::Malformed(why) => {
            replies.error(NBD_REP_ERR_INVALID, why);
            Step::Continue
        }
        Opt::Abort | Opt::StartTls | Opt::List | Opt::Info(_) | Opt::Go(_) | Opt::Unsupported => {
            replies.error(NBD_REP_ERR_TLS_REQD, "the server wants TLS: send NBD_OPT_STARTTLS first");
            Step::Continue
        }
    }
}

/// Section "Option types", `NBD_OPT_EXPORT_NAME`: no reply has a header, and there is none for failure.
fn export_name<D: Directory>(
    name: Result<&str, &'static str>,
    style: Style,
    exports: &D,
    output: &mut Vec<u8>,
) -> Step<D::Export> {
    let Some(export) = name.ok().and_then(|name| exports.find(name).ok()) else {
        return Step::Close(Farewell::UnknownExport);
    };
    let terms = exports.offer(&export).terms;
    output.extend(terms.size.to_be_bytes());
    output.extend(terms.flags().to_be_bytes());
    if style.zeroes {
        output.extend([0; NBD_EXPORT_NAME_ZEROES]);
    }
    Step::Transmission(export)
}

/// What `NBD_OPT_INFO` and `NBD_OPT_GO` have in common.
fn describe<D: Directory>(choice: &Choice<'_>, exports: &D, replies: &mut Replies<'_>) -> Option<D::Export> {
    match exports.find(choice.name) {
        Ok(export) => {
            replies.information(&exports.offer(&export), choice);
            replies.send(NBD_REP_ACK, &[]);
            Some(export)
        }
        Err(reason) => {
            replies.error(NBD_REP_ERR_UNKNOWN, &reason);
            None
        }
    }
}

#[cfg(test)]
mod tests;
