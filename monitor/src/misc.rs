//! `misc.json`: what a monitor keeps for its client.

use std::sync::Arc;

use qapi_schema::misc::Commands;
use qapi_schema::{Client, Error};

/// The commands of one client.
pub struct Misc {
    client: Arc<Client>,
}

impl Misc {
    /// Those of this client.
    pub const fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

impl Commands for Misc {
    fn getfd(&self, fdname: String) -> Result<(), Error> {
        self.client.keep(&fdname, self.client.claim()?)
    }

    fn closefd(&self, fdname: String) -> Result<(), Error> {
        let none = || Error::generic(format!("File descriptor named '{fdname}' not found"));
        self.client.take(&fdname).map(drop).ok_or_else(none)
    }
}
