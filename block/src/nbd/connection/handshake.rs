//! The handshake on a socket: feeds the [`Negotiation`] with bytes and time.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use sockets::tls::Credentials;

use super::outbox::Outbox;
use crate::nbd::export::{Attachment, Table};
use crate::nbd::input::Input;
use crate::nbd::negotiation::{Farewell, Negotiation, Step, Tls};
use crate::nbd::transmission::Terms;

/// How a handshake ended.
pub(super) enum Outcome {
    /// The client has chosen an export, and perhaps sent more already.
    Transmission(Attachment, Terms, Input),
    /// It has not.
    Over(Farewell),
}

/// Lets the client choose an export, until `deadline`, and only over TLS if there are credentials.
pub(super) fn handshake(
    outbox: &Arc<Outbox>,
    table: &Table,
    credentials: Option<&Credentials>,
    deadline: Option<Instant>,
) -> io::Result<Outcome> {
    let socket = outbox.socket();
    let send = |output: &[u8]| socket.send_all(&mut [IoSlice::new(output)], deadline);
    let mut input = Input::new();
    let mut output = Vec::new();
    let mut negotiation = Negotiation::start(if credentials.is_some() { Tls::Required } else { Tls::Off }, &mut output);
    loop {
        let (taken, step) = negotiation.handle_input(input.bytes(), table, &mut output);
        input.consume(taken);
        match step {
            Step::Continue => {}
            Step::NeedMore => {
                send(&output)?;
                output.clear();
                match socket.receive(input.space(), deadline)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    received => input.received(received),
                }
            }
            Step::StartTls => {
                send(&output)?;
                output.clear();
                // What came in the clear must not be taken for what comes encrypted.
                let (true, Some(credentials)) = (input.bytes().is_empty(), credentials) else {
                    return Ok(Outcome::Over(Farewell::Violation("input between NBD_OPT_STARTTLS and its reply")));
                };
                socket.secure(credentials.accept()?, deadline)?;
            }
            Step::Transmission(found) => {
                // Removed while it was described: the client is told as late as now, by a closed connection.
                let Some(attachment) = Attachment::new(found.export, outbox) else {
                    return Ok(Outcome::Over(Farewell::UnknownExport));
                };
                send(&output)?;
                return Ok(Outcome::Transmission(attachment, found.terms, input));
            }
            Step::Close(farewell) => {
                send(&output)?;
                return Ok(Outcome::Over(farewell));
            }
        }
    }
}
