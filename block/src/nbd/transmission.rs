//! The transmission phase: requests and simple replies, from bytes and to bytes. No I/O here.
//!
//! A request is read in two steps: a [`RequestHeader`] is whatever 28 bytes say; a [`Command`] is one that this export
//! serves. A write's payload follows its header in either case, and must be taken off the stream also when the request
//! is refused.

use super::fields::Fields;
use super::protocol::{
    NBD_CMD_DISC, NBD_CMD_FLAG_FUA, NBD_CMD_FLAG_NO_HOLE, NBD_CMD_FLUSH, NBD_CMD_READ, NBD_CMD_TRIM, NBD_CMD_WRITE,
    NBD_CMD_WRITE_ZEROES, NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_HAS_FLAGS, NBD_FLAG_READ_ONLY, NBD_FLAG_SEND_FLUSH,
    NBD_FLAG_SEND_FUA, NBD_FLAG_SEND_TRIM, NBD_FLAG_SEND_WRITE_ZEROES, NBD_MAX_PAYLOAD, NBD_REQUEST_MAGIC,
    NBD_SIMPLE_REPLY_MAGIC, NbdError,
};

/// What was agreed on when the export was chosen. The protocol has no way to tell a client of a later change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Size of the export in bytes.
    pub size: u64,
    /// Whether writes are refused.
    pub read_only: bool,
}

impl Terms {
    /// What the client is told (section "Transmission flags").
    ///
    /// Several connections are sound, because all of an export's share one backend and a flush covers whatever was
    /// answered before it, on any of them.
    pub const fn flags(&self) -> u16 {
        let always = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_CAN_MULTI_CONN;
        let access = if self.read_only { NBD_FLAG_READ_ONLY } else { NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES };
        always | access
    }

    /// A range outside of the export is `out_of_range`; an empty one is invalid, which the specification leaves open.
    const fn range(&self, offset: u64, length: u32, out_of_range: NbdError) -> Result<(), NbdError> {
        if length == 0 {
            return Err(NbdError::Invalid);
        }
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.size => Ok(()),
            Some(_) | None => Err(out_of_range),
        }
    }

    /// A payload must not be longer than was agreed (section "Size constraints").
    const fn payload(length: u32) -> Result<usize, NbdError> {
        if length > NBD_MAX_PAYLOAD { Err(NbdError::Invalid) } else { Ok(length as usize) }
    }

    const fn writable(&self) -> Result<(), NbdError> {
        if self.read_only { Err(NbdError::Permission) } else { Ok(()) }
    }
}

/// A request as it came (section "Request message").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// `NBD_CMD_FLAG_*`.
    pub flags: u16,
    /// `NBD_CMD_*`.
    pub command: u16,
    /// What the reply repeats.
    pub cookie: u64,
    /// Where in the export.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
}

impl RequestHeader {
    /// Length on the wire.
    pub const SIZE: usize = 28;

