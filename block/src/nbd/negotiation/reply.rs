//! What a server answers in the handshake (section "Option reply types" of the specification).

use super::Offer;
use super::option::Choice;
use crate::nbd::protocol::{
    NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION, NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_MAX_PAYLOAD, NBD_MIN_BLOCK,
    NBD_PREFERRED_BLOCK, NBD_REP_INFO, NBD_REP_MAGIC, NBD_REP_SERVER,
};

/// The replies to one option.
#[derive(Debug)]
pub(super) struct Replies<'a> {
    option: u32,
    output: &'a mut Vec<u8>,
}

impl<'a> Replies<'a> {
    pub(super) const fn new(option: u32, output: &'a mut Vec<u8>) -> Self {
        Self { option, output }
    }

    /// One reply, its data in parts. They are strings of limited length, so that 32 bits hold their sum.
    pub(super) fn send(&mut self, kind: u32, data: &[&[u8]]) {
        let length: usize = data.iter().map(|part| part.len()).sum();
        self.output.extend(NBD_REP_MAGIC.to_be_bytes());
        self.output.extend(self.option.to_be_bytes());
        self.output.extend(kind.to_be_bytes());
        self.output.extend((length as u32).to_be_bytes());
        for part in data {
            self.output.extend(*part);
        }
    }

    /// An error, with a message for people.
    pub(super) fn error(&mut self, kind: u32, message: &str) {
        self.send(kind, &[message.as_bytes()]);
    }

    /// An entry of the list of exports.
    pub(super) fn server(&mut self, name: &str, description: Option<&str>) {
        let length = (name.len() as u32).to_be_bytes();
        self.send(NBD_REP_SERVER, &[&length, name.as_bytes(), description.unwrap_or_default().as_bytes()]);
    }

    /// What must be said of an export, and of the rest what was asked for.
    pub(super) fn information(&mut self, offer: &Offer, choice: &Choice<'_>) {
        let terms = offer.terms;
        self.info(NBD_INFO_EXPORT, &[&terms.size.to_be_bytes(), &terms.flags().to_be_bytes()]);
        if choice.wants(NBD_INFO_NAME) {
            self.info(NBD_INFO_NAME, &[offer.name.as_bytes()]);
        }
        if let Some(description) = offer.description.as_deref().filter(|_| choice.wants(NBD_INFO_DESCRIPTION)) {
            self.info(NBD_INFO_DESCRIPTION, &[description.as_bytes()]);
        }
        if choice.wants(NBD_INFO_BLOCK_SIZE) {
            let [minimum, preferred, maximum] =
                [NBD_MIN_BLOCK, NBD_PREFERRED_BLOCK, NBD_MAX_PAYLOAD].map(u32::to_be_bytes);
            self.info(NBD_INFO_BLOCK_SIZE, &[&minimum, &preferred, &maximum]);
        }
    }

    fn info(&mut self, information: u16, data: &[&[u8]]) {
        let information = information.to_be_bytes();
        let parts: Vec<&[u8]> = [&information[..]].into_iter().chain(data.iter().copied()).collect();
        self.send(NBD_REP_INFO, &parts);
    }
}
