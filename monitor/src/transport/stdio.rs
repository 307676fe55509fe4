//! The process's own input and output as a client.
//!
//! They are shared with the parent process, and often with stderr: making them non-blocking would change them for all.
//! Pipes and terminals are opened anew instead; what cannot be is made non-blocking until the session ends.

use std::io::{self, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open as open_file};
use rustix::io::fcntl_dupfd_cloexec;

use super::stream::{End, Stream};

/// The stream from stdin to stdout.
pub(crate) fn open() -> io::Result<Stream> {
    let input = without_blocking(stdin().as_fd(), OFlags::RDONLY)?;
    let output = without_blocking(stdout().as_fd(), OFlags::WRONLY)?;
    Ok(Stream::pair(input, output))
}

fn without_blocking(fd: BorrowedFd<'_>, access: OFlags) -> io::Result<End> {
    if let Some(own) = open_anew(fd, access) {
        return Ok(End::new(own, None));
    }
    let shared = fcntl_dupfd_cloexec(fd, 0)?;
    let flags = fcntl_getfl(&shared)?;
    fcntl_setfl(&shared, flags | OFlags::NONBLOCK)?;
    Ok(End::new(shared, Some(flags)))
}

/// Opens what `fd` refers to a second time, if that has no position that would be lost.
fn open_anew(fd: BorrowedFd<'_>, access: OFlags) -> Option<OwnedFd> {
    match FileType::from_raw_mode(fstat(fd).ok()?.st_mode) {
        FileType::Fifo | FileType::CharacterDevice => {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
            open_file(path, flags, Mode::empty()).ok()
        }
        FileType::RegularFile
        | FileType::Directory
        | FileType::Symlink
        | FileType::Socket
        | FileType::BlockDevice
        | FileType::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use rustix::pipe::pipe;

    fn is_non_blocking(fd: impl AsFd) -> bool {
        fcntl_getfl(fd).expect("flags").contains(OFlags::NONBLOCK)
    }

    #[test]
    fn a_pipe_stays_as_it_is_for_its_other_users() {
        let (reader, writer) = pipe().expect("pipe");
        let input = without_blocking(reader.as_fd(), OFlags::RDONLY).expect("input");
        let output = without_blocking(writer.as_fd(), OFlags::WRONLY).expect("output");
        let mut stream = Stream::pair(input, output);
        assert!(!is_non_blocking(&reader) && !is_non_blocking(&writer));

        let mut buffer = [0; 8];
        assert_eq!(stream.read(&mut buffer).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        assert_eq!(stream.write(b"abc").expect("room"), 3);
        assert_eq!(stream.read(&mut buffer).expect("bytes"), 3);
    }

    #[test]
    fn a_socket_blocks_again_when_the_session_is_over() {
        let (ours, _theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("socketpair");
        let end = without_blocking(ours.as_fd(), OFlags::RDONLY).expect("input");
        assert!(is_non_blocking(&ours));
        drop(end);
        assert!(!is_non_blocking(&ours));
    }
}