    /// Reads a header; `None` if it is none, after which nothing on this connection can be trusted.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        if fields.u32()? != NBD_REQUEST_MAGIC {
            return None;
        }
        Some(Self {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            length: fields.u32()?,
        })
    }

    /// Writes the header.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&NBD_REQUEST_MAGIC.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.command.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// How many bytes follow the header, whether the request is served or refused.
    pub const fn payload(&self) -> u32 {
        if self.command == NBD_CMD_WRITE { self.length } else { 0 }
    }

    /// Whether this is the client's farewell, to which there is no reply.
    pub const fn is_disconnect(&self) -> bool {
        self.command == NBD_CMD_DISC
    }

    /// Decides whether the request is served.
    ///
    /// # Errors
    /// The answer to one that is not (section "Error values").
    pub fn check(&self, terms: &Terms) -> Result<Command, NbdError> {
        let Self { offset, length, .. } = *self;
        let fua = self.flags & NBD_CMD_FLAG_FUA != 0;
        match self.command {
            NBD_CMD_READ => {
                self.allow_flags(NBD_CMD_FLAG_FUA)?;
                terms.range(offset, length, NbdError::Invalid)?;
                Ok(Command::Read { offset, length: Terms::payload(length)? })
            }
            NBD_CMD_WRITE => {
                self.allow_flags(NBD_CMD_FLAG_FUA)?;
                terms.writable()?;
                let payload = Terms::payload(length)?;
                terms.range(offset, length, NbdError::NoSpace)?;
                Ok(Command::Write { offset, length: payload, fua })
            }
            NBD_CMD_FLUSH => {
                self.allow_flags(NBD_CMD_FLAG_FUA)?;
                if offset == 0 && length == 0 { Ok(Command::Flush) } else { Err(NbdError::Invalid) }
            }
            NBD_CMD_TRIM => {
                self.allow_flags(NBD_CMD_FLAG_FUA)?;
                terms.writable()?;
                terms.range(offset, length, NbdError::Invalid)?;
                Ok(Command::Trim { offset, length: length.into(), fua })
            }
            NBD_CMD_WRITE_ZEROES => {
                self.allow_flags(NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE)?;
                terms.writable()?;
                terms.range(offset, length, NbdError::NoSpace)?;
                let unmap = self.flags & NBD_CMD_FLAG_NO_HOLE == 0;
                Ok(Command::WriteZeroes { offset, length: length.into(), fua, unmap })
            }
            _ => Err(NbdError::Invalid),
        }
    }

    const fn allow_flags(&self, known: u16) -> Result<(), NbdError> {
        if self.flags & !known == 0 { Ok(()) } else { Err(NbdError::Invalid) }
    }
}

/// A request that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read, at most [`NBD_MAX_PAYLOAD`] bytes.
    Read {
        /// Where.
        offset: u64,
        /// How much.
        length: usize,
    },
    /// Write the payload, at most [`NBD_MAX_PAYLOAD`] bytes.
    Write {
        /// Where.
        offset: u64,
        /// How much payload follows.
        length: usize,
        /// On stable storage before it is answered.
        fua: bool,
    },
    /// Bring all answered writes to stable storage.
    Flush,
    /// The range is no longer needed.
    Trim {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
        /// On stable storage before it is answered.
        fua: bool,
    },
    /// Make the range read as zeroes.
    WriteZeroes {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
        /// On stable storage before it is answered.
        fua: bool,
        /// Space may be given back.
        unmap: bool,
    },
}

impl Command {
    /// How many bytes travel with the request or with its reply.
    pub const fn payload(&self) -> usize {
        match *self {
            Self::Read { length, .. } | Self::Write { length, .. } => length,
            Self::Flush | Self::Trim { .. } | Self::WriteZeroes { .. } => 0,
        }
    }
}

/// The front of a reply (section "Simple reply message"). The data of a successful read follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// That of the request.
    pub cookie: u64,
    /// Whether it succeeded.
    pub result: Result<(), NbdError>,
}

impl ReplyHeader {
    /// Length on the wire.
    pub const SIZE: usize = 16;

