//! Who calls a command: what a client has handed over for its commands to take, file descriptors.

use std::collections::BTreeMap;
use std::mem::take;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Error;

/// One client of the monitor. Its descriptors are closed with it.
#[derive(Debug, Default)]
pub struct Client {
    descriptors: Mutex<Descriptors>,
}

#[derive(Debug, Default)]
struct Descriptors {
    /// Came with the latest message that brought any, and nobody has asked for them yet.
    received: Vec<OwnedFd>,
    /// Kept under names for commands to come.
    named: BTreeMap<String, OwnedFd>,
}

impl Client {
    /// Takes what came with a message. What came with an earlier one, and was not asked for, is closed.
    pub fn receive(&self, descriptors: Vec<OwnedFd>) {
        self.lock().received = descriptors;
    }

    /// The first of the descriptors that came last. The others are closed: a command takes one.
    ///
    /// # Errors
    /// There is none.
    pub fn claim(&self) -> Result<OwnedFd, Error> {
        let received = take(&mut self.lock().received);
        let none = || Error::generic("No file descriptor supplied via SCM_RIGHTS");
        received.into_iter().next().ok_or_else(none)
    }

    /// Keeps a descriptor under a name, in the place of one that has it.
    ///
    /// # Errors
    /// The name starts with a digit, and could be taken for a number.
    pub fn keep(&self, name: &str, descriptor: OwnedFd) -> Result<(), Error> {
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Error::generic("Parameter 'fdname' expects a name not starting with a digit"));
        }
        self.lock().named.insert(name.to_owned(), descriptor);
        Ok(())
    }

    /// The descriptor of this name, which then is free again.
    pub fn take(&self, name: &str) -> Option<OwnedFd> {
        self.lock().named.remove(name)
    }

    fn lock(&self) -> MutexGuard<'_, Descriptors> {
        self.descriptors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by a panic")]

    use super::*;
    use std::io::{PipeReader, Read, pipe};

    /// A descriptor, and what tells that it was closed.
    fn descriptor() -> (OwnedFd, PipeReader) {
        let (reader, writer) = pipe().expect("pipe");
        (writer.into(), reader)
    }

    fn is_closed(mut reader: PipeReader) -> bool {
        reader.read(&mut [0]).expect("the end") == 0
    }

    #[test]
    fn a_command_takes_the_first_and_the_others_are_closed() {
        let client = Client::default();
        assert_eq!(client.claim().expect_err("none").desc(), "No file descriptor supplied via SCM_RIGHTS");
        let ((first, _first), (second, at_second)) = (descriptor(), descriptor());
        client.receive(vec![first, second]);
        client.claim().expect("the first");
        assert!(is_closed(at_second));
        client.claim().expect_err("one message, one descriptor");
    }

    #[test]
    fn what_nobody_asked_for_is_closed_when_more_comes() {
        let client = Client::default();
        let ((first, at_first), (second, _second)) = (descriptor(), descriptor());
        client.receive(vec![first]);
        client.receive(vec![second]);
        assert!(is_closed(at_first));
        client.claim().expect("the second");
    }

    #[test]
    fn a_name_is_kept_until_it_is_taken_and_replaced_if_given_twice() {
        let client = Client::default();
        let ((first, at_first), (second, at_second)) = (descriptor(), descriptor());
        client.keep("a", first).expect("a name");
        client.keep("a", second).expect("the same");
        assert!(is_closed(at_first));
        drop(client.take("a").expect("kept"));
        assert!(is_closed(at_second));
        assert!(client.take("a").is_none());
    }

    #[test]
    fn a_name_that_could_be_a_number_is_refused_and_the_descriptor_closed() {
        let (descriptor, reader) = descriptor();
        let refused = Client::default().keep("7up", descriptor).expect_err("refused");
        assert_eq!(refused.desc(), "Parameter 'fdname' expects a name not starting with a digit");
        assert!(is_closed(reader));
    }

    #[test]
    fn all_are_closed_with_the_client() {
        let client = Client::default();
        let ((named, at_named), (received, at_received)) = (descriptor(), descriptor());
        client.keep("a", named).expect("a name");
        client.receive(vec![received]);
        drop(client);
        assert!(is_closed(at_named) && is_closed(at_received));
    }
}
