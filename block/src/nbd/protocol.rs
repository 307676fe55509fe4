//! The numbers of the NBD protocol, under the names that its specification gives them.
//!
//! "Specification" is `doc/proto.md` of <https://github.com/NetworkBlockDevice/nbd> throughout this directory; sections
//! are cited by their titles. All integers on the wire are big-endian.

use std::io;

use rustix::io::Errno;

// Section "Newstyle negotiation".

/// `NBDMAGIC`, the first eight bytes that a server sends.
pub const NBD_INIT_PASSWD: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`, the second eight, and what every option starts with.
pub const NBD_OPTS_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Zeroes that follow the reply to [`NBD_OPT_EXPORT_NAME`] unless both sides agreed to omit them.
pub const NBD_EXPORT_NAME_ZEROES: usize = 124;

// Section "Fixed newstyle negotiation".

/// What every reply to an option starts with.
pub const NBD_REP_MAGIC: u64 = 0x0003_e889_0455_65a9;

// Sections "Request message" and "Simple reply message".

/// What every request starts with.
pub const NBD_REQUEST_MAGIC: u32 = 0x2560_9513;
/// What every simple reply starts with.
pub const NBD_SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;

// Section "Handshake flags".

/// The server speaks fixed newstyle.
pub const NBD_FLAG_FIXED_NEWSTYLE: u16 = 1 << 0;
/// The server can omit the [`NBD_EXPORT_NAME_ZEROES`].
pub const NBD_FLAG_NO_ZEROES: u16 = 1 << 1;

// Section "Client flags".

/// The client speaks fixed newstyle.
pub const NBD_FLAG_C_FIXED_NEWSTYLE: u32 = 1 << 0;
/// The client does not want the [`NBD_EXPORT_NAME_ZEROES`].
pub const NBD_FLAG_C_NO_ZEROES: u32 = 1 << 1;

// Section "Transmission flags".

/// Always set.
pub const NBD_FLAG_HAS_FLAGS: u16 = 1 << 0;
/// Writes are refused.
pub const NBD_FLAG_READ_ONLY: u16 = 1 << 1;
/// [`NBD_CMD_FLUSH`] is supported.
pub const NBD_FLAG_SEND_FLUSH: u16 = 1 << 2;
/// [`NBD_CMD_FLAG_FUA`] is supported.
pub const NBD_FLAG_SEND_FUA: u16 = 1 << 3;
/// [`NBD_CMD_TRIM`] is supported.
pub const NBD_FLAG_SEND_TRIM: u16 = 1 << 5;
/// [`NBD_CMD_WRITE_ZEROES`] and [`NBD_CMD_FLAG_NO_HOLE`] are supported.
pub const NBD_FLAG_SEND_WRITE_ZEROES: u16 = 1 << 6;
/// A flush covers what other connections wrote.
pub const NBD_FLAG_CAN_MULTI_CONN: u16 = 1 << 8;

// Section "Option types".

/// Choose an export and start transmission; cannot fail but by disconnecting.
pub const NBD_OPT_EXPORT_NAME: u32 = 1;
/// End the session.
pub const NBD_OPT_ABORT: u32 = 2;
/// List the exports.
pub const NBD_OPT_LIST: u32 = 3;
/// Encrypt what follows the reply.
pub const NBD_OPT_STARTTLS: u32 = 5;
/// Describe an export.
pub const NBD_OPT_INFO: u32 = 6;
/// Describe an export and start transmission.
pub const NBD_OPT_GO: u32 = 7;

// Section "Option reply types".

/// Done.
pub const NBD_REP_ACK: u32 = 1;
/// An export, in answer to [`NBD_OPT_LIST`].
pub const NBD_REP_SERVER: u32 = 2;
/// An item of information, in answer to [`NBD_OPT_INFO`] and [`NBD_OPT_GO`].
pub const NBD_REP_INFO: u32 = 3;
/// The bit that all errors have.
pub const NBD_REP_FLAG_ERROR: u32 = 1 << 31;
/// The option is not supported.
pub const NBD_REP_ERR_UNSUP: u32 = NBD_REP_FLAG_ERROR | 1;
/// The option is forbidden here.
pub const NBD_REP_ERR_POLICY: u32 = NBD_REP_FLAG_ERROR | 2;
/// The option is malformed.
pub const NBD_REP_ERR_INVALID: u32 = NBD_REP_FLAG_ERROR | 3;
/// The option takes TLS.
pub const NBD_REP_ERR_TLS_REQD: u32 = NBD_REP_FLAG_ERROR | 5;
/// There is no such export.
pub const NBD_REP_ERR_UNKNOWN: u32 = NBD_REP_FLAG_ERROR | 6;
/// The option is too long.
pub const NBD_REP_ERR_TOO_BIG: u32 = NBD_REP_FLAG_ERROR | 9;

/// Size and transmission flags.
pub const NBD_INFO_EXPORT: u16 = 0;
/// The canonical name.
pub const NBD_INFO_NAME: u16 = 1;
/// A description for people.
pub const NBD_INFO_DESCRIPTION: u16 = 2;
/// Minimum, preferred and maximum size of a request.
pub const NBD_INFO_BLOCK_SIZE: u16 = 3;

// Section "Request types".

/// Read.
pub const NBD_CMD_READ: u16 = 0;
/// Write the payload.
pub const NBD_CMD_WRITE: u16 = 1;
/// Answer what is outstanding and close the connection.
pub const NBD_CMD_DISC: u16 = 2;
/// Bring all answered writes to stable storage.
pub const NBD_CMD_FLUSH: u16 = 3;
/// The range is no longer needed.
pub const NBD_CMD_TRIM: u16 = 4;
/// Make the range read as zeroes.
pub const NBD_CMD_WRITE_ZEROES: u16 = 6;

// Section "Command flags".

/// On stable storage before it is answered.
pub const NBD_CMD_FLAG_FUA: u16 = 1 << 0;
/// Zeroes must be allocated.
pub const NBD_CMD_FLAG_NO_HOLE: u16 = 1 << 1;

// Limits.

/// Longest string (section "Conventions").
pub const NBD_MAX_STRING: usize = 4096;
/// Smallest request (section "Size constraints", the default).
pub const NBD_MIN_BLOCK: u32 = 1;
/// Size from which requests are efficient (section "Size constraints", the default).
pub const NBD_PREFERRED_BLOCK: u32 = 4096;
/// Longest payload (section "Size constraints", the default).
pub const NBD_MAX_PAYLOAD: u32 = 32 << 20;

/// What a request can fail with (section "Error values").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NbdError {
    /// `NBD_EPERM`: not permitted.
    Permission,
    /// `NBD_EIO`: the disk failed.
    Io,
    /// `NBD_ENOMEM`: out of memory.
    NoMemory,
    /// `NBD_EINVAL`: the request is wrong.
    Invalid,
    /// `NBD_ENOSPC`: no space left.
    NoSpace,
    /// `NBD_EOVERFLOW`: the request is too large.
    Overflow,
    /// `NBD_ENOTSUP`: the operation is not supported.
    NotSupported,
    /// `NBD_ESHUTDOWN`: the server is shutting down.
    Shutdown,
}

impl NbdError {
    const ALL: [Self; 8] = [
        Self::Permission,
        Self::Io,
        Self::NoMemory,
        Self::Invalid,
        Self::NoSpace,
        Self::Overflow,
        Self::NotSupported,
        Self::Shutdown,
    ];

    /// The value on the wire.
    pub const fn code(self) -> u32 {
        match self {
            Self::Permission => 1,
            Self::Io => 5,
            Self::NoMemory => 12,
            Self::Invalid => 22,
            Self::NoSpace => 28,
            Self::Overflow => 75,
            Self::NotSupported => 95,
            Self::Shutdown => 108,
        }
    }

    /// The error of this value; one that the specification does not know counts as invalid, as it demands of clients.
    pub fn from_code(code: u32) -> Self {
        Self::ALL.into_iter().find(|error| error.code() == code).unwrap_or(Self::Invalid)
    }

    const fn errno(self) -> Errno {
        match self {
            Self::Permission => Errno::PERM,
            Self::Io => Errno::IO,
            Self::NoMemory => Errno::NOMEM,
            Self::Invalid => Errno::INVAL,
            Self::NoSpace => Errno::NOSPC,
            Self::Overflow => Errno::OVERFLOW,
            Self::NotSupported => Errno::NOTSUP,
            Self::Shutdown => Errno::SHUTDOWN,
        }
    }
}

/// What a failed disk operation becomes on the wire: the only place where an errno is given up.
///
/// The values that the specification reserves for features that are not offered (`NBD_EOVERFLOW`, `NBD_ENOTSUP`) are
/// never sent; whatever it has no value for is an I/O error.
impl From<&io::Error> for NbdError {
    fn from(error: &io::Error) -> Self {
        let Some(errno) = Errno::from_io_error(error) else {
            return Self::from(error.kind());
        };
        match errno {
            Errno::PERM | Errno::ACCESS | Errno::ROFS => Self::Permission,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            Errno::NOMEM => Self::NoMemory,
            Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::OVERFLOW => Self::Invalid,
            Errno::SHUTDOWN => Self::Shutdown,
            _ => Self::Io,
        }
    }
}

/// The same for an error that never was an errno.
impl From<io::ErrorKind> for NbdError {
    fn from(kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Kind;
        if matches!(kind, Kind::PermissionDenied | Kind::ReadOnlyFilesystem) {
            Self::Permission
        } else if matches!(kind, Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge) {
            Self::NoSpace
        } else if matches!(kind, Kind::InvalidInput | Kind::Unsupported) {
            Self::Invalid
        } else if kind == Kind::OutOfMemory {
            Self::NoMemory
        } else {
            Self::Io
        }
    }
}

/// What a client makes of an error.
impl From<NbdError> for io::Error {
    fn from(error: NbdError) -> Self {
        error.errno().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire() {
        for error in NbdError::ALL {
            assert_eq!(NbdError::from_code(error.code()), error);
        }
        assert_eq!(NbdError::from_code(4711), NbdError::Invalid);
    }

    #[test]
    fn an_errno_maps_to_the_value_that_the_specification_asks_for() {
        let sent = |errno: Errno| NbdError::from(&io::Error::from(errno));
        for full in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert_eq!(sent(full), NbdError::NoSpace);
        }
        for refused in [Errno::PERM, Errno::ACCESS, Errno::ROFS] {
            assert_eq!(sent(refused), NbdError::Permission);
        }
        for reserved in [Errno::OVERFLOW, Errno::NOTSUP, Errno::OPNOTSUPP] {
            assert_eq!(sent(reserved), NbdError::Invalid);
        }
        assert_eq!(sent(Errno::NXIO), NbdError::Io);
        assert_eq!(sent(Errno::SHUTDOWN), NbdError::Shutdown);
    }

    #[test]
    fn an_error_without_errno_maps_by_its_kind() {
        let sent = |kind: io::ErrorKind| NbdError::from(&io::Error::new(kind, "made up"));
        assert_eq!(sent(io::ErrorKind::QuotaExceeded), NbdError::NoSpace);
        assert_eq!(sent(io::ErrorKind::ReadOnlyFilesystem), NbdError::Permission);
        assert_eq!(sent(io::ErrorKind::InvalidInput), NbdError::Invalid);
        assert_eq!(sent(io::ErrorKind::Other), NbdError::Io);
    }
}