    /// Reads a header; `None` if it is none.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        if fields.u32()? != NBD_SIMPLE_REPLY_MAGIC {
            return None;
        }
        let result = match fields.u32()? {
            0 => Ok(()),
            code => Err(NbdError::from_code(code)),
        };
        Some(Self { cookie: fields.u64()?, result })
    }

    /// Writes the header.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let code = match self.result {
            Ok(()) => 0,
            Err(error) => error.code(),
        };
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&NBD_SIMPLE_REPLY_MAGIC.to_be_bytes());
        bytes[4..8].copy_from_slice(&code.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DISK: Terms = Terms { size: 64 << 20, read_only: false };
    const READ_ONLY: Terms = Terms { size: 64 << 20, read_only: true };

    fn request(command: u16, flags: u16, offset: u64, length: u32) -> RequestHeader {
        RequestHeader { flags, command, cookie: 7, offset, length }
    }

    fn headers() -> impl Strategy<Value = RequestHeader> {
        let edge = prop_oneof![Just(0), Just(DISK.size), Just(u64::MAX), any::<u64>(), 0..DISK.size];
        (0..9_u16, 0..4_u16, any::<u64>(), edge, any::<u32>()).prop_map(|(command, flags, cookie, offset, length)| {
            RequestHeader { flags, command, cookie, offset, length }
        })
    }

    #[test]
    fn every_command_is_decoded_with_its_flags() {
        let fua = NBD_CMD_FLAG_FUA;
        let served = [
            (request(NBD_CMD_READ, 0, 1, 2), Command::Read { offset: 1, length: 2 }),
            (request(NBD_CMD_READ, fua, 1, 2), Command::Read { offset: 1, length: 2 }),
            (request(NBD_CMD_WRITE, 0, 1, 2), Command::Write { offset: 1, length: 2, fua: false }),
            (request(NBD_CMD_WRITE, fua, 1, 2), Command::Write { offset: 1, length: 2, fua: true }),
            (request(NBD_CMD_FLUSH, fua, 0, 0), Command::Flush),
            (request(NBD_CMD_TRIM, fua, 1, 2), Command::Trim { offset: 1, length: 2, fua: true }),
            (
                request(NBD_CMD_WRITE_ZEROES, 0, 1, 2),
                Command::WriteZeroes { offset: 1, length: 2, fua: false, unmap: true },
            ),
            (
                request(NBD_CMD_WRITE_ZEROES, fua | NBD_CMD_FLAG_NO_HOLE, 1, 2),
                Command::WriteZeroes { offset: 1, length: 2, fua: true, unmap: false },
            ),
        ];
        for (header, command) in served {
            assert_eq!(header.check(&DISK), Ok(command), "{header:?}");
        }
    }

    #[test]
    fn a_farewell_is_no_request() {
        assert!(request(NBD_CMD_DISC, 0, 0, 0).is_disconnect());
        assert_eq!(request(NBD_CMD_DISC, 0, 0, 0).check(&DISK), Err(NbdError::Invalid));
    }

    #[test]
    fn what_is_unknown_is_invalid() {
        for command in [5, 7, 8, u16::MAX] {
            assert_eq!(request(command, 0, 0, 1).check(&DISK), Err(NbdError::Invalid), "command {command}");
        }
        for command in [NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM] {
            for flag in [NBD_CMD_FLAG_NO_HOLE, 1 << 2, 1 << 4, 1 << 15] {
                assert_eq!(request(command, flag, 0, 1).check(&DISK), Err(NbdError::Invalid), "{command} {flag}");
            }
        }
        // Fast zeroes are not offered.
        assert_eq!(request(NBD_CMD_WRITE_ZEROES, 1 << 4, 0, 1).check(&DISK), Err(NbdError::Invalid));
        assert_eq!(request(NBD_CMD_FLUSH, 0, 0, 1).check(&DISK), Err(NbdError::Invalid));
    }

    #[test]
    fn a_range_outside_is_no_space_for_writes_and_invalid_for_others() {
        for (offset, length) in [(DISK.size, 1), (DISK.size - 1, 2), (u64::MAX, 1), (0, u32::MAX)] {
            for (command, error) in [
                (NBD_CMD_READ, NbdError::Invalid),
                (NBD_CMD_TRIM, NbdError::Invalid),
                (NBD_CMD_WRITE_ZEROES, NbdError::NoSpace),
            ] {
                assert_eq!(request(command, 0, offset, length).check(&DISK), Err(error), "{command} {offset} {length}");
            }
        }
        assert_eq!(request(NBD_CMD_WRITE, 0, DISK.size, 1).check(&DISK), Err(NbdError::NoSpace));
        assert!(request(NBD_CMD_WRITE, 0, DISK.size - 1, 1).check(&DISK).is_ok());
    }

    #[test]
    fn a_payload_over_32_mib_is_invalid_but_a_range_is_not() {
        let over = NBD_MAX_PAYLOAD + 1;
        assert_eq!(request(NBD_CMD_READ, 0, 0, over).check(&DISK), Err(NbdError::Invalid));
        assert_eq!(request(NBD_CMD_WRITE, 0, 0, over).check(&DISK), Err(NbdError::Invalid));
        assert!(request(NBD_CMD_READ, 0, 0, NBD_MAX_PAYLOAD).check(&DISK).is_ok());
        assert!(request(NBD_CMD_WRITE_ZEROES, 0, 0, over).check(&DISK).is_ok());
        assert!(request(NBD_CMD_TRIM, 0, 0, over).check(&DISK).is_ok());
    }

    #[test]
    fn a_read_only_export_permits_reads_and_flushes_only() {
        for command in [NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES] {
            assert_eq!(request(command, 0, 0, 1).check(&READ_ONLY), Err(NbdError::Permission));
        }
        assert!(request(NBD_CMD_READ, 0, 0, 1).check(&READ_ONLY).is_ok());
        assert!(request(NBD_CMD_FLUSH, 0, 0, 0).check(&READ_ONLY).is_ok());
        assert_eq!(READ_ONLY.flags() & NBD_FLAG_SEND_TRIM, 0);
        assert_ne!(READ_ONLY.flags() & NBD_FLAG_READ_ONLY, 0);
        assert_eq!(DISK.flags() & NBD_FLAG_READ_ONLY, 0);
    }

    #[test]
    fn an_empty_range_is_invalid() {
        for command in [NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES] {
            assert_eq!(request(command, 0, 0, 0).check(&DISK), Err(NbdError::Invalid));
        }
    }

    #[test]
    fn another_magic_is_no_header() {
        let mut bytes = request(NBD_CMD_READ, 0, 0, 1).encode();
        bytes[3] ^= 1;
        assert_eq!(RequestHeader::decode(&bytes), None);
        let mut bytes = ReplyHeader { cookie: 1, result: Ok(()) }.encode();
        bytes[0] ^= 0x80;
        assert_eq!(ReplyHeader::decode(&bytes), None);
    }

    proptest! {
        #[test]
        fn a_header_survives_the_wire(header in headers()) {
            prop_assert_eq!(RequestHeader::decode(&header.encode()), Some(header));
        }

        #[test]
        fn what_is_served_lies_within_the_export_and_the_limits(header in headers(), read_only: bool) {
            let terms = Terms { read_only, ..DISK };
            let (offset, length) = match header.check(&terms) {
                Ok(Command::Read { offset, length }) => {
                    prop_assert!(length <= NBD_MAX_PAYLOAD as usize);
                    (offset, length as u64)
                }
                Ok(Command::Write { offset, length, .. }) => {
                    prop_assert!(!read_only && length <= NBD_MAX_PAYLOAD as usize);
                    prop_assert_eq!(length, header.payload() as usize);
                    (offset, length as u64)
                }
                Ok(Command::Trim { offset, length, .. } | Command::WriteZeroes { offset, length, .. }) => {
                    prop_assert!(!read_only);
                    (offset, length)
                }
                Ok(Command::Flush) | Err(_) => return Ok(()),
            };
            prop_assert!(length > 0 && offset + length <= terms.size);
        }

        #[test]
        fn a_reply_survives_the_wire(cookie: u64, code in prop_oneof![Just(0_u32), any::<u32>()]) {
            let result = if code == 0 { Ok(()) } else { Err(NbdError::from_code(code)) };
            let reply = ReplyHeader { cookie, result };
            prop_assert_eq!(ReplyHeader::decode(&reply.encode()), Some(reply));
        }

        #[test]
        fn any_28_bytes_are_a_header_or_none(bytes: [u8; RequestHeader::SIZE]) {
            if let Some(header) = RequestHeader::decode(&bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }
}
