//! Bytes from a unix socket, and the file descriptors that came with them (SCM_RIGHTS, unix(7)).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// How many descriptors one message may bring, as in QEMU. Those that are more are closed, here or by the kernel.
const MOST: usize = 16;

/// Reads into `buffer` and puts descriptors into `received`. Linux never returns those of two messages at once, and nothing
/// after the message that brings some; bytes before it, which brought none, may come with it.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8], received: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message =
        retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC))?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors.take(MOST));
        }
    }
    Ok(message.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::io::{IoSlice, PipeReader, Read, Write, pipe};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// Sends `text` with so many descriptors, and returns what tells that all of them are closed.
    fn send(client: &UnixStream, text: &[u8], count: usize) -> PipeReader {
        let (reader, writer) = pipe().expect("pipe");
        let descriptors = vec![writer.as_fd(); count];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST + 8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(client, &[IoSlice::new(text)], &mut control, SendFlags::empty()).expect("room");
        reader
    }

    fn is_closed(reader: &mut PipeReader) -> bool {
        reader.read(&mut [0]).expect("the end") == 0
    }

    #[test]
    fn descriptors_come_with_their_bytes_and_close_on_exec() {
        let (mut client, server) = UnixStream::pair().expect("socketpair");
        let server = OwnedFd::from(server);
        let (mut buffer, mut received) = ([0; 64], Vec::new());
        client.write_all(b"none").expect("room");
        assert_eq!(receive(&server, &mut buffer, &mut received).expect("bytes"), 4);
        assert!(received.is_empty());

        let mut first = send(&client, b"one", 1);
        let _second = send(&client, b"two", 2);
        assert_eq!(receive(&server, &mut buffer, &mut received).expect("bytes"), 3);
        assert_eq!(received.len(), 1, "that of the next message is not there yet");
        assert!(fcntl_getfd(&received[0]).expect("open").contains(FdFlags::CLOEXEC));
        received.clear();
        assert!(is_closed(&mut first));
        assert_eq!(receive(&server, &mut buffer, &mut received).expect("bytes"), 3);
        assert_eq!(received.len(), 2);
    }

    #[test]
    fn no_more_are_taken_than_there_is_room_for() {
        let (client, server) = UnixStream::pair().expect("socketpair");
        let (mut buffer, mut received) = ([0; 64], Vec::new());
        let mut reader = send(&client, b"x", MOST + 8);
        receive(&OwnedFd::from(server), &mut buffer, &mut received).expect("bytes");
        assert_eq!(received.len(), MOST);
        received.clear();
        assert!(is_closed(&mut reader), "the others were closed");
    }
}
