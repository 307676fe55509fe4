//! The TLS credentials that `object-add` makes, by id.

use std::collections::HashMap;

use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::crypto::{QCryptoTLSCredsEndpoint, TlsCredsX509Properties};

use crate::tls::Credentials;

/// The credentials there are.
#[derive(Debug, Default)]
pub struct Objects {
    credentials: Mutex<HashMap<String, Credentials>>,
}

impl Objects {
    /// The TLS credentials of this id, for this side of a connection.
    ///
    /// # Errors
    /// There are none, or they are for the other side.
    pub fn tls_creds(&self, id: &str, endpoint: QCryptoTLSCredsEndpoint) -> Result<Credentials, Error> {
        let credentials = self.credentials.lock().get(id).cloned();
        let credentials = credentials.ok_or_else(|| Error::generic(format!("No TLS credentials with id '{id}'")))?;
        if credentials.endpoint() != endpoint {
            let message =
                format!("TLS credentials '{id}' are not for a {0}: create them with endpoint={0}", endpoint.as_str());
            return Err(Error::generic(message));
        }
        Ok(credentials)
    }

    /// Reads credentials, as `object-add` does.
    ///
    /// # Errors
    /// What is wrong with the options, or with the files.
    pub fn add(&self, id: &str, properties: TlsCredsX509Properties) -> Result<(), Error> {
        let TlsCredsX509Properties { verify_peer, dir, endpoint } = properties;
        let dir = dir.ok_or_else(|| Error::generic("Parameter 'dir' is missing"))?;
        let endpoint = endpoint.unwrap_or(QCryptoTLSCredsEndpoint::Client);
        // The files are read without the lock.
        let loaded = Credentials::load(dir.as_ref(), endpoint, verify_peer.unwrap_or(true)).map_err(Error::generic)?;
        let mut credentials = self.credentials.lock();
        if credentials.contains_key(id) {
            return Err(Error::generic(format!("Duplicate object '{id}'")));
        }
        credentials.insert(id.to_owned(), loaded);
        Ok(())
    }

    /// Removes credentials, as `object-del` does.
    ///
    /// # Errors
    /// There is none of this identifier.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let removed = self.credentials.lock().remove(id);
        removed.map(drop).ok_or_else(|| Error::generic(format!("object '{id}' not found")))
    }
}
