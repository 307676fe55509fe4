//! The client's side of the handshake (sections "Newstyle negotiation" and "Option types" of the specification).

use std::io::IoSlice;

use super::ClientError;
use crate::nbd::fields::Fields;
use crate::nbd::input::Input;
use crate::nbd::protocol::{
    NBD_FLAG_C_FIXED_NEWSTYLE, NBD_FLAG_C_NO_ZEROES, NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES, NBD_INFO_EXPORT,
    NBD_INIT_PASSWD, NBD_OPT_GO, NBD_OPTS_MAGIC, NBD_REP_ACK, NBD_REP_FLAG_ERROR, NBD_REP_INFO, NBD_REP_MAGIC,
};
use crate::nbd::socket::Socket;

/// Longest reply that is believed.
const MAX_REPLY: usize = 64 << 10;

/// Chooses an export with `NBD_OPT_GO`. Returns its size and transmission flags.
pub(super) fn go(socket: &Socket, input: &mut Input, export: &str) -> Result<(u64, u16), ClientError> {
    let mut greeting = [0; 18];
    socket.receive_exactly(input, &mut greeting)?;
    let answer = answer_greeting(&greeting).ok_or(ClientError::Protocol("not a server of fixed newstyle"))?;

    let mut message = answer.to_be_bytes().to_vec();
    message.extend(NBD_OPTS_MAGIC.to_be_bytes());
    message.extend(NBD_OPT_GO.to_be_bytes());
    message.extend((export.len() as u32 + 6).to_be_bytes());
    message.extend((export.len() as u32).to_be_bytes());
    message.extend(export.as_bytes());
    message.extend(0_u16.to_be_bytes());
    socket.send_all(&mut [IoSlice::new(&message)], None)?;

    let mut chosen = None;
    loop {
        let (kind, data) = reply(socket, input)?;
        match kind {
            NBD_REP_INFO => chosen = export_information(&data).or(chosen),
            NBD_REP_ACK => return chosen.ok_or(ClientError::Protocol("an export without size and flags")),
            error if error & NBD_REP_FLAG_ERROR != 0 => return Err(refusal(error, &data)),
            _ => {}
        }
    }
}

/// The client flags that go with the server's greeting.
fn answer_greeting(greeting: &[u8]) -> Option<u32> {
    let mut fields = Fields::new(greeting);
    if fields.u64()? != NBD_INIT_PASSWD || fields.u64()? != NBD_OPTS_MAGIC {
        return None;
    }
    let offered = fields.u16()?;
    let zeroes = if offered & NBD_FLAG_NO_ZEROES != 0 { NBD_FLAG_C_NO_ZEROES } else { 0 };
    (offered & NBD_FLAG_FIXED_NEWSTYLE != 0).then_some(NBD_FLAG_C_FIXED_NEWSTYLE | zeroes)
}

fn reply(socket: &Socket, input: &mut Input) -> Result<(u32, Vec<u8>), ClientError> {
    let mut header = [0; 20];
    socket.receive_exactly(input, &mut header)?;
    let (kind, length) = reply_header(&header).ok_or(ClientError::Protocol("not a reply to the option"))?;
    if length > MAX_REPLY {
        return Err(ClientError::Protocol("reply is too long"));
    }
    let mut data = vec![0; length];
    socket.receive_exactly(input, &mut data)?;
    Ok((kind, data))
}

fn reply_header(header: &[u8]) -> Option<(u32, usize)> {
    let mut fields = Fields::new(header);
    if fields.u64()? != NBD_REP_MAGIC || fields.u32()? != NBD_OPT_GO {
        return None;
    }
    Some((fields.u32()?, fields.u32()? as usize))
}

fn export_information(data: &[u8]) -> Option<(u64, u16)> {
    let mut fields = Fields::new(data);
    if fields.u16()? != NBD_INFO_EXPORT {
        return None;
    }
    Some((fields.u64()?, fields.u16()?))
}

fn refusal(error: u32, message: &[u8]) -> ClientError {
    let code = error & !NBD_REP_FLAG_ERROR;
    let message = String::from_utf8_lossy(message);
    ClientError::Refused(if message.is_empty() { format!("error {code}") } else { message.into_owned() })
}
