//! What `object-add` makes, by id: TLS credentials.

use std::collections::HashMap;

use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::crypto::{QCryptoTLSCredsEndpoint, TlsCredsX509Properties};
use qapi_schema::qom::{Commands, ObjectOptions, ObjectOptionsKind};

use crate::tls::Credentials;

/// The objects there are.
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
}

impl Commands for Objects {
    fn object_add(&self, arguments: ObjectOptions) -> Result<(), Error> {
        let ObjectOptions { id, qom_type } = arguments;
        if !is_well_formed(&id) {
            return Err(Error::generic(
                "Parameter 'id' expects an identifier: a letter, then letters, digits and '-._'",
            ));
        }
        let ObjectOptionsKind::TlsCredsX509(properties) = qom_type;
        let TlsCredsX509Properties { verify_peer, dir, endpoint } = properties;
        let dir = dir.ok_or_else(|| Error::generic("Parameter 'dir' is missing"))?;
        let endpoint = endpoint.unwrap_or(QCryptoTLSCredsEndpoint::Client);
        // The files are read without the lock.
        let loaded = Credentials::load(dir.as_ref(), endpoint, verify_peer.unwrap_or(true)).map_err(Error::generic)?;
        let mut credentials = self.credentials.lock();
        if credentials.contains_key(&id) {
            return Err(Error::generic(format!("Duplicate object '{id}'")));
        }
        credentials.insert(id, loaded);
        Ok(())
    }

    fn object_del(&self, id: String) -> Result<(), Error> {
        let removed = self.credentials.lock().remove(&id);
        removed.map(drop).ok_or_else(|| Error::generic(format!("object '{id}' not found")))
    }
}

/// As QEMU has identifiers.
fn is_well_formed(id: &str) -> bool {
    let others = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    id.starts_with(|c: char| c.is_ascii_alphabetic()) && id.chars().all(others)
}
